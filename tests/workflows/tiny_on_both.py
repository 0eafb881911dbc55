"""The tiny repository connected to an emulated Vercel too, of which the real CLI and the real builder make use."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.build import build_artifact
from scripts.building import Order
from scripts.rehearsal.clouds.vercel import VercelCloud, VercelFaults, VercelTimes
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.world import SCALE
from scripts.release import Sha
from tests.workflows.act import Machine
from tests.workflows.stand_ins import write_node
from tests.workflows.tiny_release import BYPASS, ROOT, TOKEN, Tiny, tiny_release

CLI = ROOT / ".github" / "vercel-cli"
GUARD = ROOT / "scripts" / "rehearsal" / "loopback_only.cjs"
INCLUDE = ("app", "requirements.txt", "vercel.json", ".python-version")
ON_BOTH = {"SLIPWAY_TARGETS": "render,vercel"}


@dataclass(frozen=True)
class Both:
    """The repository on Render, and the other platform that it is connected to."""

    tiny: Tiny
    vercel: VercelCloud

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that the workflows ask for."""
        return {**self.tiny.secrets, "VERCEL_TOKEN": TOKEN, "VERCEL_AUTOMATION_BYPASS_SECRET": BYPASS}

    @property
    def serving(self) -> tuple[str | None, str | None]:
        """The commits that users are on."""
        return self.tiny.cloud.serving_commit, self.vercel.serving_commit


def missing() -> str:
    """Say what this machine lacks; empty if nothing."""
    if shutil.which("node") is None:
        return "Node is not on PATH"
    return "" if (CLI / "node_modules").is_dir() else "npm ci --ignore-scripts --prefix .github/vercel-cli"


def with_node(machine: Machine) -> Machine:
    """Give a machine with Node, whose every connection but to itself is refused, and one cache of uv for all runs."""
    variables = write_node(machine.folder.parent / "node", str(shutil.which("node")), CLI)
    guarded = {"NODE_OPTIONS": f"--require={GUARD}", "UV_CACHE_DIR": str(machine.folder.parent / "uv")}
    return replace(machine, environment={**machine.environment, **guarded, **variables})


@contextlib.asynccontextmanager
async def tiny_on_both(folder: Path, reaching: Mapping[str, str]) -> AsyncIterator[Both]:
    """Make the repository below a folder, and bring its first commit up on both platforms.

    `reaching` are the variables with which packages are found.
    """
    async with (
        Edge() as edge,
        VercelCloud(
            folder=folder / "vercel",
            edge=edge,
            times=VercelTimes().scaled(SCALE),
            faults=VercelFaults(),
            token=TOKEN,
            bypass=BYPASS,
        ) as cloud,
    ):
        settings = cloud.settings
        section = {
            "url": edge.url,
            "team": settings.team,
            "org_id": settings.org_id,
            "project_id": settings.project_id,
            "api_url": cloud.api_url,
            "include": list(INCLUDE),
        }
        async with tiny_release(folder, {"vercel": section}) as tiny:
            await cloud.first_deploy(await _build(tiny, folder, reaching), tiny.baseline)
            yield Both(tiny, cloud)


async def _build(tiny: Tiny, folder: Path, reaching: Mapping[str, str]) -> Path:
    """Build the first commit as its own release did; give the archive."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, **reaching}
    order = Order(tiny.folder, Sha(tiny.baseline), INCLUDE, environment, lambda _: None, ROOT)
    built = await build_artifact(order, folder / "first")
    assert built.artifact is not None, built.verdict.reason
    return built.artifact.archive

"""The tiny repository connected to an emulated Vercel too, of which the real CLI and the real builder make use."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.build import build_artifact
from scripts.building import Order
from scripts.building.indexes import index_settings
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
    """Give a machine with Node, whose every connection but to itself is refused, and a way for uv to its packages."""
    variables = write_node(machine.folder / "node", str(shutil.which("node")), CLI)
    guarded = {"NODE_OPTIONS": f"--require={GUARD}"}
    environment = {**reaching(machine.folder.parent), **guarded, **variables}
    return Machine(machine.folder, machine.python_beside_secrets, machine.python_of_checks, environment)


def reaching(folder: Path) -> Mapping[str, str]:
    """Give the variables with which uv finds packages, each of them fetched once."""
    return {**index_settings(sys.executable, os.environ), "UV_CACHE_DIR": str(folder / "uv")}


@contextlib.asynccontextmanager
async def tiny_on_both(folder: Path) -> AsyncIterator[Both]:
    """Make the repository below a folder, and bring its first commit up on both platforms."""
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
            await cloud.first_deploy(await _build(tiny, folder), tiny.baseline)
            yield Both(tiny, cloud)


async def _build(tiny: Tiny, folder: Path) -> Path:
    """Build the first commit as its own release did; give the archive."""
    environment = {**os.environ, **reaching(folder), "NODE_OPTIONS": f"--require={GUARD}"}
    order = Order(tiny.folder, Sha(tiny.baseline), INCLUDE, environment, lambda _: None, ROOT)
    built = await build_artifact(order, folder / "first")
    assert built.artifact is not None, built.verdict.reason
    return built.artifact.archive

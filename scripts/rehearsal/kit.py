"""What a rehearsal of Vercel needs beyond Python: Node, the pinned CLI, and the function of the release that serves.

The CLI is installed once. Every connection of Node but to this machine is refused, in all that a rehearsal starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.artifact import Artifact
from scripts.build import build_artifact
from scripts.building import Order
from scripts.config import VercelSection
from scripts.errors import ConfigError, SlipwayError, UsageError
from scripts.platforms.vercel_cli import find_cli, find_node
from scripts.rehearsal.children import run_child
from scripts.release import Sha

GUARD = Path(__file__).with_name("loopback_only.cjs")
INSTALL_LIMIT_S = 600.0


@dataclass(frozen=True)
class Kit:
    """The artifact of the commit that serves when a drill begins, and a clone whose HEAD it is.

    Drills that ship the same commit share what was built of it, and what was unpacked of what they uploaded.
    """

    repository: Path
    artifact: Artifact
    environment: Mapping[str, str]  # that it was built in
    trees: Path
    builds: dict[str, Path] = field(default_factory=dict)  # by commit

    @property
    def cli_version(self) -> str:
        """The version of the real CLI that built it."""
        return self.artifact.cli

    async def of_another(self, root: Path, repository: Path, commit: Sha, folder: Path) -> Kit:
        """Build another commit as the one that serves."""
        await asyncio.to_thread(folder.mkdir)
        return await prepare(root, repository, commit, folder, self.environment, lambda _: None)

    @property
    def node_options(self) -> str:
        """What keeps every Node on this machine."""
        return f"--require={GUARD}"


def included(path: Path) -> tuple[str, ...]:
    """Give the paths that a slipway.toml says make the function; the default where it says nothing."""
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, AttributeError):
        told = tomllib.loads(path.read_text(encoding="utf-8")).get("vercel", {}).get("include", ())
        if told:
            return tuple(map(str, told))
    default: tuple[str, ...] = VercelSection.model_fields["include"].get_default()
    return default


def lacks(environment: Mapping[str, str]) -> str:
    """Say what this machine lacks to rehearse Vercel; empty for nothing that cannot be installed."""
    try:
        find_node(environment)
    except ConfigError as error:
        return f"{error.what}; next: {error.next_step}"
    return ""


async def prepare(
    root: Path, repository: Path, commit: Sha, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> Kit:
    """Install the CLI if it is not there, and build the release that serves.

    Raises:
        SlipwayError: it cannot be installed, or HEAD cannot be built.
    """
    install = root / ".github" / "vercel-cli"
    await _install(install, folder, environment, say)
    guarded = {**environment, "NODE_OPTIONS": f"--require={GUARD}"}
    include = included(root / "slipway.toml")
    order = Order(repository, commit, include, guarded, lambda line: say(f"  {line}"), root=root)
    built = await build_artifact(order, folder / "build")
    if built.artifact is None:
        raise UsageError(
            f"HEAD cannot be built for Vercel: {built.verdict.reason}",
            means="A rehearsal starts from a release that serves.",
            next_step="mend it, or rehearse with --targets render",
        )
    return Kit(repository, built.artifact, environment, folder / "trees")


async def _install(install: Path, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Install the CLI where it is missing."""
    try:
        await asyncio.to_thread(find_cli, install, environment)
    except SlipwayError as error:
        say(f"installing the Vercel CLI (about 200 MB, once): {error.what}")
    else:
        return
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    log = folder / "npm.log"
    # In its folder, not by --prefix: that would also make npm pass by the machine's own npmrc, and so its certificates.
    code = await run_child(words, environment=environment, folder=install, log=log, limit_s=INSTALL_LIMIT_S)
    if code != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise ConfigError(
            f"npm ci in {install} failed: {' / '.join(last)}",
            means="Without the CLI only Render can be rehearsed.",
            next_step="look at npm's own words above, or rehearse with --targets render",
        )
    await asyncio.to_thread(find_cli, install, environment)

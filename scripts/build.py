"""Build a commit for Vercel, away from every secret, and prove that what was built is that commit.

The builder's exit code is not believed. What counts: a Python function came out, every package in it has a hash that
requirements.txt names, and the function, started from the archive, answers `/version` with the full commit.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.artifact import ARCHIVE, Artifact, hash_file
from scripts.building import Order
from scripts.building.blocking import to_the_end
from scripts.building.builder import build_new
from scripts.building.keep import Kept, share_downloads
from scripts.building.pack import OUTPUT, find_functions, measure, pack, read_installed
from scripts.building.proof import prove
from scripts.building.publish import publish, withdraw
from scripts.building.source import Source, export
from scripts.building.surroundings import Tools, find_tools
from scripts.checkout import Checkout
from scripts.config import VercelSection, load
from scripts.console import Console
from scripts.errors import ConfigError
from scripts.function import read_settings
from scripts.rehearsal.commits import git
from scripts.release import Sha, short
from scripts.verdict import Verdict, passed


@dataclass(frozen=True)
class Built:
    """How a build ended; there is an artifact only if it passed."""

    verdict: Verdict
    artifact: Artifact | None = None


async def build_artifact(order: Order, output: Path) -> Built:
    """Build a commit into a folder, and leave nothing there unless it passed every gate.

    Raises:
        ConfigError: a tool or an included path is missing.
        UsageError: there is no such commit.
    """
    withdraw(output)
    with tempfile.TemporaryDirectory(prefix="slipway-build-") as folder:
        return await _build(order, Path(folder), output)


async def _build(order: Order, folder: Path, output: Path) -> Built:
    tools = await to_the_end(find_tools, order.root, order.environment)
    source = await export(order.repository, order.commit, order.include, folder / "source")
    if source.left_out:
        order.say(f"left out, because they may hold secrets: {', '.join(source.left_out)}")
    verdict = await _make(order, tools, source, folder)
    if not verdict.passed:
        return Built(verdict)
    packed = folder / ARCHIVE
    await to_the_end(pack, source.folder, packed)
    order.say("starting the function")
    proof = await prove(_artifact(folder, source, tools), folder / "proof")
    if not proof.passed:
        return Built(proof)
    artifact = _artifact(folder, source, tools, output)
    await to_the_end(publish, packed, artifact)
    return Built(passed(f"{verdict.reason}; {proof.reason}"), artifact)


async def _make(order: Order, tools: Tools, source: Source, folder: Path) -> Verdict:
    """Bring the builder's output about, kept or new, and judge a new one."""
    if order.cache is None:
        return await build_new(order, tools, source, folder)
    kept = await Kept.find(order.cache, order.repository, source, order.include, tools)
    if await to_the_end(kept.restore, source):
        return passed(f"the same paths as an earlier build, {short(source.commit)} baked in")
    share_downloads(order.cache, source.folder)
    verdict = await build_new(order, tools, source, folder)
    if verdict.passed:
        await to_the_end(kept.store, source)
    return verdict


def _artifact(folder: Path, source: Source, tools: Tools, output: Path | None = None) -> Artifact:
    """Describe the archive in a folder, as it will be in the output."""
    function = find_functions(source.folder / OUTPUT)[0]
    packed = folder / ARCHIVE
    return Artifact(
        folder=output or folder,
        commit=source.commit,
        sha256=hash_file(packed),
        archive_bytes=packed.stat().st_size,
        bundle_bytes=measure(function),
        packages=len(read_installed(function)),
        cli=tools.cli_version,
        python=read_settings(function).python,
    )


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the verb `build` and give its exit code.

    Raises:
        SlipwayError: the configuration, the checkout or the machine does not allow a build.
    """
    start = time.monotonic()
    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    section = _section(arguments.config)
    here = Path.cwd()
    commit = Checkout(here).resolve(arguments.commit or environment.get("GITHUB_SHA") or "HEAD")
    console.say(f"build {short(commit)}")
    built = asyncio.run(_build_checkout(here, commit, section, environment, console, arguments.output))
    _tell(built, commit, console, time.monotonic() - start, as_json=arguments.json)
    return built.verdict.exit_code


def _section(file: Path) -> VercelSection:
    section = load(file).vercel
    if section is None:
        raise ConfigError(
            f"{file.name} has no [vercel] section that is filled in",
            means="Only a function for Vercel is built; Render builds by itself.",
            next_step=f"add [vercel] to {file.name}, or leave this verb out",
        )
    return section


async def _build_checkout(
    here: Path,
    commit: Sha,
    section: VercelSection,
    environment: Mapping[str, str],
    console: Console,
    output: Path,
) -> Built:
    """Build; SIGINT and SIGTERM end the builder and the function first."""
    root = Path((await git("-C", str(here), "rev-parse", "--show-toplevel")).strip())
    order = Order(root, commit, section.include, environment, lambda text: console.state("vercel", text))
    building = asyncio.create_task(build_artifact(order, output))

    def end() -> None:
        if not building.cancelling():  # a second signal would cut the cleaning up
            building.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await building
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def _tell(built: Built, commit: Sha, console: Console, seconds: float, *, as_json: bool) -> None:
    verdict, artifact = built.verdict, built.artifact
    if artifact is not None:
        console.state("vercel", f"{artifact.packages} packages, Python {artifact.python}, vercel {artifact.cli}")
        sizes = f"bundle {artifact.bundle_bytes / 1e6:.1f} MB, archive {artifact.archive_bytes / 1e6:.1f} MB"
        console.state("vercel", f"{sizes}, sha256 {artifact.sha256}")
    console.end("build", verdict.outcome, verdict.reason, seconds)
    if verdict.next_step and not verdict.passed:
        console.say(f"next   {verdict.next_step}")
    told = {"version": 1, "stage": "build", "outcome": verdict.outcome, "reason": verdict.reason, "commit": commit}
    description = artifact.as_json() if artifact is not None else None
    result = {**told, "exit_code": verdict.exit_code, "seconds": round(seconds, 1), "artifact": description}
    console.result(result if as_json else verdict.outcome)

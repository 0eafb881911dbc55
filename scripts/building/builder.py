"""Runs Vercel's builder on an exported commit, and judges what came out by everything but its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from scripts.building import Order
from scripts.building.blocking import to_the_end
from scripts.building.pack import OUTPUT, find_functions, judge_output, prune, read_installed, read_python
from scripts.building.packages import NotComparableError, judge_packages, read_requirements, read_uv_lock
from scripts.building.source import REQUIREMENTS, Source
from scripts.building.surroundings import WORDS, Tools, builder_environment
from scripts.function import read_settings
from scripts.rehearsal.children import last_lines, run_child
from scripts.release import short
from scripts.verdict import Outcome, Verdict, failed, passed

HEARTBEAT_S = 30.0
# Enough for the CLI to build without asking Vercel for the project.
PROJECT = '{"projectId": "prj_build", "orgId": "team_build", "settings": {"framework": "fastapi"}}\n'


async def build_new(order: Order, tools: Tools, source: Source, folder: Path) -> Verdict:
    """Build a source; after a pass its output is a function with what requirements.txt names, and no more."""
    version = source.folder / ".python-version"
    python = read_python(version.read_text(encoding="utf-8") if version.is_file() else "")
    ended = await _run_builder(order, tools, source, folder, python)
    if not ended.passed:
        return ended
    made = judge_output(source.folder / OUTPUT, source)
    if not made.passed:
        return made
    function = find_functions(source.folder / OUTPUT)[0]
    runs_on = read_settings(function).python
    if runs_on != python:
        return failed(f"the function is for Python {runs_on}, and .python-version asks for {python}")
    prune(source.folder / OUTPUT, function)
    return compare_packages(source.folder, function, tools, python)


async def _run_builder(order: Order, tools: Tools, source: Source, folder: Path, python: str) -> Verdict:
    """Run the CLI's build, without a token and without asking Vercel anything."""
    home, log = folder / "home", folder / "builder.log"
    home.mkdir()
    environment = await to_the_end(builder_environment, tools, order.environment, python, home)
    project = source.folder / ".vercel" / "project.json"
    project.parent.mkdir(exist_ok=True)
    project.write_text(PROJECT, encoding="utf-8")
    order.say(f"vercel {tools.cli_version} builds {short(source.commit)} with Python {python}")
    try:
        async with _heartbeat(order.say):
            code = await run_child(
                [*tools.cli, *WORDS], environment=environment, folder=source.folder, log=log, limit_s=order.limit_s
            )
    except TimeoutError:
        what = f"the builder did not end within {order.limit_s:g} s:\n{last_lines(log)}"
        return Verdict(Outcome.ERROR, what, "look at the network and the package index, then build again")
    if code != 0:
        return failed(f"the builder ended with {code}:\n{last_lines(log)}")
    return passed("")


@contextlib.asynccontextmanager
async def _heartbeat(say: Callable[[str], None]) -> AsyncIterator[None]:
    async def beat() -> None:
        start = time.monotonic()
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            say(f"still building, {time.monotonic() - start:.0f} s")

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


def compare_packages(folder: Path, function: Path, tools: Tools, python: str) -> Verdict:
    """Compare what the builder locked and installed in a build folder with the folder's requirements.txt."""
    lock = folder / "uv.lock"
    if not lock.is_file():
        return failed("the builder left no uv.lock: what it installed cannot be compared with requirements.txt")
    try:
        pins = read_requirements((folder / REQUIREMENTS).read_text(encoding="utf-8"))
        locked = read_uv_lock(lock.read_text(encoding="utf-8"))
    except (NotComparableError, UnicodeDecodeError) as error:
        return failed(str(error), "python3 -m scripts lock")
    return judge_packages(pins, locked, read_installed(function), tools.runtime_pins(), python)

"""The verb `rehearse`: play drills one after the other, and say for each what was expected and what was seen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scripts.console import Console
from scripts.errors import UsageError
from scripts.rehearsal import chaos_command
from scripts.rehearsal.book import GROUPS, choose
from scripts.rehearsal.book.drill import BOTH, Drill
from scripts.rehearsal.chaos_real import draw_drill, render_real
from scripts.rehearsal.clone import differs_from_head, make_clone
from scripts.rehearsal.figures import render_markdown, render_table
from scripts.rehearsal.keep import keep
from scripts.rehearsal.kit import Kit, lacks, prepare
from scripts.rehearsal.play import Played, play
from scripts.release import Sha
from scripts.summary import append_summary

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Play the drills that were asked for; exit 0 only when every one ended as its book states.

    Raises:
        UsageError: an unknown drill, or nothing to rehearse with.
    """
    console = Console()
    if arguments.chaos and not arguments.real:
        return chaos_command.run(arguments, environment)
    if arguments.list:
        console.result(render_list())
        return 0
    if min(arguments.repeat, arguments.jobs) < 1 or shutil.which("git") is None:
        few = "--repeat and --jobs must be at least 1"
        what = few if min(arguments.repeat, arguments.jobs) < 1 else "git is not on the PATH"
        raise UsageError(what, means="Nothing was started.", next_step="python3 -m scripts rehearse --help")
    targets = choose_targets(arguments.targets, environment, console)
    if arguments.keep:
        return asyncio.run(_keep(targets, environment, console))
    if arguments.chaos:
        return _play_chaos(arguments, targets, environment, console)
    drills = [drill for drill in choose(arguments.drill, targets) for _ in range(arguments.repeat)]
    cli_version, played = asyncio.run(_play_all(drills, targets, environment, console, arguments.jobs))
    ok = all(not row.wrong for row in played)
    if arguments.json:
        told = {"version": 1, "targets": list(targets), "vercel_cli": cli_version}
        console.result({**told, "drills": [row.as_json() for row in played], "ok": ok})
    else:
        console.result(render_table(played))
    append_summary(environment, render_markdown(played))
    return 0 if ok else 10


def _play_chaos(
    arguments: argparse.Namespace, targets: Sequence[str], environment: Mapping[str, str], console: Console
) -> int:
    seed = arguments.seed or secrets.token_hex(4)
    drills = [draw_drill(f"{seed}/{arguments.first + number}") for number in range(arguments.runs)]
    drills = [replace(drill, everywhere="vercel" in targets) for drill in drills]
    _, played = asyncio.run(_play_all(drills, targets, environment, console, arguments.jobs))
    text = render_real(seed, played)
    told = {"version": 1, "seed": seed, "first": arguments.first, "runs": [row.as_json() for row in played]}
    console.result({**told, "ok": not any(row.wrong for row in played)} if arguments.json else text)
    append_summary(environment, f"## Chaos\n\n```\n{text}\n```\n")
    return 10 if any(row.wrong for row in played) else 0


def render_list() -> str:
    """Name the drills, by what is at fault."""
    width = max(len(drill.name) for rows in GROUPS.values() for drill in rows)
    lines = []
    for name, rows in GROUPS.items():
        lines += ["", f"{name} ({len(rows)})", *(f"  {drill.name:<{width}}  {drill.what}" for drill in rows)]
    return "\n".join(lines[1:])


def choose_targets(named: str | None, environment: Mapping[str, str], console: Console) -> tuple[str, ...]:
    """Give what is rehearsed: what was named, else both where this machine can, else Render alone.

    Raises:
        UsageError: there is no such target, or what it needs is not on this machine.
    """
    names = tuple(part.strip() for part in (named or ",".join(BOTH)).split(",") if part.strip())
    if not names or "render" not in names or len(set(names)) != len(names) or set(names) - set(BOTH):
        raise UsageError(
            f"--targets {named} cannot be rehearsed: render, or render,vercel",
            means="Nothing was started.",
            next_step="python3 -m scripts rehearse --targets render,vercel",
        )
    missing = lacks(environment) if "vercel" in names else ""
    if missing and named:
        raise UsageError(missing, means="Nothing was started.", next_step="or rehearse with --targets render")
    if missing:
        console.warn(f"Render alone is rehearsed: {missing}")
    return ("render",) if missing else tuple(sorted(names))


async def _play_all(
    drills: Sequence[Drill], targets: Sequence[str], environment: Mapping[str, str], console: Console, jobs: int
) -> tuple[str | None, list[Played]]:
    """Play each in a temporary folder; the first SIGINT or SIGTERM ends it in order, later ones change nothing."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended and task is not None:
            console.say("interrupted: stopping everything that was started")
            task.cancel()
        ended = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        return await _play_each(drills, targets, environment, console, jobs)
    except asyncio.CancelledError as error:
        if ended:
            raise KeyboardInterrupt from error
        raise


async def _play_each(
    drills: Sequence[Drill], targets: Sequence[str], environment: Mapping[str, str], console: Console, jobs: int
) -> tuple[str | None, list[Played]]:
    if await differs_from_head(ROOT):
        console.warn("uncommitted changes of the service are not rehearsed: a rehearsal ships commits")
    with tempfile.TemporaryDirectory(prefix="slipway-") as kept:
        needed = "vercel" in targets and any(drill.plays_on("vercel") for drill in drills)
        kit = await open_kit(ROOT, Path(kept), environment, console) if needed else None
        free, one_builds = asyncio.Semaphore(jobs), asyncio.Semaphore(1)  # a build takes a core and more

        async def play_one(drill: Drill) -> Played:
            own = kit if drill.plays_on("vercel") else None
            async with one_builds if own else contextlib.nullcontext(), free:
                with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
                    return await play(drill, ROOT, Path(folder), console, own)

        tasks = [asyncio.ensure_future(play_one(drill)) for drill in drills if not drill.alone]
        try:
            played = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                if not task.cancelling():  # a second time would break off what it does to end
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        played += [await play_one(drill) for drill in drills if drill.alone]
    return (kit.cli_version if kit else None), played


async def _keep(targets: Sequence[str], environment: Mapping[str, str], console: Console) -> int:
    with tempfile.TemporaryDirectory(prefix="slipway-") as name:
        folder = Path(name)
        (folder / "kit").mkdir()
        kit = await open_kit(ROOT, folder / "kit", environment, console) if "vercel" in targets else None
        return await keep(ROOT, folder, console, kit)


async def open_kit(root: Path, folder: Path, environment: Mapping[str, str], console: Console) -> Kit:
    """Prepare what a rehearsal of Vercel needs, from the repository's HEAD.

    Raises:
        SlipwayError: it is not to be had here.
    """
    console.say("building the function of the release that serves")
    head = await make_clone(root, folder / "clone")
    return await prepare(root, folder / "clone", Sha(head), folder, environment, lambda line: console.say(f"  {line}"))

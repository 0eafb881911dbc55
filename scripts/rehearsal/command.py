"""The verb `rehearse`: play drills one after the other, and say for each what was expected and what was seen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx

from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import UsageError
from scripts.journal import Journal
from scripts.rehearsal.clone import differs_from_head
from scripts.rehearsal.drills import DRILLS, LOST_IN_BAKE_S, Drill, choose
from scripts.rehearsal.observe import Facts, Seen, compare, observe, rollback_ids
from scripts.rehearsal.runner import Ran, Runner
from scripts.rehearsal.traffic import Traffic
from scripts.rehearsal.world import USERS_PER_S, World, build

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Played:
    """A drill, and what came of it."""

    drill: Drill
    facts: Facts
    seen: Seen
    wrong: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Give the drill's part of the result."""
        seen = asdict(self.seen)
        return {
            "name": self.drill.name,
            "expected": asdict(self.drill.expected),
            "seen": seen,
            "ok": not self.wrong,
            "wrong": list(self.wrong),
            "exit_code": self.seen.exit_code,
            "serving_before": self.facts.serving_before,
            "serving_after": self.facts.serving_after,
            "detected_s": self.seen.detected_s,
            "recovered_s": self.seen.recovered_s,
            "platform_rollback_s": self.seen.platform_rollback_s,
            "user_requests": self.seen.user_requests,
            "user_failures": self.seen.user_failures,
        }


def rehearse(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Play the drills that were asked for; exit 0 only when every one ended as its book states.

    Raises:
        UsageError: an unknown drill, or nothing to rehearse with.
    """
    console = Console()
    if arguments.list:
        console.result("\n".join(f"{drill.name:<24} {drill.what}" for drill in DRILLS))
        return 0
    if arguments.repeat < 1 or shutil.which("git") is None:
        what = "--repeat must be at least 1" if arguments.repeat < 1 else "git is not on the PATH"
        raise UsageError(what, means="Nothing was started.", next_step="python3 -m scripts rehearse --help")
    drills = [drill for drill in choose(arguments.drill) for _ in range(arguments.repeat)]
    played = asyncio.run(_play_all(drills, console))
    if arguments.json:
        ok = all(not row.wrong for row in played)
        console.result({"version": 1, "drills": [row.as_json() for row in played], "ok": ok})
    else:
        console.result(render_table(played))
    return 0 if all(not row.wrong for row in played) else 10


async def _play_all(drills: Sequence[Drill], console: Console) -> list[Played]:
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
    played = []
    try:
        if await differs_from_head(ROOT):
            console.warn("uncommitted changes of the service are not rehearsed: a rehearsal ships commits")
        for drill in drills:
            with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
                played.append(await play(drill, ROOT, Path(folder), console))
    except asyncio.CancelledError as error:
        if ended:
            raise KeyboardInterrupt from error
        raise
    return played


async def play(drill: Drill, root: Path, folder: Path, console: Console) -> Played:
    """Play one drill in an empty folder."""
    console.say(f"drill  {drill.name}: {drill.what}")
    async with build(root, folder, drill) as world:
        console.say(f"  shipping {world.candidate[:7]} over {world.baseline[:7]}, {USERS_PER_S:g} user requests/s")
        facts = await _release(drill, world, folder, console)
    seen = observe(facts)
    wrong = compare(drill, facts, seen)
    for line in wrong:
        console.say(f"  not as stated: {line}")
    console.say(f"{'fail  ' if wrong else 'ok    '} {drill.name}")
    return Played(drill, facts, seen, wrong)


async def _release(drill: Drill, world: World, folder: Path, console: Console) -> Facts:
    runner = Runner(
        world.clone, world.config, folder / "runner", world.secrets, lambda line: console.say(f"    {line}")
    )
    async with Traffic(world.edge.url, world.endpoints, USERS_PER_S) as users:
        before = await ask_commit(world.edge.url)
        ran = await runner.release(world.candidate, drill.kill_in, LOST_IN_BAKE_S)
        after = await ask_commit(world.edge.url)
        facts = _facts(world, runner, ran, before, after)
        await asyncio.sleep(drill.linger_s)
        later = await ask_commit(world.edge.url)
    return replace(
        facts, user_requests=users.requests, user_failures=users.failures, lingered=later == after, serving_after=later
    )


def _facts(world: World, runner: Runner, ran: list[Ran], before: str | None, after: str | None) -> Facts:
    return Facts(
        baseline=world.baseline,
        candidate=world.candidate,
        serving_before=before,
        serving_after=after,
        ran=ran,
        journal=Journal(runner.state, SystemClock(), str).read(),
        platform=world.cloud.events,
        rollbacks=rollback_ids(world.cloud.deploys),
        first_answer_s=world.edge.first_answer(world.candidate),
        user_requests=0,
        user_failures=0,
    )


async def ask_commit(url: str) -> str | None:
    """Ask the public URL which commit serves, as anybody can; a sick service is asked a few times."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        for _ in range(10):
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
                return str((await client.get(f"{url}/version")).raise_for_status().json()["commit"])
            await asyncio.sleep(0.1)
    return None


def render_table(played: Sequence[Played]) -> str:
    """Give a line for each drill: what was expected, what was seen, and the figures."""
    head = ("drill", "stopped by", "exit", "serves", "result", "detected", "recovered", "users failed", "")
    rows = [head, *(_row(row) for row in played)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    good = sum(not row.wrong for row in played)
    return "\n".join([*lines, f"{good} of {len(played)} drills ended as stated"])


def _row(row: Played) -> tuple[str, ...]:
    want, seen = row.drill.expected, row.seen
    return (
        row.drill.name,
        _pair(want.stage or "nothing", seen.stage or "nothing"),
        _pair(str(want.exit_code), str(seen.exit_code)),
        _pair(want.serving, seen.serving),
        _pair(want.result, seen.result),
        _seconds(seen.detected_s),
        _seconds(seen.recovered_s),
        f"{seen.user_failures} of {seen.user_requests}",
        "FAIL" if row.wrong else "ok",
    )


def _pair(want: str, seen: str) -> str:
    return seen if want == seen else f"{seen} (not {want})"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"

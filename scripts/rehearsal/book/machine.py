"""Drills in which the machine that a release runs on is at fault: lost, interrupted, slow, full, or mistaken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from dataclasses import replace

from scripts.journal import NAME
from scripts.rehearsal.book.drill import Drill, Expected, never_started, shipped, went_back
from scripts.rehearsal.changes import fails_a_fifth
from scripts.rehearsal.clouds.render import Faults
from scripts.rehearsal.scene import Meddle, Scene
from scripts.release import Stage
from scripts.report import Result

DAY_S = 86_400.0
INTERRUPTED = 130
LATER_S = {Stage.PLAN: 1.0, Stage.DEPLOY: 1.0, Stage.VERIFY: 1.0, Stage.BAKE: 2.0}


def cut(stage: Stage, number: signal.Signals, after_s: float) -> Meddle:
    """Send a signal to a stage, that long after it began."""

    async def meddle(scene: Scene) -> None:
        await scene.begins(stage)
        await asyncio.sleep(after_s)
        scene.signal(number)

    return meddle


def stutter(runs_s: float, stands_s: float) -> Meddle:
    """Let the machine stand still again and again while the bake watches."""

    async def meddle(scene: Scene) -> None:
        await scene.begins(Stage.BAKE)
        await asyncio.sleep(1)
        watched = scene.runner.processes[Stage.BAKE]
        with contextlib.suppress(ProcessLookupError):
            while Stage.BAKE in scene.runner.processes:
                os.killpg(watched, signal.SIGSTOP)
                await asyncio.sleep(stands_s)
                os.killpg(watched, signal.SIGCONT)
                await asyncio.sleep(runs_s)

    return meddle


async def fill_disk(scene: Scene) -> None:
    """Let no file grow from some moment of the bake on."""
    await scene.begins(Stage.BAKE)
    await asyncio.sleep(1)
    size = max(path.stat().st_size for path in scene.runner.state.iterdir())
    resource.prlimit(scene.runner.processes[Stage.BAKE], resource.RLIMIT_FSIZE, (size, size))


async def tear_journal(scene: Scene) -> None:
    """Cut a line in the middle of the journal in half."""
    path = scene.runner.state / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    lines[middle] = lines[middle][: len(lines[middle]) // 2] + b"\n"
    path.write_bytes(b"".join(lines))


ENDS = {
    Stage.PLAN: never_started(Stage.PLAN),
    Stage.DEPLOY: never_started(Stage.DEPLOY),
    Stage.VERIFY: went_back(Stage.VERIFY, recovered_s=None),
    Stage.BAKE: went_back(Stage.BAKE, recovered_s=None),
}


def cut_off(way: str, number: signal.Signals, stage: Stage, exit_code: int) -> Drill:
    """Give the drill in which a run is ended in a stage; what was asked for until then goes back."""
    lost = number is signal.SIGKILL
    return Drill(
        f"{way}-in-{stage}",
        f"{number.name} in {stage}{'; another machine goes on from what was kept' if lost else ''}",
        replace(ENDS[stage], exit_code=exit_code),
        # So that there is more than a second of each stage to be ended in.
        faults=lambda: Faults(build_extra_s=2, live_early_s=3),
        meddle=cut(stage, number, LATER_S[stage]),
    )


MACHINE: tuple[Drill, ...] = (
    Drill(
        "runner-killed",
        "the runner is lost in the bake; another one recovers from what was saved after the plan",
        Expected(Stage.BAKE, 0, "baseline", Result.ROLLED_BACK),
        meddle=cut(Stage.BAKE, signal.SIGKILL, 2.0),
        everywhere=True,
    ),
    *(cut_off("interrupted", signal.SIGINT, stage, INTERRUPTED) for stage in ENDS),
    *(cut_off("terminated", signal.SIGTERM, stage, INTERRUPTED) for stage in ENDS),
    *(cut_off("killed", signal.SIGKILL, stage, 0) for stage in (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY)),
    Drill(
        "killed-in-rollback",
        "the commit is bad, and the runner is lost while it goes back",
        went_back(Stage.BAKE, user_failures=600, recovered_s=None),
        fails_a_fifth,
        meddle=cut(Stage.ROLLBACK, signal.SIGKILL, 0.2),
    ),
    Drill(
        "killed-in-recover",
        "the runner is lost in the bake, and the next one while it recovers",
        went_back(Stage.BAKE, 0, recovered_s=None),
        meddle=lambda scene: _lose_twice(scene),
    ),
    Drill(
        "artifact-lost",
        "the runner is lost in the bake, and what it saved is too: the platform alone tells what served",
        went_back(Stage.BAKE, 0, recovered_s=None),
        meddle=cut(Stage.BAKE, signal.SIGKILL, 2.0),
        artifacts_lost=True,
    ),
    Drill(
        "journal-torn",
        "the commit is bad, and a line in the middle of the journal is torn when it has to go back",
        went_back(Stage.BAKE, user_failures=600, recovered_s=None),
        fails_a_fifth,
        interludes={Stage.ROLLBACK: tear_journal},
    ),
    Drill(
        "disk-full",
        "from a moment of the bake on nothing can be written",
        went_back(Stage.BAKE, 12, recovered_s=None),
        meddle=fill_disk,
    ),
    Drill(
        "runner-slow",
        "the runner stands still for 0.8 s of every second: that is said, and the release is not called bad",
        went_back(Stage.BAKE, 12, told="too busy to probe"),
        meddle=stutter(0.2, 0.8),
        windows={"bake": {"least_s": 10, "most_s": 15}},
    ),
    Drill(
        "runner-stutters",
        "the runner stands still for a second, twice",
        shipped(),
        meddle=lambda scene: _stand_twice(scene),
    ),
    Drill("clock-ahead", "the runner's clock is a day ahead", shipped(), clock_off_s=DAY_S),
    Drill(
        "clock-behind",
        "the commit is bad, and the runner's clock is a day behind",
        went_back(Stage.BAKE, user_failures=250),
        fails_a_fifth,
        clock_off_s=-DAY_S,
    ),
)


async def _lose_twice(scene: Scene) -> None:
    await cut(Stage.BAKE, signal.SIGKILL, 2.0)(scene)
    await asyncio.sleep(0.5)
    await scene.begins(Stage.RECOVER)
    await asyncio.sleep(0.3)
    scene.signal(signal.SIGKILL)


async def _stand_twice(scene: Scene) -> None:
    await scene.begins(Stage.BAKE)
    for _ in range(2):
        await asyncio.sleep(2)
        process = scene.runner.processes[Stage.BAKE]
        os.killpg(process, signal.SIGSTOP)
        await asyncio.sleep(1)
        os.killpg(process, signal.SIGCONT)

"""Runs gates as child processes, side by side, and says how each ended; `scripts.gates.summing_up` what that means.

Decides which gate may start: one that needs others waits for them, and never starts where one of them did not pass; one
that measures this machine waits until nobody else works on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scripts.gates.jobs import Gate
from scripts.gates.leftovers import ending_orphans
from scripts.rehearsal.children import end_child, start_child

HEARTBEAT_S = 30.0
GRACE_S = 10.0  # to clean up in
SLOWER = 2  # a job has its machine to itself; here the limit is that much longer
YIELDED = 5  # of niceness, where two want the same processor: a quarter of it


class Result(enum.StrEnum):
    """How a gate ended; only the first is a pass."""

    OK = "ok"
    FAIL = "fail"
    UNSURE = "unsure"
    ERROR = "error"
    STOPPED = "stopped"
    NOT_RUN = "not run"


RESULTS = {0: Result.OK, 11: Result.UNSURE, 12: Result.ERROR}  # any other code is a failure: 2, too, proves nothing


@dataclass(frozen=True)
class Run:
    """A gate to be run: its command, what its environment has beside ours, and where its output goes."""

    gate: Gate
    command: tuple[str, ...]
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a gate ended; `code` is None where no process told, `why` says what else there is to say."""

    run: Run
    result: Result
    seconds: float = 0.0
    code: int | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The gate's name."""
        return self.run.gate.name


@dataclass(frozen=True)
class Ground:
    """Where gates run, and with what patience, in seconds."""

    root: Path
    environment: Mapping[str, str]
    heartbeat_s: float = HEARTBEAT_S
    grace_s: float = GRACE_S
    limit_s: float | None = None  # the gate's own


class Watcher(Protocol):
    """Who is told while gates run."""

    def began(self, run: Run) -> None:
        """A gate was started."""

    def ended(self, row: Ended) -> None:
        """A gate ended, or will never be run."""

    def waited(self, going: Mapping[str, float]) -> None:
        """A heartbeat: these gates run, for so many seconds."""


def plan_next(runs: Sequence[Run], ended: Mapping[str, Result], going: Collection[str]) -> list[Run]:
    """Give what may start now, the longest first."""
    waiting = [run for run in runs if run.gate.name not in ended and run.gate.name not in going]
    ready = [run for run in waiting if all(ended.get(name) is Result.OK for name in run.gate.needs)]
    together = [run for run in ready if not run.gate.alone]
    if together or going or any(not run.gate.alone for run in waiting):
        return sorted(together, key=lambda run: -run.gate.minutes)
    return ready[:1]


def plan_never(runs: Sequence[Run], ended: Mapping[str, Result]) -> dict[str, str]:
    """Give the gates that can never start, each with the reason."""
    bad = [name for name, result in ended.items() if result is not Result.OK]
    missed = {run.gate.name: [name for name in bad if name in run.gate.needs] for run in runs}
    return {
        name: f"{' and '.join(names)} did not pass" for name, names in missed.items() if names and name not in ended
    }


def judge_code(code: int) -> Result:
    """Say what a gate's exit code means."""
    return RESULTS.get(code, Result.FAIL)


async def run_side_by_side(
    runs: Sequence[Run], ground: Ground, watcher: Watcher, stop: asyncio.Event, *, fail_fast: bool = False
) -> list[Ended]:
    """Run gates until all have ended, `stop` is set or, with `fail_fast`, one is red; then end the others.

    Gives one row for each, in the given order. Nothing of a stopped gate is left running; of one that ended by itself
    nothing in its group is.
    """
    stopping = asyncio.create_task(stop.wait())
    some = _Some(runs, ground, watcher)
    try:
        while not (stop.is_set() or (fail_fast and some.red)):
            some.start()
            if not some.going:
                break
            await some.wait(stopping)
    finally:
        stopping.cancel()
        await some.stop()
    return some.rows()


class _Some:
    """Gates of which some have ended and some are going."""

    def __init__(self, runs: Sequence[Run], ground: Ground, watcher: Watcher) -> None:
        self._runs, self._ground, self._watcher = runs, ground, watcher
        self._ended: dict[str, Ended] = {}
        self.going: dict[asyncio.Task[Ended], Run] = {}
        self._since: dict[str, float] = {}

    @property
    def red(self) -> bool:
        """Whether one that ended did not pass."""
        return any(row.result is not Result.OK for row in self._ended.values())

    @property
    def _results(self) -> dict[str, Result]:
        return {name: row.result for name, row in self._ended.items()}

    def start(self) -> None:
        """Start what may start now, and write off what never will."""
        never = plan_never(self._runs, self._results)
        for run in [run for run in self._runs if run.gate.name in never]:
            self._note(Ended(run, Result.NOT_RUN, why=never[run.gate.name]))
        for run in plan_next(self._runs, self._results, {run.gate.name for run in self.going.values()}):
            self._watcher.began(run)
            self._since[run.gate.name] = time.monotonic()
            self.going[asyncio.create_task(_run_one(run, self._ground))] = run

    async def wait(self, stopping: asyncio.Task[bool]) -> None:
        """Wait until one has ended, for a heartbeat at most, or until all are to stop."""
        done, _ = await asyncio.wait(
            {*self.going, stopping}, timeout=self._ground.heartbeat_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            now = time.monotonic()
            self._watcher.waited({run.gate.name: now - self._since[run.gate.name] for run in self.going.values()})
        for task in [task for task in self.going if task in done]:
            del self.going[task]
            self._note(task.result())

    async def stop(self) -> None:
        """End what is going, with everything that it started."""
        if not self.going:
            return
        async with ending_orphans():
            for task in self.going:
                task.cancel()
            told = await asyncio.gather(*self.going, return_exceptions=True)
        for run, row in zip(self.going.values(), told, strict=True):  # a task that never began knows of no row
            self._note(row if isinstance(row, Ended) else Ended(run, Result.STOPPED))
        self.going.clear()

    def rows(self) -> list[Ended]:
        """Give one row for each; what was never started is told now."""
        for run in self._runs:
            if run.gate.name not in self._ended:
                self._note(Ended(run, Result.NOT_RUN, why="the others were stopped before it began"))
        return [self._ended[run.gate.name] for run in self._runs]

    def _note(self, row: Ended) -> None:
        self._ended[row.name] = row
        self._watcher.ended(row)


async def _run_one(run: Run, ground: Ground) -> Ended:
    """Run one gate to its end; a cancel ends it, and is told as that."""
    began = time.monotonic()
    limit_s = ground.limit_s or run.gate.minutes * 60 * SLOWER
    result, code, why = Result.STOPPED, None, ""
    try:
        code = await _to_its_end(run, ground, limit_s)
        result, why = judge_code(code), f"exit {code}" if code else ""
    except TimeoutError:
        result, why = Result.FAIL, f"it did not end within {limit_s:g} s"
    except OSError as error:
        result, why = Result.FAIL, f"it cannot be started: {error}"
    except asyncio.CancelledError:
        why = "it was stopped"
    return Ended(run, result, time.monotonic() - began, code, why)


async def _to_its_end(run: Run, ground: Ground, limit_s: float) -> int:
    environment = {**ground.environment, **run.settings}
    child = await start_child(run.command, environment=environment, folder=ground.root, log=run.log)
    grace_s = ground.grace_s
    try:
        if run.gate.yields:
            _yield(child.process.pid)
        code = await asyncio.wait_for(child.process.wait(), limit_s)
        grace_s = 0
    finally:
        await end_child(child, grace_s)
    return code


def _yield(number: int) -> None:
    """Let others go first; what the process starts later does too."""
    with contextlib.suppress(OSError):  # it may have ended already
        os.setpriority(os.PRIO_PROCESS, number, min(os.getpriority(os.PRIO_PROCESS, number) + YIELDED, 19))

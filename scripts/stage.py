"""What every stage gets, and how it is journaled."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.checkout import Checkout
from scripts.clock import Clock, Deadline
from scripts.config import Config
from scripts.console import Console
from scripts.errors import SlipwayError, UsageError
from scripts.journal import Journal, Kind
from scripts.platforms import History, Platform
from scripts.probe import Witness, start_thread
from scripts.release import STAGES, Deployment, Release, Stage
from scripts.state import RunState, replay
from scripts.verdict import Outcome, Verdict, passed, worst

HEARTBEAT_S = 30
READ_S = 60  # seconds that reading what serves may take in all

Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True)
class Target:
    """A place that users call; `witness` is what asks it."""

    name: str
    platform: Platform
    url: str
    instances: int
    witness: Witness


@dataclass(frozen=True)
class Ports:
    """Everything that a stage may touch."""

    config: Config
    targets: tuple[Target, ...]
    journal: Journal
    clock: Clock
    console: Console
    checkout: Checkout
    folder: Path
    artifact_bytes: int = 0  # of what is staged, where that was built before
    spawn: Callable[[Callable[[], None]], None] = start_thread

    @property
    def names(self) -> tuple[str, ...]:
        """The targets' names."""
        return tuple(target.name for target in self.targets)

    def going(self) -> tuple[Target, ...]:
        """Give the targets that the release still goes to: all, unless each goes alone and one has failed."""
        state = self.state()
        alone = state.release is not None and not state.release.together
        return tuple(target for target in self.targets if not (alone and target.name in state.out))

    def state(self) -> RunState:
        """Give what the journal adds up to now."""
        return replay(self.journal.read())

    def deadline(self, seconds: float) -> Deadline:
        """Give a deadline on the clock."""
        return Deadline.after(self.clock, seconds)


def run_stage(ports: Ports, stage: Stage, body: Callable[[Ports], Verdicts]) -> Verdict:
    """Run a stage between two journal events; an error or an interrupt is journaled too, and goes on."""
    start = ports.clock.monotonic()
    ports.console.say(f"{stage}")
    ports.journal.append(Kind.STAGE_STARTED, stage=stage)
    try:
        targets = body(ports)
    except SlipwayError as error:
        _journal_end(ports, stage, "error", error.what, error.exit_code, start)
        raise
    except KeyboardInterrupt:
        _journal_end(ports, stage, "error", "interrupted", 130, start)
        raise
    seconds = ports.clock.monotonic() - start
    verdict = conclude(ports.state(), stage, targets)
    flags = {name: getattr(verdict, name) for name in ("next_step", "not_proven", "superseded", "environment")}
    told = {name: asdict(row) for name, row in targets.items()}
    _journal_end(ports, stage, verdict.outcome, verdict.reason, verdict.exit_code, start, **flags, targets=told)
    ports.console.end(stage, verdict.outcome, verdict.reason, seconds)
    if verdict.next_step and not verdict.passed:
        ports.console.say(f"next   {verdict.next_step}")
    return verdict


def conclude(state: RunState, stage: Stage, verdicts: Verdicts) -> Verdict:
    """Give the stage's verdict: the worst of its targets'.

    Where each target goes alone, a stage passes as long as one of them goes on; the last one tells all that failed.
    """
    if state.release is None or state.release.together or stage not in STAGES:
        return worst(verdicts.values())
    if stage is Stage.BAKE:
        before = {name: row for ended in state.stages.values() for name, row in ended.targets.items() if not row.passed}
        return worst({**before, **verdicts}.values())
    going = any(verdict.passed for verdict in verdicts.values())
    return passed("; ".join(row.reason for row in verdicts.values())) if going else worst(verdicts.values())


def _journal_end(
    ports: Ports, stage: Stage, outcome: str, reason: str, code: int, start: float, **flags: object
) -> None:
    seconds = round(ports.clock.monotonic() - start, 3)
    told = {"stage": stage, "outcome": outcome, "reason": reason, "exit_code": code, "duration_s": seconds}
    ports.journal.append(Kind.STAGE_ENDED, "", **told, **flags)


def attempt(ports: Ports, act: Callable[[], Verdict]) -> Verdict:
    """Do it; where each target goes alone, an error that stops one is its verdict and not the others' end."""
    try:
        return act()
    except SlipwayError as error:
        release = ports.state().release
        if release is None or release.together:
            raise
        return Verdict(Outcome.ERROR, error.what, error.next_step)


def side_by_side(ports: Ports, acts: Mapping[str, Callable[[], Verdict]]) -> Verdicts:
    """Do what is to be done on each target at the same time, so that one that hangs does not keep the others waiting.

    Raises:
        BaseException: the first that one of them raised, when all have ended.
    """
    done: dict[str, Verdict] = {}
    raised: list[BaseException] = []
    ended = [threading.Event() for _ in acts]

    def work(name: str, act: Callable[[], Verdict], over: threading.Event) -> None:
        try:
            done[name] = attempt(ports, act)
        except BaseException as error:  # noqa: BLE001 - raised again where the stage can see it
            raised.append(error)
        finally:
            over.set()

    spawn = ports.spawn if len(acts) > 1 else lambda given: given()
    for (name, act), over in zip(acts.items(), ended, strict=True):
        spawn(functools.partial(work, name, act, over))
    for over in ended:
        over.wait()
    if raised:
        raise raised[0]
    return {name: done[name] for name in acts}


def planned(state: RunState) -> Release:
    """Give the release that `plan` wrote down.

    Raises:
        UsageError: there is no plan, or the plan did not pass.
    """
    if state.release is None:
        raise UsageError(
            "there is no planned release in the state folder",
            means="Nothing was changed.",
            next_step="run `python3 -m scripts plan` first, with the same --state",
        )
    if not state.passed(Stage.PLAN):
        raise UsageError(
            "plan did not pass, so nothing may be changed", next_step="run `python3 -m scripts plan` again"
        )
    return state.release


def ids(history: History | None) -> frozenset[str]:
    """Give the ids of every deployment that a history names."""
    return frozenset(row.id for row in history.deployments if row.id) if history else frozenset()


def journal_deployment(ports: Ports, target: Target, action: str, deployment: Deployment, kind: Kind) -> None:
    """Write down what a platform made of a change."""
    named = {"id", "commit", "state", "detail", "url"}
    row = {name: value for name, value in asdict(deployment).items() if name in named}
    ports.journal.append(kind, target.name, action=action, **row)

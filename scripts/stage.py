"""What every stage gets, and how it is journaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.checkout import Checkout
from scripts.clock import Clock, Deadline
from scripts.config import Config
from scripts.console import Console
from scripts.errors import SlipwayError, UsageError
from scripts.journal import Journal, Kind
from scripts.platforms import History, Platform
from scripts.probe import Witness
from scripts.release import Deployment, Release, Stage
from scripts.state import RunState, replay
from scripts.verdict import Verdict

HEARTBEAT_S = 30
READ_S = 60  # seconds that reading what serves may take in all


@dataclass(frozen=True)
class Target:
    """A place that users call."""

    name: str
    platform: Platform
    url: str
    instances: int


@dataclass(frozen=True)
class Ports:
    """Everything that a stage may touch."""

    config: Config
    targets: tuple[Target, ...]
    journal: Journal
    clock: Clock
    console: Console
    witness: Witness
    checkout: Checkout
    folder: Path

    def state(self) -> RunState:
        """Give what the journal adds up to now."""
        return replay(self.journal.read())

    def deadline(self, seconds: float) -> Deadline:
        """Give a deadline on the clock."""
        return Deadline.after(self.clock, seconds)


def run_stage(ports: Ports, stage: Stage, body: Callable[[Ports], Verdict]) -> Verdict:
    """Run a stage between two journal events; an error or an interrupt is journaled too, and goes on."""
    start = ports.clock.monotonic()
    ports.console.say(f"{stage}")
    ports.journal.append(Kind.STAGE_STARTED, stage=stage)
    try:
        verdict = body(ports)
    except SlipwayError as error:
        _journal_end(ports, stage, "error", error.what, error.exit_code, start)
        raise
    except KeyboardInterrupt:
        _journal_end(ports, stage, "error", "interrupted", 130, start)
        raise
    seconds = ports.clock.monotonic() - start
    flags = {name: getattr(verdict, name) for name in ("next_step", "not_proven", "superseded", "environment")}
    _journal_end(ports, stage, verdict.outcome, verdict.reason, verdict.exit_code, start, **flags)
    ports.console.end(stage, verdict.outcome, verdict.reason, seconds)
    if verdict.next_step and not verdict.passed:
        ports.console.say(f"next   {verdict.next_step}")
    return verdict


def _journal_end(
    ports: Ports, stage: Stage, outcome: str, reason: str, code: int, start: float, **flags: object
) -> None:
    seconds = round(ports.clock.monotonic() - start, 3)
    told = {"stage": stage, "outcome": outcome, "reason": reason, "exit_code": code, "duration_s": seconds}
    ports.journal.append(Kind.STAGE_ENDED, "", **told, **flags)


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
    row = {name: value for name, value in asdict(deployment).items() if name in {"id", "commit", "state", "detail"}}
    ports.journal.append(kind, target.name, action=action, **row)

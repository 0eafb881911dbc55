"""What every stage gets, how it is journaled, and the few things that several stages do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.checkout import Checkout
from scripts.clock import Clock, Deadline
from scripts.config import Config
from scripts.console import Console
from scripts.errors import PlatformUnreachable, SlipwayError, UsageError
from scripts.journal import Journal, Kind
from scripts.platforms import History, Platform
from scripts.probe import Witness
from scripts.release import Deployment, Release, Sha, Stage, short
from scripts.state import RunState, TargetState, replay
from scripts.verdict import Verdict, superseded_by

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


def follow(
    ports: Ports, target: Target, deployment: Deployment, known: frozenset[str], deadline: Deadline
) -> Deployment | None:
    """Read a deployment until it has ended; None when the deadline came first. An outage of the API is waited out.

    A deployment that the platform did not name is looked for among those that were not there before.

    Raises:
        PlatformError: a status that is not known, or an answer that is nonsense.
    """
    beat, last = ports.clock.monotonic(), ""
    while not deadline.passed:
        try:
            found = _read(target, deployment, known, deadline)
        except PlatformUnreachable as error:
            found = None
            last = _changed(ports, target, last, f"cannot be read: {error.what}")
        if found is not None:
            deployment = found
            last = _changed(ports, target, last, f"deploy {found.id} is {found.state} ({found.detail})")
            if found.state.ended:
                return found
        if ports.clock.monotonic() - beat >= HEARTBEAT_S:
            beat = ports.clock.monotonic()
            ports.console.state(target.name, f"still waiting: {last}, {deadline.left_s:.0f} s left")
        deadline.pause(ports.config.deploy.poll_s)
    return None


def _read(target: Target, deployment: Deployment, known: frozenset[str], deadline: Deadline) -> Deployment | None:
    if deployment.id is not None:
        return target.platform.fetch_deployment(deployment.id, deadline)
    history = target.platform.fetch_history(deadline)
    if history is None or deployment.commit is None:
        return None
    return history.new_since(known, deployment.commit)


def _changed(ports: Ports, target: Target, last: str, now: str) -> str:
    if now != last:
        ports.console.state(target.name, now)
    return now


def ids(history: History | None) -> frozenset[str]:
    """Give the ids of every deployment that a history names."""
    return frozenset(row.id for row in history.deployments if row.id) if history else frozenset()


def find_intruder(ports: Ports, target: Target, state: TargetState, candidate: Sha) -> Verdict | None:
    """Re-read a target before a change: anything but the baseline or our own candidate there supersedes this run.

    Raises:
        PlatformError: the platform could not be read.
    """
    history = target.platform.fetch_history(ports.deadline(READ_S))
    stranger = _strange_deployment(history, state, candidate) if history else None
    if stranger is not None:
        return superseded_by(f"{target.name} has deploy {stranger.id} of {short(stranger.commit)}, {stranger.state}")
    allowed = {candidate, state.baseline.commit if state.baseline else None, None}
    seen = ports.witness.ask_version(target.url)
    if seen.commit not in allowed and state.baseline is not None and state.baseline.commit is not None:
        return superseded_by(f"{target.url} answers as {short(seen.commit)}")
    return None


def _strange_deployment(history: History, state: TargetState, candidate: Sha) -> Deployment | None:
    """Give a deployment that is live or on its way and not ours; one of our commit that we asked for is ours."""
    named = state.deploy is not None and state.deploy.deployment is not None and state.deploy.deployment.id
    own = state.own_ids
    for row in history.deployments:
        busy = not row.state.ended or row is history.current
        adopted = not named and row.commit == candidate and row.id not in state.known
        going_back = state.rollback is not None and row.id not in state.rollback.known and row.commit == _old(state)
        if busy and row.id not in own and not adopted and not going_back:
            return row
    return None


def _old(state: TargetState) -> Sha | None:
    return state.baseline.commit if state.baseline else None


def journal_deployment(ports: Ports, target: Target, action: str, deployment: Deployment, kind: Kind) -> None:
    """Write down what a platform made of a change."""
    row = {name: value for name, value in asdict(deployment).items() if name in {"id", "commit", "state", "detail"}}
    ports.journal.append(kind, target.name, action=action, **row)

"""What a journal adds up to: the release, what was done to each target, and how each stage ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from scripts.journal import Event, Kind
from scripts.release import STAGES, Baseline, Deployment, DeployState, Release, Sha, Stage, parse_sha
from scripts.verdict import Outcome, Verdict

DEPLOY, PROMOTE, ROLL_BACK, CANCEL = "deploy", "promote", "roll_back", "cancel"


@dataclass(frozen=True)
class Change:
    """A mutation of a target: asked for (`known` are the deployments there before), and what the platform named."""

    known: frozenset[str] = frozenset()
    deployment: Deployment | None = None
    refused: str = ""


@dataclass(frozen=True)
class TargetState:
    """One target, as far as this release has touched it."""

    baseline: Baseline | None = None
    deploy: Change | None = None
    rollback: Change | None = None
    promote: Change | None = None
    proven: Sha | None = None
    verified: tuple[Mapping[str, tuple[int, int]], ...] = ()  # probes sent and failed, by second, of the last proof

    @property
    def asked(self) -> bool:
        """Whether the platform may be at work on the candidate, or may serve it."""
        return self.deploy is not None and not self.deploy.refused

    @property
    def known(self) -> frozenset[str]:
        """The deployments that were there before ours; after a lost run the plan's memory of them."""
        planned = frozenset(self.baseline.known) if self.baseline else frozenset()
        return planned | (self.deploy.known if self.deploy else frozenset())

    @property
    def own_ids(self) -> frozenset[str]:
        """The deployments that are ours to act on: the baseline, the candidate, the rollback."""
        changes = [change.deployment for change in (self.deploy, self.rollback) if change and change.deployment]
        ids = [row.id for row in changes] + [self.baseline.deployment_id if self.baseline else None]
        return frozenset(row for row in ids if row)


@dataclass(frozen=True)
class Ended:
    """How a stage ended; `verdict` None means that it was started and never ended: the run was lost in it.

    `targets` are the verdicts of each target, of which `verdict` is made; none where the stage was interrupted.
    """

    started_at: datetime
    ended_at: datetime | None = None
    verdict: Verdict | None = None
    exit_code: int | None = None
    targets: Mapping[str, Verdict] = field(default_factory=dict)

    def about(self, names: Iterable[str]) -> bool:
        """Whether it has a verdict of each of these targets, or none of any."""
        return not self.targets or set(names) <= set(self.targets)


@dataclass(frozen=True)
class RunState:
    """The whole."""

    release: Release | None = None
    targets: Mapping[str, TargetState] = field(default_factory=dict)
    stages: Mapping[Stage, Ended] = field(default_factory=dict)

    @property
    def superseded(self) -> frozenset[str]:
        """The targets that someone else moved during this run."""
        rows = [row.targets.items() for row in self.stages.values()]
        return frozenset(name for items in rows for name, verdict in items if verdict.superseded)

    @property
    def out(self) -> frozenset[str]:
        """The targets on which a stage of the release did not pass."""
        rows = [row.targets.items() for stage, row in self.stages.items() if stage in STAGES]
        return frozenset(name for items in rows for name, verdict in items if not verdict.passed)

    def only(self, name: str) -> RunState:
        """Give the release as if this were its only target."""
        told = {stage: row for stage, row in self.stages.items() if stage in STAGES or row.about({name})}
        stages = {stage: _only(row, name) for stage, row in told.items()}
        targets = {name: self.targets[name]} if name in self.targets else {}
        return replace(self, targets=targets, stages=stages)

    def passed(self, stage: Stage) -> bool:
        """Whether a stage's last run passed; a way back, on every target: one that goes alone may have gone back."""
        row = self.stages.get(stage)
        if row is None or row.verdict is None or not row.verdict.passed:
            return False
        return stage in STAGES or row.about(self.targets)

    @property
    def lost(self) -> bool:
        """Whether nothing is known of what came after a plan that passed."""
        return self.passed(Stage.PLAN) and set(self.stages) <= {Stage.PLAN, Stage.ROLLBACK, Stage.RECOVER}

    @property
    def moved(self) -> bool:
        """Whether any platform was asked for anything."""
        return any(target.asked or target.rollback is not None for target in self.targets.values())


def _only(row: Ended, name: str) -> Ended:
    own = row.targets.get(name)
    if own is None:
        return row
    return replace(row, verdict=own, exit_code=own.exit_code, targets={name: own})


def replay(events: Iterable[Event]) -> RunState:
    """Give what the events add up to."""
    state = RunState()
    for event in events:
        state = _apply(state, event)
    return state


def _apply(state: RunState, event: Event) -> RunState:
    match event.kind:
        case Kind.RELEASE:
            return replace(state, release=_release(event))
        case Kind.STAGE_STARTED | Kind.STAGE_ENDED:
            stage = Stage(event.text("stage"))
            return replace(state, stages={**_kept(state.stages, stage), stage: _ended(state, event)})
        case Kind.NOTE:
            return state
        case _:
            old = state.targets.get(event.target, TargetState())
            return replace(state, targets={**state.targets, event.target: _touched(old, event)})


def _kept(stages: Mapping[Stage, Ended], stage: Stage) -> dict[Stage, Ended]:
    """Drop the end of a rollback when the release goes on after it: it says nothing about what comes then."""
    void = {Stage.ROLLBACK, Stage.RECOVER} if stage in STAGES else set()
    return {name: row for name, row in stages.items() if name not in void}


def _touched(target: TargetState, event: Event) -> TargetState:
    match event.kind:
        case Kind.BASELINE:
            return replace(target, baseline=_baseline(event))
        case Kind.PROOF:
            proven = target.proven if event.fields.get("staged") else parse_sha(event.text("commit"))
            return replace(target, proven=proven, verified=_seconds(event))
        case Kind.INTENT | Kind.DONE | Kind.FAILED | Kind.DEPLOYMENT:
            return _changed(target, event)
        case _:
            return target


def _changed(target: TargetState, event: Event) -> TargetState:
    match event.text("action"):
        case "deploy":
            return replace(target, deploy=_change(target.deploy, event))
        case "roll_back":
            return replace(target, rollback=_change(target.rollback, event))
        case "promote":
            return replace(target, promote=_change(target.promote, event))
        case _:
            return target


def _change(change: Change | None, event: Event) -> Change:
    if event.kind is Kind.INTENT:
        return Change(known=frozenset(map(str, _rows(event.fields.get("known")))))
    old = change or Change()
    if event.kind is Kind.FAILED:
        return replace(old, refused=event.text("reason") or "refused")
    if not event.text("state"):
        return old
    deployment = Deployment(
        id=event.text("id") or (old.deployment.id if old.deployment else None),
        commit=parse_sha(event.text("commit")),
        state=DeployState(event.text("state")),
        detail=event.text("detail"),
        url=event.text("url") or (old.deployment.url if old.deployment else ""),
    )
    return replace(old, deployment=deployment)


def _ended(state: RunState, event: Event) -> Ended:
    if event.kind is Kind.STAGE_STARTED:
        return Ended(event.at)
    begun = state.stages.get(Stage(event.text("stage")))
    verdict = _verdict(event.fields)
    code = event.fields.get("exit_code")
    started_at = begun.started_at if begun else event.at
    told = event.fields.get("targets")
    rows = told.items() if isinstance(told, dict) else ()
    targets = {str(name): _verdict(row) for name, row in rows if isinstance(row, dict)}
    return Ended(started_at, event.at, verdict, code if isinstance(code, int) else verdict.exit_code, targets)


def _verdict(fields: Mapping[str, object]) -> Verdict:
    flags = {name: bool(fields.get(name)) for name in ("not_proven", "superseded", "environment")}
    reason, step = (str(fields.get(name) or "") for name in ("reason", "next_step"))
    return Verdict(Outcome(str(fields.get("outcome"))), reason, step, **flags)


def _release(event: Event) -> Release:
    commit = parse_sha(event.text("commit"))
    assert commit is not None, "the journal's own release event always holds a full commit"  # noqa: S101
    targets = tuple(map(str, _rows(event.fields.get("targets"))))
    started_at = datetime.fromisoformat(event.text("started_at"))
    together = event.fields.get("together") is not False
    return Release(commit, event.text("run_id"), started_at, targets, together, event.text("by"), event.text("why"))


def _baseline(event: Event) -> Baseline:
    fields = event.fields
    return Baseline(
        target=event.target,
        commit=parse_sha(fields.get("commit")),
        deployment_id=event.text("deployment_id") or None,
        proven=bool(fields.get("proven")),
        instances=_count(fields.get("instances"), 1),
        instance_ids=tuple(map(str, _rows(fields.get("instance_ids")))),
        healthy=bool(fields.get("healthy")),
        first=bool(fields.get("first")),
        probes=_count(fields.get("probes"), 0),
        failures_by_s=tuple(_count(row, 0) for row in _rows(fields.get("failures_by_s"))),
        known=tuple(map(str, _rows(fields.get("known")))),
        url=event.text("url"),
    )


def _seconds(event: Event) -> tuple[Mapping[str, tuple[int, int]], ...]:
    rows = [row for row in _rows(event.fields.get("seconds")) if isinstance(row, dict)]
    return tuple({str(name): _pair(value) for name, value in row.items()} for row in rows)


def _pair(value: object) -> tuple[int, int]:
    counts = [_count(part, 0) for part in _rows(value)] + [0, 0]
    return counts[0], counts[1]


def _rows(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _count(value: object, default: int) -> int:
    return value if isinstance(value, int) else default

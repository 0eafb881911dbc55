"""What became of a release, from its journal alone: the one word, where each target stands, `release.json` for tools.

`summary`, `page` and `webhook` say the same to people.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path

from scripts.foreign import plain
from scripts.release import DeployState, Sha, Stage, short
from scripts.state import Ended, RunState, TargetState

LOST = "lost"  # in place of an outcome: the stage began and never ended


class Result(enum.StrEnum):
    """What became of a release."""

    ROLLED_OUT = "rolled_out"
    ROLLED_BACK = "rolled_back_to"
    NEVER_STARTED = "never_started"
    SUPERSEDED = "superseded"
    STILL_BROKEN = "still_broken"


NOT_KNOWN = "not known"
WORST_FIRST = (
    Result.STILL_BROKEN,
    Result.SUPERSEDED,
    Result.ROLLED_BACK,
    Result.NEVER_STARTED,
    Result.ROLLED_OUT,
)


def judge_result(state: RunState) -> Result:
    """Give the one word: what is not known to have ended well is still broken, and the worst target tells."""
    if state.release is None or state.release.together:
        return _result_of_unit(state)
    results = (_result_of_unit(state.only(name)) for name in state.targets)
    return min(results, key=WORST_FIRST.index, default=Result.NEVER_STARTED)


def _result_of_unit(state: RunState) -> Result:
    if _last(state, not_proven=True):
        return Result.STILL_BROKEN
    if state.superseded:
        return Result.SUPERSEDED
    if state.passed(Stage.BAKE):
        return Result.ROLLED_OUT
    if not state.moved:
        return Result.NEVER_STARTED
    if not (state.passed(Stage.ROLLBACK) or state.passed(Stage.RECOVER)):
        return Result.STILL_BROKEN
    targets = state.targets.values()
    if not all(_on_baseline(target) or _never_live(target) for target in targets):
        return Result.STILL_BROKEN
    went = any(target.rollback and _on_baseline(target) for target in targets)
    return Result.ROLLED_BACK if went else Result.NEVER_STARTED


def _last(state: RunState, *, not_proven: bool) -> bool:
    rows = [state.stages.get(Stage.ROLLBACK), state.stages.get(Stage.RECOVER)]
    ended = [row for row in rows if row and row.ended_at and row.verdict]
    last = max(ended, key=lambda row: row.ended_at or row.started_at, default=None)
    return last is not None and last.verdict is not None and last.verdict.not_proven is not_proven


def _on_baseline(target: TargetState) -> bool:
    return target.proven is not None and target.baseline is not None and target.proven == target.baseline.commit


def _never_live(target: TargetState) -> bool:
    if not target.asked:
        return True
    deployment = target.deploy.deployment if target.deploy else None
    promoted = target.promote is not None and not target.promote.refused
    ended = {DeployState.FAILED, DeployState.CANCELED} | (set() if promoted else {DeployState.STAGED})
    return deployment is not None and deployment.state in ended


def as_json(state: RunState) -> dict[str, object]:
    """Give release.json: one versioned object."""
    release = state.release
    return {
        "version": 1,
        "commit": release.commit if release else None,
        "run_id": release.run_id if release else None,
        "started_at": release.started_at.isoformat() if release else None,
        "by": release.by or None if release else None,
        "why": release.why or None if release else None,
        "result": judge_result(state),
        "targets": {name: _target_json(state, name) for name in names_of(state)},
        "stages": [_stage_json(stage, row) for stage, row in state.stages.items()],
    }


def names_of(state: RunState) -> tuple[str, ...]:
    """Give the targets, also one of which nothing was written down."""
    return tuple(dict.fromkeys([*(state.release.targets if state.release else ()), *state.targets]))


def _target_json(state: RunState, name: str) -> dict[str, object]:
    target = state.targets.get(name, TargetState())
    baseline = target.baseline
    deployment = target.deploy.deployment if target.deploy else None
    ids = (baseline.deployment_id if baseline else None, deployment.id if deployment else None)
    by_hand = state.release is not None and state.release.by_hand
    old, new = _way(state, name)
    return {
        "from": old,
        "from_deploy": None if by_hand else ids[0],
        "to": new,
        "to_deploy": ids[0] if by_hand else ids[1],
        "state": state_of(state, name),
        "rolled_back": target.rollback is not None and not target.rollback.refused,
        "proven": target.proven,
    }


def state_of(state: RunState, name: str) -> str:
    """Say where a target stands: on the new release, back, untouched, someone else's, or not known."""
    target = state.targets.get(name, TargetState())
    if name in state.superseded:
        return "left to someone else"
    if state.release is None or _unproven(state, name):
        return NOT_KNOWN
    if target.proven == state.release.commit:
        return NOT_KNOWN if target.rollback else "serves the new release"
    if _on_baseline(target):
        return "went back" if target.rollback else "kept the old release"
    if _never_live(target):
        return "kept the old release" if target.asked else "untouched"
    return NOT_KNOWN


def _unproven(state: RunState, name: str) -> bool:
    """Whether the last way back was not proven for a target."""
    rows = [state.stages.get(stage) for stage in (Stage.ROLLBACK, Stage.RECOVER)]
    told = [row for row in rows if row and name in row.targets]
    last = max(told, key=lambda row: row.ended_at or row.started_at, default=None)
    return last is not None and last.targets[name].not_proven


def _way(state: RunState, name: str) -> tuple[Sha | None, Sha | None]:
    """Give what a target served and what it was to serve; by hand that is what the journal has as its baseline."""
    target, release = state.targets.get(name, TargetState()), state.release
    baseline = target.baseline.commit if target.baseline else None
    if release is not None and release.by_hand:
        return release.commit if name in release.targets else baseline, baseline
    return baseline, release.commit if release and target.asked else None


def from_and_to(state: RunState, name: str) -> tuple[str, str]:
    """Give the same as people read it."""
    baseline = state.targets.get(name, TargetState()).baseline
    old, new = _way(state, name)
    return "nothing" if baseline is None or baseline.first else short(old), short(new) if new else "not asked"


def outcome_of(row: Ended) -> str:
    """Give how a stage ended."""
    return row.verdict.outcome if row.verdict else LOST


def reason_of(row: Ended) -> str:
    """Give why it ended so."""
    return row.verdict.reason if row.verdict else "the run was lost in this stage"


def seconds_of(row: Ended) -> float | None:
    """Give how long it took; None where it never ended."""
    return (row.ended_at - row.started_at).total_seconds() if row.ended_at else None


def _stage_json(stage: Stage, row: Ended) -> dict[str, object]:
    return {
        "stage": stage,
        "outcome": outcome_of(row),
        "reason": reason_of(row),
        "exit_code": row.exit_code,
        "started_at": row.started_at.isoformat(),
        "duration_s": seconds_of(row),
    }


TITLES: Mapping[Result, str] = {
    Result.ROLLED_OUT: "{new} is released and proven",
    Result.ROLLED_BACK: "{new} was bad and was rolled back; {old} is proven to serve again",
    Result.NEVER_STARTED: "{new} was blocked before it served users; {old} still serves",
    Result.SUPERSEDED: "{new} was superseded: someone else moved production",
    Result.STILL_BROKEN: "STILL BROKEN: what serves on {broken} is not proven; a person is needed now",
}
BY_HAND: Mapping[Result, str] = {
    Result.ROLLED_BACK: "{new} was rolled back by hand; {old} is proven to serve again",
    Result.NEVER_STARTED: "nothing had to be rolled back; {old} serves",
    Result.SUPERSEDED: "the rollback of {new} was superseded: someone else moved production",
}
NOTHING = "Nothing was released"


def title_of(state: RunState) -> str:
    """Say what became of the release, and of each target where each goes alone."""
    release, result = state.release, judge_result(state)
    if release is None and result is Result.NEVER_STARTED:
        return NOTHING
    if release is not None and not release.together and len(state.targets) > 1:
        return "; ".join(f"{plain(name, 40)}: {title_of(state.only(name))}" for name in state.targets)
    olds = [short(target.baseline.commit) for target in state.targets.values() if target.baseline]
    old = " and ".join(dict.fromkeys(olds)) or "nothing"
    doubtful = [name for name in state.targets if state_of(state, name) == NOT_KNOWN] or list(state.targets)
    broken = " and ".join(plain(name, 40) for name in doubtful) or "production"
    titles = {**TITLES, **BY_HAND} if release is not None and release.by_hand else TITLES
    return titles[result].format(new=short(release.commit if release else None), old=old, broken=broken)


def write_whole(path: Path, text: str) -> None:
    """Write a file by a draft beside it and a rename, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def write_json(folder: Path, state: RunState) -> dict[str, object]:
    """Write release.json beside the journal."""
    told = as_json(state)
    write_whole(folder / "release.json", json.dumps(told, indent=2) + "\n")
    return told

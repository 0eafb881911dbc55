"""Say what became of a release, from its journal alone: `release.json` for tools, Markdown for people."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.journal import Event, Kind
from scripts.release import DeployState, Release, Stage, short
from scripts.state import Ended, RunState, TargetState, replay

SHOWN_EVENTS = {Kind.INTENT: "asked for", Kind.DONE: "accepted", Kind.FAILED: "refused", Kind.PROOF: "proven"}


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
        "result": judge_result(state),
        "targets": {name: _target_json(state, name) for name in _names(state)},
        "stages": [_stage_json(stage, row) for stage, row in state.stages.items()],
    }


def _names(state: RunState) -> tuple[str, ...]:
    """Give the targets, also one of which nothing was written down."""
    return tuple(dict.fromkeys([*(state.release.targets if state.release else ()), *state.targets]))


def _target_json(state: RunState, name: str) -> dict[str, object]:
    target, release = state.targets.get(name, TargetState()), state.release
    baseline = target.baseline
    deployment = target.deploy.deployment if target.deploy else None
    return {
        "from": baseline.commit if baseline else None,
        "from_deploy": baseline.deployment_id if baseline else None,
        "to": release.commit if release and target.asked else None,
        "to_deploy": deployment.id if deployment else None,
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


def _stage_json(stage: Stage, row: Ended) -> dict[str, object]:
    seconds = (row.ended_at - row.started_at).total_seconds() if row.ended_at else None
    return {
        "stage": stage,
        "outcome": row.verdict.outcome if row.verdict else "lost",
        "reason": row.verdict.reason if row.verdict else "the run was lost in this stage",
        "exit_code": row.exit_code,
        "started_at": row.started_at.isoformat(),
        "duration_s": seconds,
    }


TITLES: Mapping[Result, str] = {
    Result.ROLLED_OUT: "{new} is released and proven",
    Result.ROLLED_BACK: "{new} was bad and was rolled back; {old} is proven to serve again",
    Result.NEVER_STARTED: "{new} was blocked before it served users; {old} still serves",
    Result.SUPERSEDED: "{new} was superseded: someone else moved production",
    Result.STILL_BROKEN: "STILL BROKEN: what serves on {broken} is not proven; a person is needed now",
}


NEXT: Mapping[Result, str] = {
    Result.ROLLED_OUT: "",
    Result.ROLLED_BACK: "ship a fix, or `git revert` the commit and push; the same commit is refused from now on",
    Result.NEVER_STARTED: "mend what blocked it and push",
    Result.SUPERSEDED: "look at who moved production, then release again from main",
    Result.STILL_BROKEN: "look at the service now, then run `python3 -m scripts recover`",
}


def render_markdown(events: Iterable[Event]) -> str:
    """Give the step summary: result, from and to, stages, timeline, the next command."""
    rows = list(events)
    state = replay(rows)
    if state.release is None:
        return "## Nothing was released\n\nThere is no journal: no stage got as far as a plan.\n"
    lines = [f"## {_title(state, state.release)}", ""]
    lines += _table_of_targets(state) + _table_of_stages(state) + _timeline(rows) + _next_command(state)
    return "\n".join(lines) + "\n"


def _title(state: RunState, release: Release) -> str:
    """Say what became of the release, and of each target where each goes alone."""
    if not release.together and len(state.targets) > 1:
        return "; ".join(f"{name}: {_title(state.only(name), release)}" for name in state.targets)
    olds = [short(target.baseline.commit) for target in state.targets.values() if target.baseline]
    old = " and ".join(dict.fromkeys(olds)) or "nothing"
    doubtful = [name for name in state.targets if state_of(state, name) == NOT_KNOWN] or list(state.targets)
    broken = " and ".join(doubtful) or "production"
    return TITLES[judge_result(state)].format(new=short(release.commit), old=old, broken=broken)


def _table_of_targets(state: RunState) -> list[str]:
    lines = ["| target | from | to | state | proven to serve |", "|---|---|---|---|---|"]
    for name in _names(state):
        target = state.targets.get(name, TargetState())
        old = short(target.baseline.commit) if target.baseline and not target.baseline.first else "nothing"
        new = short(state.release.commit) if state.release and target.asked else "not asked"
        told = state_of(state, name)
        lines.append(f"| {name} | `{old}` | `{new}` | {told} | `{short(target.proven)}` |")
    return [*lines, ""]


def _table_of_stages(state: RunState) -> list[str]:
    lines = ["| stage | verdict | reason | seconds |", "|---|---|---|---|"]
    for stage, row in state.stages.items():
        told = _stage_json(stage, row)
        seconds = f"{told['duration_s']:.1f}" if isinstance(told["duration_s"], float) else ""
        lines.append(f"| {stage} | **{told['outcome']}** | {_cell(str(told['reason']))} | {seconds} |")
    return [*lines, ""]


def _timeline(events: list[Event]) -> list[str]:
    shown = [event for event in events if event.kind in SHOWN_EVENTS]
    lines = ["<details><summary>Timeline (UTC)</summary>", ""]
    for event in shown:
        what = event.text("action") or "commit"
        commit = f" `{event.text('commit')[:7]}`" if event.text("commit") else ""
        lines.append(f"- {event.at:%H:%M:%S} {event.target}: {what}{commit} {SHOWN_EVENTS[event.kind]}")
    return [*lines, "", "</details>", ""] if shown else []


def _next_command(state: RunState) -> list[str]:
    told = [_cell(row.verdict.next_step) for row in state.stages.values() if row.verdict]
    steps = [step for step in told if step]
    step = steps[-1] if steps else NEXT[judge_result(state)]
    return [f"**Next:** {step}"] if step else []


def _cell(text: str) -> str:
    """Keep a text inside its table cell, and from being read as Markdown or HTML."""
    for mark in ("\\", "|", "`", "*", "_", "[", "]", "<", ">"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def write_json(folder: Path, state: RunState) -> dict[str, object]:
    """Write release.json beside the journal, by a temporary file and a rename, so that no reader sees half of it."""
    told = as_json(state)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "release.json.part"
    draft.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    draft.replace(folder / "release.json")
    return told

"""What a rollback has to do with each target, decided from the journal alone. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.release import Release, Stage
from scripts.state import RunState, TargetState
from scripts.verdict import Outcome, Verdict, failed, worst

WATCHED = (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)
INTERRUPTED = 130


class Move(enum.StrEnum):
    """What is to be done with a target."""

    NOTHING = "nothing"
    PROVE = "prove"  # it never moved: show that the old release serves
    GO_BACK = "go_back"


@dataclass(frozen=True)
class RollbackPlan:
    """What is to be done with each target, and why; `held` is the verdict with which an unproven candidate is left."""

    moves: Mapping[str, Move]
    reason: str
    held: Verdict | None = None

    @property
    def goes_back(self) -> bool:
        """Whether anything is to be done."""
        return self.held is None and any(move is not Move.NOTHING for move in self.moves.values())


def plan_rollback(state: RunState, on_unproven: str, *, lost: bool = False) -> RollbackPlan:
    """Decide from the journal what goes back; a stage that was begun and never ended counts as failed.

    `lost`: the journal may end before the run did, so every target is looked at. So it is where a person asked.
    """
    names = tuple(state.targets)
    release = state.release
    lost = lost or (release is not None and release.by_hand and state.passed(Stage.PLAN))
    if release is None or not (state.moved or lost):
        return _nothing(names, "no platform was asked for anything")
    if set(names) <= state.superseded:
        return _nothing(names, "someone else moved production during this release; their move stands")
    if state.passed(Stage.BAKE):
        return _nothing(names, "the release passed")
    bad = worst_stage(state)
    if bad.environment or (bad.outcome in {Outcome.INCONCLUSIVE, Outcome.ERROR} and on_unproven == "hold"):
        why = "the environment is at fault" if bad.environment else "on_unproven = hold"
        return RollbackPlan(dict.fromkeys(names, Move.NOTHING), f"held, because {why}: {bad.reason}", bad)
    theirs = dict.fromkeys(state.superseded, Move.NOTHING)
    own = {name: _move(name, row, release, lost=lost) for name, row in state.targets.items()}
    return RollbackPlan(own | theirs, f"{release.by} asked for it: {release.why}" if release.by_hand else bad.reason)


def plans_of(state: RunState, on_unproven: str, *, lost: bool = False) -> Mapping[str, RollbackPlan]:
    """Give the plan for each target: the same one for all, unless each goes alone."""
    if state.release is None or state.release.together:
        return dict.fromkeys(state.targets, plan_rollback(state, on_unproven, lost=lost))
    return {name: plan_rollback(state.only(name), on_unproven, lost=lost) for name in state.targets}


def _move(name: str, target: TargetState, release: Release, *, lost: bool) -> Move:
    served_before = target.baseline is not None and target.baseline.proven and target.baseline.commit == release.commit
    kept = release.by_hand and name not in release.targets  # it served what the others go back to
    may_have_moved = target.asked or target.rollback is not None or (lost and not served_before and not kept)
    return Move.GO_BACK if may_have_moved else Move.PROVE


def _nothing(names: tuple[str, ...], reason: str) -> RollbackPlan:
    return RollbackPlan(dict.fromkeys(names, Move.NOTHING), reason)


def worst_stage(state: RunState) -> Verdict:
    """Give the worst verdict of the stages; one that was begun and never ended, or interrupted, has failed."""
    verdicts = []
    for stage in WATCHED:
        row = state.stages.get(stage)
        if row is None:
            continue
        lost = row.verdict is None or row.exit_code == INTERRUPTED
        verdicts.append(failed(f"{stage} was interrupted") if lost or row.verdict is None else row.verdict)
    if all(verdict.passed for verdict in verdicts):
        return failed("the release was left before its bake ended")
    return worst(verdicts)

"""Say what a stage would do, for `--dry-run`. Pure: it reads the journal's state and touches nothing."""

from __future__ import annotations

from scripts.release import short
from scripts.rollback import Move, plan_rollback
from scripts.state import RunState, TargetState


def preview(verb: str, state: RunState, on_unproven: str) -> str:
    """Give a line for each target."""
    if state.release is None:
        return "nothing: no release was planned in this state folder"
    if verb in {"rollback", "recover"}:
        plan = plan_rollback(state, on_unproven)
        rows = [_going_back(name, plan.moves[name], target) for name, target in state.targets.items()]
        return "\n".join([f"because {plan.reason}", *rows])
    what = "ask the platform to deploy" if verb == "deploy" else "give user traffic to"
    return "\n".join(f"{name}: would {what} {short(state.release.commit)}" for name in state.targets)


def _going_back(name: str, move: Move, target: TargetState) -> str:
    old = short(target.baseline.commit) if target.baseline else "unknown"
    match move:
        case Move.NOTHING:
            return f"{name}: would do nothing"
        case Move.PROVE:
            return f"{name}: would only prove that {old} still serves"
        case Move.GO_BACK:
            return f"{name}: would cancel or roll back the candidate, and prove that {old} serves"

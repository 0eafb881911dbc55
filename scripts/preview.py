"""Say what a stage would do, for `--dry-run`. Pure: it reads the journal's state and touches nothing."""

from __future__ import annotations

from scripts.release import Sha, Stage, short
from scripts.rollback_plan import Move, plans_of
from scripts.state import RunState, TargetState


def preview(verb: str, state: RunState, on_unproven: str) -> str:
    """Give a line for each target."""
    if state.release is None:
        return "nothing: no release was planned in this state folder"
    if verb in {"rollback", "recover"}:
        plans = plans_of(state, on_unproven, lost=verb == "recover" and state.lost)
        reasons = dict.fromkeys(f"because {plan.reason}" for plan in plans.values())
        rows = [_going_back(name, plans[name].moves[name], target) for name, target in state.targets.items()]
        return "\n".join([*reasons, *rows])
    if not state.passed(Stage.PLAN):
        return "nothing: plan did not pass"
    what = "ask the platform to deploy" if verb == "deploy" else "give user traffic to"
    commit = state.release.commit
    serves = {name for name, row in state.targets.items() if _serves_already(row, commit)}
    done = f"would do nothing: {short(commit)} serves already"
    return "\n".join(f"{name}: {done if name in serves else f'would {what} {short(commit)}'}" for name in state.targets)


def _serves_already(target: TargetState, commit: Sha) -> bool:
    return target.baseline is not None and target.baseline.proven and target.baseline.commit == commit


def _going_back(name: str, move: Move, target: TargetState) -> str:
    old = short(target.baseline.commit) if target.baseline else "unknown"
    match move:
        case Move.NOTHING:
            return f"{name}: would do nothing"
        case Move.PROVE:
            return f"{name}: would only prove that {old} still serves"
        case Move.GO_BACK:
            return f"{name}: would cancel or roll back the candidate, and prove that {old} serves"

"""Go back, and prove it: what is to be done is decided from the journal (pure), done, and proven by the service itself.

A rollback is done when the old commit answers and its checks hold. Anything less ends in exit 13 and says so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.clock import Deadline
from scripts.errors import OutcomeUnknown, SlipwayError
from scripts.journal import Kind
from scripts.release import Baseline, Deployment, DeployState, Release, Stage, short
from scripts.stage import READ_S, Ports, Target, find_intruder, follow, ids, journal_deployment
from scripts.state import CANCEL, DEPLOY, ROLL_BACK, Change, RunState, TargetState
from scripts.verdict import Outcome, Verdict, failed, passed, unproven_rollback, worst
from scripts.verify import Claim, Proof, journal_proof, prove

WATCHED = (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)


class Move(enum.StrEnum):
    """What is to be done with a target."""

    NOTHING = "nothing"
    PROVE = "prove"  # it never moved: show that the old release serves
    GO_BACK = "go_back"


@dataclass(frozen=True)
class RollbackPlan:
    """What is to be done with each target, and why."""

    moves: Mapping[str, Move]
    reason: str

    @property
    def acts(self) -> bool:
        """Whether there is anything to do."""
        return any(move is not Move.NOTHING for move in self.moves.values())


def plan_rollback(state: RunState, on_unproven: str) -> RollbackPlan:
    """Decide from the journal what goes back; a stage that was begun and never ended counts as failed.

    A journal that ends with a passed plan may be all that is left of a lost run, so then every target is looked at.
    """
    names = tuple(state.targets)
    if state.release is None or not (state.moved or state.lost):
        return _nothing(names, "no platform was asked for anything")
    if state.superseded:
        return _nothing(names, "someone else moved production during this release; their move stands")
    if state.passed(Stage.BAKE):
        return _nothing(names, "the release passed")
    bad = _worst_stage(state)
    if bad.environment:
        return _nothing(names, f"held: {bad.reason}")
    if bad.outcome in {Outcome.INCONCLUSIVE, Outcome.ERROR} and on_unproven == "hold":
        return _nothing(names, f"held by on_unproven = hold: {bad.reason}")
    back = Move.GO_BACK if state.lost else Move.PROVE
    moves = {name: Move.GO_BACK if target.asked else back for name, target in state.targets.items()}
    return RollbackPlan(moves, bad.reason)


def _nothing(names: tuple[str, ...], reason: str) -> RollbackPlan:
    return RollbackPlan(dict.fromkeys(names, Move.NOTHING), reason)


def _worst_stage(state: RunState) -> Verdict:
    verdicts = []
    for stage in WATCHED:
        row = state.stages.get(stage)
        if row is None:
            continue
        lost = row.verdict is None or row.exit_code == 130
        verdicts.append(failed(f"{stage} was interrupted") if lost or row.verdict is None else row.verdict)
    if all(verdict.passed for verdict in verdicts):
        return failed("the release was left before its bake ended")
    return worst(verdicts)


def roll_back(ports: Ports) -> Verdict:
    """Do what the journal asks for on every target, and prove each."""
    state = ports.state()
    plan = plan_rollback(state, ports.config.release.on_unproven)
    if state.release is None or not plan.acts:
        return passed(f"nothing to roll back: {plan.reason}")
    again = state.passed(Stage.ROLLBACK) or state.passed(Stage.RECOVER)
    ports.console.say("  rolled back before; proving it again" if again else f"  going back, because {plan.reason}")
    verdicts = []
    for target in ports.targets:
        move = plan.moves.get(target.name, Move.NOTHING)
        verdicts.append(_move_target(ports, target, state.targets[target.name], state.release, move))
    return worst(verdicts)


def _move_target(ports: Ports, target: Target, state: TargetState, release: Release, move: Move) -> Verdict:
    """Do one target; whatever stops it is a rollback that is not proven, not an end of the others' rollback."""
    baseline = state.baseline
    if move is Move.NOTHING or baseline is None:
        return passed(f"{target.name}: nothing to do")
    deadline = ports.deadline(ports.config.rollback.deadline_s)
    try:
        if move is Move.PROVE:
            return _prove_old(ports, target, baseline, release, deadline, moved=False)
        return _go_back(ports, target, state, baseline, release, deadline)
    except SlipwayError as error:
        ports.journal.append(Kind.FAILED, target.name, action=ROLL_BACK, reason=error.what)
        return unproven_rollback(f"{target.name}: {error.what}", error.next_step)


def _go_back(
    ports: Ports, target: Target, state: TargetState, baseline: Baseline, release: Release, deadline: Deadline
) -> Verdict:
    candidate = _settle(ports, target, state, release, deadline)
    never_served = candidate is not None and candidate.state in {DeployState.FAILED, DeployState.CANCELED}
    if never_served and state.rollback is None:
        return _prove_old(ports, target, baseline, release, deadline, moved=False)
    if baseline.first:
        return failed(
            f"{target.name}: a first release has nothing to go back to; the platform's own protection stands",
            "ship a fix, or suspend the service in the platform's dashboard",
        )
    intruder = find_intruder(ports, target, ports.state().targets[target.name], release.commit)
    if intruder is not None:
        return intruder
    return _return_to(ports, target, baseline, release, deadline, seen_live=candidate is not None)


def _settle(
    ports: Ports, target: Target, state: TargetState, release: Release, deadline: Deadline
) -> Deployment | None:
    """Make sure that the platform is done with the candidate: one that is still on its way is cancelled and seen ended.

    None where no key allows to look.
    """
    history = target.platform.fetch_history(ports.deadline(READ_S))
    if history is None:
        return None
    named = state.deploy.deployment.id if state.deploy and state.deploy.deployment else None
    candidate = history.find(named) or history.new_since(state.known, release.commit)
    if candidate is None:
        return Deployment(None, release.commit, DeployState.CANCELED, detail="the platform has no such deploy")
    if not candidate.state.ended:
        ports.journal.append(Kind.INTENT, target.name, action=CANCEL, id=candidate.id)
        ports.console.state(target.name, f"deploy {candidate.id} is {candidate.state}: cancelling it")
        target.platform.cancel(candidate, deadline)
        candidate = follow(ports, target, candidate, state.known, deadline) or candidate
    if not candidate.state.ended:
        raise SlipwayError(
            f"deploy {candidate.id} was given up but is still {candidate.detail}: the candidate may still go live",
            next_step="cancel it in the platform's dashboard, then run `python3 -m scripts recover`",
        )
    journal_deployment(ports, target, DEPLOY, candidate, Kind.DEPLOYMENT)
    return candidate


def _return_to(
    ports: Ports, target: Target, baseline: Baseline, release: Release, deadline: Deadline, *, seen_live: bool
) -> Verdict:
    """Ask for the baseline, wait for the platform, then believe the service only.

    Where nothing could be seen of the candidate, instances of the old release from before the change prove nothing: the
    candidate may be waiting behind them. Only a new instance of the old commit shows that its turn is over.
    """
    deployment, known = _ask_once(ports, target, ports.state().targets[target.name], baseline, deadline)
    if seen_live:
        ended = follow(ports, target, deployment, known, deadline)
        if ended is None or ended.state is not DeployState.LIVE:
            said = ended.detail if ended else "has not ended"
            reason = f"{target.name}: the rollback to {short(baseline.commit)} {said}, says the platform"
            return unproven_rollback(reason)
        journal_deployment(ports, target, ROLL_BACK, ended, Kind.DEPLOYMENT)
    return _prove_old(ports, target, baseline, release, deadline, moved=True, only_new_instances=not seen_live)


def _ask_once(
    ports: Ports, target: Target, state: TargetState, baseline: Baseline, deadline: Deadline
) -> tuple[Deployment, frozenset[str]]:
    if state.rollback is not None and state.rollback.deployment is not None and not state.rollback.refused:
        return state.rollback.deployment, state.rollback.known
    history = target.platform.fetch_history(ports.deadline(READ_S))
    begun = _begun_before(state.rollback, history.deployments if history else (), baseline)
    if begun is not None:
        return begun, state.rollback.known if state.rollback else frozenset()
    known = ids(history)
    ports.journal.append(Kind.INTENT, target.name, action=ROLL_BACK, commit=baseline.commit, known=sorted(known))
    try:
        deployment, warning = target.platform.roll_back(baseline, deadline)
    except OutcomeUnknown as error:
        ports.console.warn(f"{error.what}; looking for the rollback")
        return Deployment(None, baseline.commit, DeployState.QUEUED), known
    journal_deployment(ports, target, ROLL_BACK, deployment, Kind.DONE)
    ports.console.state(target.name, f"rollback to {short(baseline.commit)} asked for")
    if warning:
        ports.console.warn(f"{target.name}: {warning}")
        ports.journal.append(Kind.NOTE, target.name, text=warning)
    return deployment, known


def _begun_before(change: Change | None, rows: tuple[Deployment, ...], baseline: Baseline) -> Deployment | None:
    """Give the rollback that a lost run asked for and could not write down any more: it is not asked for twice."""
    if change is None or change.refused:
        return None
    ours = (row for row in rows if row.id not in change.known and row.commit == baseline.commit)
    return next((row for row in ours if row.state not in {DeployState.FAILED, DeployState.CANCELED}), None)


def _prove_old(
    ports: Ports,
    target: Target,
    baseline: Baseline,
    release: Release,
    deadline: Deadline,
    *,
    moved: bool,
    only_new_instances: bool = False,
) -> Verdict:
    if baseline.commit is None or baseline.first:
        return _prove_nameless(target, baseline, moved=moved)
    old = frozenset(baseline.instance_ids) if only_new_instances else frozenset()
    claim = Claim(baseline.commit, baseline.instances, frozenset({baseline.commit, release.commit}), old)
    proof = prove(ports, target, claim, deadline)
    if proof.proven:
        journal_proof(ports, target, proof)
    return judge_return(target.name, baseline, proof, ports.config.rollback.deadline_s)


def _prove_nameless(target: Target, baseline: Baseline, *, moved: bool) -> Verdict:
    if not moved:
        return passed(f"{target.name}: the candidate never went live, so what served before was not touched")
    return unproven_rollback(
        f"{target.name}: deploy {baseline.deployment_id} was asked to serve again, but it cannot name its commit",
        "call the service and look; then give it a /version",
    )


def judge_return(name: str, baseline: Baseline, proof: Proof, limit_s: float) -> Verdict:
    """Say whether the old release is back: only its own answers count."""
    commit = short(baseline.commit)
    if proof.proven:
        return passed(f"{name}: {commit} answers again, {proof.identity.describe(proof.instances)}; its checks hold")
    if not proof.identified:
        seen = proof.identity.describe(proof.instances)
        return unproven_rollback(f"{name}: {commit} was not proven to answer within {limit_s:g} s: {seen}")
    likely = "; the environment is likely at fault, since both releases fail" if baseline.healthy else ""
    return unproven_rollback(f"{name}: {commit} answers again, but fails: {proof.trouble}{likely}")

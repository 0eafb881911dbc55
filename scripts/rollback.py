"""Go back, and prove it: what `rollback_plan` decides is done, and proven by the service itself.

A rollback is done when the old commit answers and its checks hold. Anything less ends in exit 13 and says so.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from scripts.clock import Deadline
from scripts.errors import ConfigError, PlatformUnreachable, SlipwayError, UnknownState
from scripts.follow import fetch_patiently, follow
from scripts.journal import Kind
from scripts.ownership import find_intruder
from scripts.release import STAGES, Baseline, Deployment, DeployState, Release, Stage, short
from scripts.rollback_plan import Move, RollbackPlan, plans_of
from scripts.stage import Ports, Target, Verdicts, journal_deployment, run_stage, side_by_side
from scripts.state import ROLL_BACK, RunState, TargetState
from scripts.undo import NEVER_LIVE, ask_for_baseline, may_be_promoted, settle
from scripts.verdict import Verdict, failed, passed, superseded_by, unproven_rollback
from scripts.verify import Claim, Proof, checks_hold, journal_proof, prove

PATIENCE = 1 / 3  # of a rollback's time, in which an API that does not answer is waited for


def roll_back(ports: Ports, *, lost: bool = False, only: frozenset[str] | None = None) -> Verdicts:
    """Do what the journal asks for on every target, or on some, side by side, and prove each."""
    state = ports.state()
    plans = plans_of(state, ports.config.release.on_unproven, lost=lost)
    if not plans:
        return {target.name: passed("nothing to roll back: there is no plan") for target in ports.targets}
    for reason in dict.fromkeys(plan.reason for plan in plans.values() if plan.goes_back):
        again = state.passed(Stage.ROLLBACK) or state.passed(Stage.RECOVER)
        ports.console.say("  rolled back before; proving it again" if again else f"  going back, because {reason}")
    moves = {
        target.name: functools.partial(_carry_out, ports, target, state, plans[target.name])
        for target in ports.targets
        if target.name in plans and (only is None or target.name in only)
    }
    return side_by_side(ports, moves)


def send_back(ports: Ports, stage: Stage) -> None:
    """Where each target goes alone: take back at once what failed in a stage after which others go on."""
    state = ports.state()
    row = state.stages.get(stage)
    if row is None or row.verdict is None or not row.verdict.passed or stage not in STAGES:
        return
    bad = frozenset(name for name, verdict in row.targets.items() if not verdict.passed and state.targets[name].asked)
    if bad:
        run_stage(ports, Stage.ROLLBACK, functools.partial(roll_back, only=bad))


def _carry_out(ports: Ports, target: Target, state: RunState, plan: RollbackPlan) -> Verdict:
    if plan.held is not None:
        step = "look at the release, then decide: roll back by hand, or ship a fix"
        return Verdict(plan.held.outcome, plan.reason, step)
    if not plan.goes_back:
        return passed(f"nothing to roll back: {plan.reason}")
    return _move_target(ports, target, state, plan.moves.get(target.name, Move.NOTHING))


def _move_target(ports: Ports, target: Target, run: RunState, move: Move) -> Verdict:
    """Do one target; whatever stops it is a rollback that is not proven, not an end of the others' rollback."""
    state = run.targets.get(target.name, TargetState())
    if move is Move.NOTHING or state.baseline is None or run.release is None:
        return passed(f"{target.name}: nothing to do")
    deadline = ports.deadline(ports.config.rollback.deadline_s)
    try:
        if move is Move.PROVE:
            return _prove_untouched(ports, target, state.baseline, run.release, deadline)
        seeing = _with_what_answers(ports, target, deadline)
        return _go_back(ports, seeing, run, state.baseline, run.release, deadline)
    except SlipwayError as error:
        ports.journal.append(Kind.NOTE, target.name, text=error.what)
        return unproven_rollback(f"{target.name}: {error.what}", error.next_step)


def _with_what_answers(ports: Ports, target: Target, deadline: Deadline) -> Target:
    """Give the target as it is or, where its API does not answer for long, or not to this key, without the API.

    A bad release must not stay because nobody can look: what needs no key may still bring the old one back.
    """
    blind = target.platform.blind
    if blind is None:
        return target
    try:
        fetch_patiently(ports, target, ports.deadline(deadline.left_s * PATIENCE))
    except UnknownState:
        return target  # it answers
    except (PlatformUnreachable, ConfigError) as error:
        ports.console.warn(f"{target.name}: {error.what}; going back without the API")
        ports.journal.append(Kind.NOTE, target.name, text=f"went back without the API: {error.what}")
        return replace(target, platform=blind)
    return target


def _go_back(
    ports: Ports, target: Target, run: RunState, baseline: Baseline, release: Release, deadline: Deadline
) -> Verdict:
    state = run.targets[target.name]
    candidate = settle(ports, target, state, release, deadline)
    now = ports.state().targets[target.name]
    # A rollback that we asked for, or that a lost run may have asked for, is no intruder.
    returning = state.rollback is not None or state.deploy is None
    # Where users are put on a deployment, one that another person builds must not keep them on a bad candidate.
    builds_count = not target.platform.stages
    intruder = find_intruder(
        ports, target, now, release.commit, deadline, returning=returning, builds_count=builds_count
    )
    if intruder is not None:
        return intruder
    untouched = candidate is not None and _kept_from_users(candidate, state, lost=run.lost)
    if untouched and state.rollback is None:
        return _prove_untouched(ports, target, baseline, release, deadline)
    if baseline.first:
        return failed(
            f"{target.name}: a first release has nothing to go back to; the platform's own protection stands",
            "ship a fix, or suspend the service in the platform's dashboard",
        )
    insist = may_be_promoted(candidate, state, lost=run.lost)
    deployment = ask_for_baseline(ports, target, now, baseline, deadline, insist=insist)
    if candidate is None:
        return _prove_by_service(ports, target, run, baseline, release, deadline)
    ended = follow(ports, target, deployment, now.known, deadline)
    if ended is not None:
        journal_deployment(ports, target, ROLL_BACK, ended, Kind.DEPLOYMENT)
    if ended is not None and ended.state is DeployState.RETIRED:
        return superseded_by(f"{target.name}: rollback {ended.id} was live, and another deploy took its place")
    if ended is None or ended.state is not DeployState.LIVE:
        said = ended.detail if ended else "has not ended"
        return unproven_rollback(f"{target.name}: the rollback to {short(baseline.commit)} {said}, says the platform")
    return _prove_back(ports, target, baseline, release, deadline)


def _kept_from_users(candidate: Deployment, state: TargetState, *, lost: bool) -> bool:
    """Whether no user can ever have been on it, nor will be: a promotion that was asked for may still happen."""
    staged = candidate.state is DeployState.STAGED and not may_be_promoted(candidate, state, lost=lost)
    return candidate.state in NEVER_LIVE or staged


def _prove_untouched(ports: Ports, target: Target, baseline: Baseline, release: Release, deadline: Deadline) -> Verdict:
    """Prove that what served before serves still; one that cannot name its commit by the platform and its checks."""
    if baseline.first:
        return passed(f"{target.name}: nothing served before, and the candidate never went live")
    if baseline.proven:
        return _prove_back(ports, target, baseline, release, deadline)
    history = fetch_patiently(ports, target, deadline)
    live = history.current if history else None
    if history is not None and (live is None or live.id != baseline.deployment_id):
        return superseded_by(f"{target.name} has deploy {live.id if live else 'none'} live")
    trouble = checks_hold(ports, target, deadline)
    if trouble and baseline.healthy:
        return unproven_rollback(f"{target.name}: the old release should still serve, but fails: {trouble}")
    return passed(f"{target.name}: deploy {baseline.deployment_id} still serves (unproven: it cannot name its commit)")


def _prove_by_service(
    ports: Ports, target: Target, run: RunState, baseline: Baseline, release: Release, deadline: Deadline
) -> Verdict:
    """Prove the return where no key allows to look.

    While the candidate was never seen to answer, it may be waiting behind the old release, so answers of instances from
    before the change prove nothing: only a new instance of the old commit shows that the candidate's turn is over.
    """
    if run.passed(Stage.DEPLOY) or release.by_hand:  # by hand it goes because it was seen to answer
        return _prove_back(ports, target, baseline, release, deadline)
    if baseline.instance_ids:
        return _prove_back(ports, target, baseline, release, deadline, frozenset(baseline.instance_ids))
    while not deadline.passed:
        if target.witness.ask_version(target.url).commit == release.commit:
            return _prove_back(ports, target, baseline, release, deadline)
        deadline.pause(ports.config.deploy.poll_s)
    return unproven_rollback(f"{target.name}: without a key and instance ids, the candidate may still go live")


def _prove_back(
    ports: Ports,
    target: Target,
    baseline: Baseline,
    release: Release,
    deadline: Deadline,
    old_instances: frozenset[str] = frozenset(),
) -> Verdict:
    if not baseline.proven or baseline.commit is None:
        return unproven_rollback(
            f"{target.name}: deploy {baseline.deployment_id} was asked to serve again, but it cannot name its commit",
            "call the service and look; then give it a /version",
        )
    known = frozenset({baseline.commit, release.commit})
    proof = prove(ports, target, Claim(baseline.commit, baseline.instances, known, old_instances), deadline)
    if proof.proven:
        journal_proof(ports, target, proof)
    return judge_return(target.name, baseline, proof, ports.config.rollback.deadline_s)


def judge_return(name: str, baseline: Baseline, proof: Proof, limit_s: float) -> Verdict:
    """Say whether the old release is back: only its own answers count."""
    commit, seen = short(baseline.commit), proof.identity.describe(proof.instances)
    if proof.proven:
        return passed(f"{name}: {commit} answers again, {seen}; its checks hold")
    if proof.stranger:
        return superseded_by(f"{name} answers as {short(proof.stranger)}")
    if not proof.identified:
        return unproven_rollback(f"{name}: {commit} was not proven to answer within {limit_s:g} s: {seen}")
    likely = "; the environment is likely at fault, since both releases fail" if baseline.healthy else ""
    return unproven_rollback(f"{name}: {commit} answers again, but fails: {proof.trouble}{likely}")

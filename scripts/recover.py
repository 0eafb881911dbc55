"""After a release that failed, was cancelled or lost its machine: put production on a proven release, or say so.

It continues from the journal, whatever moment the run was lost at, and may be run again. Where the journal is lost too,
what the run deployed and what served before are read from the platforms.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection
from dataclasses import asdict, replace

from scripts.errors import SlipwayError
from scripts.follow import fetch_patiently
from scripts.journal import Kind
from scripts.plan import rolled_back
from scripts.platforms import History
from scripts.release import Baseline, Deployment, Release, Sha, Stage, short
from scripts.rollback import roll_back
from scripts.stage import Ports, Target, Verdicts, ids, planned, side_by_side
from scripts.state import RunState
from scripts.verdict import Outcome, Verdict, passed, unproven_rollback
from scripts.verify import claim_of, journal_proof, judge_proof, prove

UNKNOWN = unproven_rollback(
    "there is no journal of the release, so what served before is not known",
    "look at every target; if the candidate serves and is bad, roll back in the platform's dashboard",
)


def recover(ports: Ports, release: Release | None = None, *, never_began: bool = False) -> Verdicts:
    """Prove what serves; roll back first where the journal does not show that the release ended well.

    `release` is what the lost run was to ship, and since when; without it a lost journal cannot be rebuilt.
    `never_began`: it is known that no baseline was kept, and one is kept before anything is changed.
    """
    if never_began:
        return dict.fromkeys(
            ports.names, passed("no baseline was kept, so the release ended before it changed anything")
        )
    state = ports.state()
    release = state.release or release
    if release is None:
        return dict.fromkeys(ports.names, UNKNOWN)
    if state.release is None or (state.lost and _without_baseline(ports, state)):
        return _recover_blind(ports, release)
    if state.passed(Stage.BAKE):
        proofs = {target.name: functools.partial(_prove_candidate, ports, target, state) for target in ports.targets}
        return side_by_side(ports, proofs)
    return roll_back(ports, lost=state.lost)


def _prove_candidate(ports: Ports, target: Target, state: RunState) -> Verdict:
    claim = claim_of(planned(state).commit, target, state.targets[target.name].baseline)
    claim = replace(claim, known=frozenset({claim.commit}))
    proof = prove(ports, target, claim, ports.deadline(ports.config.verify.deadline_s))
    if proof.stranger:
        return judge_proof(target.name, proof, ports.config.verify.deadline_s)
    if not proof.proven:
        return unproven_rollback(judge_proof(target.name, proof, ports.config.verify.deadline_s).reason)
    journal_proof(ports, target, proof)
    return judge_proof(target.name, proof, ports.config.verify.deadline_s)


def _recover_blind(ports: Ports, release: Release) -> Verdicts:
    """Rebuild the plan from the platforms' lists and go on from there; where there is no key there is none."""
    missing = _without_baseline(ports, ports.state())
    looks = {target.name: functools.partial(_look_back, ports, target, release) for target in missing}
    verdicts = side_by_side(ports, looks)
    state = ports.state()
    if not state.targets:
        return verdicts
    if state.release is None:
        ports.journal.append(Kind.RELEASE, **asdict(release))
        told = {"outcome": Outcome.PASS, "reason": "rebuilt from the platforms", "exit_code": 0}
        ports.journal.append(Kind.STAGE_ENDED, "", stage=Stage.PLAN, **told)
    return {**verdicts, **roll_back(ports, lost=True)}


def _without_baseline(ports: Ports, state: RunState) -> list[Target]:
    known = {name for name, target in state.targets.items() if target.baseline}
    return [target for target in ports.targets if target.name not in known]


def _look_back(ports: Ports, target: Target, release: Release) -> Verdict:
    """Write down what the platform says served before, where it knows a deployment of the release."""
    try:
        history = fetch_patiently(ports, target, ports.deadline(ports.config.rollback.deadline_s))
    except SlipwayError as error:  # the other targets go back all the same
        return unproven_rollback(f"{target.name}: {error.what}", error.next_step)
    if history is None:
        return UNKNOWN
    ours = frozenset(row.id for row in history.deployments if is_of(release, row) and row.id)
    if not ours:
        return passed(f"{target.name}: no deploy of {short(release.commit)} since the run began, so nothing was moved")
    ports.console.warn(f"{target.name}: the journal is lost; the baseline is what the platform says served before")
    baseline = rebuild_baseline(target.name, history, ours, release, history.instances or target.instances)
    ports.journal.append(Kind.BASELINE, **asdict(baseline))
    return passed(f"{target.name}: rebuilt")


def is_of(release: Release, row: Deployment) -> bool:
    """Whether a deployment is the release's: its commit, asked for since the run began."""
    return row.commit == release.commit and (row.created_at is None or row.created_at >= release.started_at)


def rebuild_baseline(name: str, history: History, ours: frozenset[str], release: Release, instances: int) -> Baseline:
    """Give what served before the release: another commit that served, and was never rolled back."""
    old = _find_served_before(history, {release.commit, *rolled_back(history)})
    # What came after ours is not known from before: it is the lost run's own rollback, or does the same.
    after = itertools.takewhile(lambda row: row.id not in ours, history.deployments)
    going_back = {row.id for row in after if old and row.commit == old.commit}
    return Baseline(
        target=name,
        commit=old.commit if old else None,
        deployment_id=old.id if old else None,
        proven=old is not None,
        instances=instances,
        healthy=False,
        first=old is None,
        known=tuple(sorted(ids(history) - ours - going_back)),
    )


def _find_served_before(history: History, bad: Collection[Sha]) -> Deployment | None:
    """Give what serves still, else what the users were taken from, else the newest that served.

    Where users are moved among deployments the newest one need not be the last that served.
    """
    served = [row for row in history.deployments if row.state.has_served and row.commit and row.commit not in bad]
    told = (row for row in (history.current, history.find(history.moved_from)) if row in served)
    return next(told, None) or next(iter(served), None)

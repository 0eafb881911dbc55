"""After a release that failed, was cancelled or lost its machine: put production on a proven release, or say so.

It continues from the journal, whatever moment the run was lost at, and may be run again.
"""

from __future__ import annotations

from dataclasses import replace

from scripts.release import Stage
from scripts.rollback import roll_back
from scripts.stage import Ports, Target, planned
from scripts.state import RunState
from scripts.verdict import Verdict, passed, unproven_rollback, worst
from scripts.verify import claim_of, journal_proof, judge_proof, prove


def recover(ports: Ports) -> Verdict:
    """Prove what serves; roll back first where the journal does not show that the release ended well."""
    state = ports.state()
    if state.release is None:
        return unproven_rollback(
            "there is no journal of the release, so what served before is not known",
            "look at every target; if the candidate serves and is bad, roll back in the platform's dashboard",
        )
    if state.superseded:
        return passed("someone else moved production during the release; their move stands")
    if state.passed(Stage.BAKE):
        return worst(_prove_candidate(ports, target, state) for target in ports.targets)
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

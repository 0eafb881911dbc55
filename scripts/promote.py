"""Give the candidate user traffic, once every target passed, and prove that users get it.

Where the platform moved the traffic by itself there is nothing to do: `verify` proved it.
"""

from __future__ import annotations

import functools

from scripts.errors import OutcomeUnknown, SlipwayError, UsageError
from scripts.journal import Kind
from scripts.ownership import find_intruder
from scripts.release import Deployment, DeployState, Release, Stage, short
from scripts.stage import READ_S, Ports, Target, Verdicts, attempt, journal_deployment, planned
from scripts.state import DEPLOY, PROMOTE, TargetState
from scripts.verdict import Verdict, failed, passed
from scripts.verify import claim_of, prove_candidate


def promote(ports: Ports) -> Verdicts:
    """Promote on every target that was deployed to.

    Raises:
        UsageError: a target's users are not on the candidate yet, and it was not verified.
    """
    state = ports.state()
    release = planned(state)
    if not state.passed(Stage.VERIFY) and any(target.platform.stages for target in ports.targets):
        raise UsageError(
            "verify did not pass, so no user may be put on the candidate", next_step="run `python3 -m scripts verify`"
        )
    verdicts: dict[str, Verdict] = {}
    for target in ports.going():
        act = functools.partial(_promote_target, ports, target, state.targets[target.name], release)
        verdicts[target.name] = attempt(ports, act)
        if release.together and not verdicts[target.name].passed:
            break
    return verdicts


def _promote_target(ports: Ports, target: Target, state: TargetState, release: Release) -> Verdict:
    if state.deploy is None or state.deploy.deployment is None:
        return passed(f"{target.name}: nothing was deployed, nothing to promote")
    if any(each.platform.stages for each in ports.going()):  # else nothing is asked for, so nothing has to be read
        intruder = find_intruder(ports, target, state, release.commit, ports.deadline(READ_S))
        if intruder is not None:
            return intruder
    if not target.platform.stages:
        return passed(f"{target.name}: users are on it")
    trouble = _move_users(ports, target, state.deploy.deployment)
    if trouble is not None:
        return trouble
    return prove_candidate(ports, target, claim_of(release.commit, target, state.baseline))


def _move_users(ports: Ports, target: Target, candidate: Deployment) -> Verdict | None:
    """Ask for the promotion; give a verdict where it did not happen in time."""
    limit_s = ports.config.verify.deadline_s
    ports.journal.append(Kind.INTENT, target.name, action=PROMOTE, commit=candidate.commit)
    try:
        target.platform.promote(candidate, ports.deadline(limit_s))
    except OutcomeUnknown as error:
        return failed(
            f"{target.name}: users were not on {short(candidate.commit)} within {limit_s:g} s: {error.what}",
            "look at the deployment in the platform's dashboard",
        )
    except SlipwayError as error:
        ports.journal.append(Kind.FAILED, target.name, action=PROMOTE, reason=error.what)
        raise
    ports.journal.append(Kind.DONE, target.name, action=PROMOTE, commit=candidate.commit)
    live = Deployment(candidate.id, candidate.commit, DeployState.LIVE, detail="promoted", url=candidate.url)
    journal_deployment(ports, target, DEPLOY, live, Kind.DEPLOYMENT)
    return None

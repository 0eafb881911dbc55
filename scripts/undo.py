"""The two acts of going back: see that the candidate can do nothing more, and ask for the baseline to serve again."""

from __future__ import annotations

from scripts.clock import Deadline
from scripts.errors import OutcomeUnknown, PlatformUnreachable, SlipwayError, UnknownState
from scripts.follow import fetch_patiently, find_listed, follow
from scripts.journal import Kind
from scripts.platforms import History
from scripts.release import Baseline, Deployment, DeployState, Release, short
from scripts.stage import Ports, Target, journal_deployment
from scripts.state import CANCEL, DEPLOY, ROLL_BACK, TargetState

NEVER_LIVE = frozenset({DeployState.FAILED, DeployState.CANCELED})
LISTED_S = 30  # seconds after which a deploy that the platform was asked for would be in its list


def settle(ports: Ports, target: Target, state: TargetState, release: Release, deadline: Deadline) -> Deployment | None:
    """Make sure that the platform is done with the candidate; one that is still on its way is cancelled and seen ended.

    None where nobody can look, and nobody saw it end before. A candidate that was never asked for counts as canceled.

    Raises:
        SlipwayError: the candidate may still go live.
    """
    history = fetch_patiently(ports, target, deadline, UnknownState)  # it may end in one that is known
    if history is None:
        seen = state.deploy.deployment if state.deploy else None
        return seen if seen and seen.state in NEVER_LIVE else None
    accepted = state.deploy.deployment if state.deploy else None
    asked = accepted or _find_unnamed(target, history, state, release)
    candidate = find_listed(ports, target, asked, state.known, ports.deadline(min(LISTED_S, deadline.left_s)))
    if candidate is None and accepted is not None:
        raise _may_go_live("was accepted, but the platform lists no such deploy")
    if candidate is None:
        return Deployment(None, release.commit, DeployState.CANCELED, detail="the platform has no such deploy")
    if not candidate.state.ended and candidate.id != history.moving_to:  # else the rollback takes its place
        candidate = _cancel(ports, target, candidate, state.known, deadline)
    journal_deployment(ports, target, DEPLOY, candidate, Kind.DEPLOYMENT)
    return candidate


def _find_unnamed(target: Target, history: History, state: TargetState, release: Release) -> Deployment:
    """Give what stands for a candidate of which no id is known: where users are put on it, the one that has them.

    Another one of the same commit may be newer; taken for ours, it would leave the users where they are.
    """
    live = history.current
    if target.platform.stages and live and live.commit == release.commit and live.id not in state.known:
        return live
    return Deployment(None, release.commit, DeployState.QUEUED)


def _cancel(
    ports: Ports, target: Target, candidate: Deployment, known: frozenset[str], deadline: Deadline
) -> Deployment:
    ports.journal.append(Kind.INTENT, target.name, action=CANCEL, id=candidate.id)
    ports.console.state(target.name, f"deploy {candidate.id} is {candidate.state}: cancelling it")
    try:
        target.platform.cancel(candidate, deadline)
    except PlatformUnreachable as error:
        ports.console.warn(f"{error.what}; looking whether it was cancelled")
    ended = follow(ports, target, candidate, known, deadline)
    if ended is None:
        raise _may_go_live("was given up and cancelled, but has not ended")
    return ended


def _may_go_live(what: str) -> SlipwayError:
    return SlipwayError(
        f"the candidate's deploy {what}: it may still go live",
        next_step="cancel it in the platform's dashboard, then start the workflow Roll back",
    )


def may_be_promoted(candidate: Deployment | None, state: TargetState, *, lost: bool) -> bool:
    """Whether a candidate that never had users may still get them, by a promotion that was, or may be, asked for."""
    asked = lost or (state.promote is not None and not state.promote.refused)
    return asked and not (candidate and candidate.state.has_served)


def ask_for_baseline(
    ports: Ports, target: Target, state: TargetState, baseline: Baseline, deadline: Deadline, *, insist: bool
) -> Deployment:
    """Ask for the rollback until the platform has it; a second one is not asked for while the first may still work.

    `insist`: where users are put on it, ask although they are there, so that a promotion does not come after us.

    Raises:
        SlipwayError: the platform refused, or could not be reached until the deadline.
    """
    while True:
        if target.platform.stages:
            history = _await_move(ports, target, baseline, deadline)
            begun = None if insist else _back_already(history, baseline)
        else:
            begun = _begun(fetch_patiently(ports, target, deadline), state, baseline)
        if begun is not None:
            ports.console.state(target.name, f"a rollback to {short(baseline.commit)} has begun")
            return begun
        try:
            return _ask(ports, target, baseline, deadline)
        except PlatformUnreachable as error:
            ports.console.warn(f"{error.what}; looking for the rollback")
            asked = Deployment(None, baseline.commit, DeployState.QUEUED)
            if isinstance(error, OutcomeUnknown) and fetch_patiently(ports, target, deadline) is None:
                return asked  # without a key only the service can tell whether it was taken
            if target.platform.stages:
                deadline.pause(ports.config.deploy.poll_s)
            else:
                find_listed(ports, target, asked, state.known, ports.deadline(min(LISTED_S, deadline.left_s)))
            if deadline.passed:
                raise


def _ask(ports: Ports, target: Target, baseline: Baseline, deadline: Deadline) -> Deployment:
    ports.journal.append(Kind.INTENT, target.name, action=ROLL_BACK, commit=baseline.commit)
    try:
        deployment, warning = target.platform.roll_back(baseline, deadline)
    except PlatformUnreachable:
        raise
    except SlipwayError as error:
        ports.journal.append(Kind.FAILED, target.name, action=ROLL_BACK, reason=error.what)
        raise
    journal_deployment(ports, target, ROLL_BACK, deployment, Kind.DONE)
    ports.console.state(target.name, f"rollback to {short(baseline.commit)} asked for")
    if warning:
        ports.console.warn(f"{target.name}: {warning}")
        ports.journal.append(Kind.NOTE, target.name, text=warning)
    return deployment


def _await_move(ports: Ports, target: Target, baseline: Baseline, deadline: Deadline) -> History | None:
    """Wait while users are being put on the baseline: it serves only when that has ended.

    Raises:
        SlipwayError: it has not ended at the deadline.
    """
    while True:
        history = fetch_patiently(ports, target, deadline)
        row = history.find(baseline.deployment_id) if history else None
        if history is None or row is None or row is history.current or history.moving_to != row.id:
            return history
        if deadline.passed:
            raise SlipwayError(f"the platform has begun to put users on {row.id}, and has not ended")
        deadline.pause(ports.config.deploy.poll_s)


def _back_already(history: History | None, baseline: Baseline) -> Deployment | None:
    """Give the baseline where users are on it, and are not being taken away from it."""
    row = history.current if history else None
    if history is None or row is None or row.id is None or row.id != baseline.deployment_id:
        return None
    return row if history.moving_to in {None, row.id} else None


def _begun(history: History | None, state: TargetState, baseline: Baseline) -> Deployment | None:
    """Give the rollback that is under way or done, by the platform's list; without a key, by the journal."""
    if history is not None:
        rows = (row for row in history.deployments if row.id not in state.known and row.commit == baseline.commit)
        return next((row for row in rows if row.state not in NEVER_LIVE), None)
    if state.rollback is None or state.rollback.refused:
        return None
    return state.rollback.deployment

"""Put the candidate on each target and wait for the platform's own end of it; that it serves, `verify` proves."""

from __future__ import annotations

import functools

from scripts.clock import Deadline
from scripts.errors import OutcomeUnknown, SlipwayError
from scripts.follow import fetch_patiently, follow
from scripts.journal import Kind
from scripts.ownership import find_intruder
from scripts.release import Deployment, DeployState, Sha, short
from scripts.stage import READ_S, Ports, Target, Verdicts, attempt, ids, journal_deployment, planned
from scripts.state import DEPLOY, TargetState
from scripts.undo import settle
from scripts.verdict import Verdict, failed, passed, superseded_by


def deploy(ports: Ports) -> Verdicts:
    """Deploy to one target after the other; in a release that is one unit the first that does not pass ends it."""
    release = planned(ports.state())
    verdicts: dict[str, Verdict] = {}
    for target in ports.going():
        state = ports.state().targets[target.name]
        verdict = attempt(ports, functools.partial(_deploy_target, ports, target, state, release.commit))
        verdicts[target.name] = verdict
        if release.together and not verdict.passed:
            break
    return verdicts


def _deploy_target(ports: Ports, target: Target, state: TargetState, commit: Sha) -> Verdict:
    if state.baseline and state.baseline.proven and state.baseline.commit == commit:
        return passed(f"{target.name}: {short(commit)} serves already, nothing to deploy")
    intruder = find_intruder(ports, target, state, commit, ports.deadline(READ_S))
    if intruder is not None:
        return intruder
    deadline = ports.deadline(ports.config.deploy.deadline_s)
    deployment, known = _ask_once(ports, target, state, commit, deadline)
    if deployment.id is None:
        overtaken = _step_back(ports, target, commit, deadline)
        if overtaken is not None:
            return overtaken
    return _await(ports, target, deployment, known, deadline)


def _step_back(ports: Ports, target: Target, commit: Sha, deadline: Deadline) -> Verdict | None:
    """Where our deploy waits behind somebody else's, take it back: it would go live over their move."""
    state = ports.state()
    intruder = find_intruder(ports, target, state.targets[target.name], commit, deadline)
    if intruder is not None:
        settle(ports, target, state.targets[target.name], planned(state), deadline)
    return intruder


def _ask_once(
    ports: Ports, target: Target, state: TargetState, commit: Sha, deadline: Deadline
) -> tuple[Deployment, frozenset[str]]:
    """Ask the platform, unless an earlier run of this stage did: a second deploy of a release is never asked for."""
    if state.deploy is not None and not state.deploy.refused:
        ports.console.state(target.name, f"{short(commit)} was asked for before; waiting for it")
        return state.deploy.deployment or Deployment(None, commit, DeployState.QUEUED), state.deploy.known
    known = ids(target.platform.fetch_history(ports.deadline(READ_S)))
    ports.journal.append(Kind.INTENT, target.name, action=DEPLOY, commit=commit, known=sorted(known))
    try:
        deployment = target.platform.deploy(commit, deadline)
    except OutcomeUnknown as error:
        ports.console.warn(f"{error.what}; looking for the deploy")
        return Deployment(None, commit, DeployState.QUEUED), known
    except SlipwayError as error:
        ports.journal.append(Kind.FAILED, target.name, action=DEPLOY, reason=error.what)
        raise
    journal_deployment(ports, target, DEPLOY, deployment, Kind.DONE)
    ports.console.state(target.name, f"deploy {deployment.id or '(not named yet)'} of {short(commit)} asked for")
    return deployment, known


def _await(ports: Ports, target: Target, deployment: Deployment, known: frozenset[str], deadline: Deadline) -> Verdict:
    if fetch_patiently(ports, target, deadline) is None:
        return _await_by_service(ports, target, deployment, deadline)
    ended = follow(ports, target, deployment, known, deadline)
    if ended is None:
        limit = ports.config.deploy.deadline_s
        return failed(f"{target.name}: the deploy had not ended after {limit:g} s and was given up")
    journal_deployment(ports, target, DEPLOY, ended, Kind.DEPLOYMENT)
    return judge_deployment(target.name, ended)


def judge_deployment(name: str, ended: Deployment) -> Verdict:
    """Say what the platform's end of a deploy means for the release."""
    if ended.state is DeployState.LIVE:
        return passed(f"{name}: deploy {ended.id} is live, says the platform")
    if ended.state is DeployState.STAGED:
        return passed(f"{name}: deploy {ended.id} is ready at a URL of its own; no user is on it")
    if ended.state is DeployState.RETIRED:
        return superseded_by(f"{name}: deploy {ended.id} was live and another one took its place")
    return failed(
        f"{name}: deploy {ended.id} ended as {ended.detail or ended.state}; the old release keeps serving",
        f"read the log of deploy {ended.id} in the platform's dashboard",
    )


def _await_by_service(ports: Ports, target: Target, deployment: Deployment, deadline: Deadline) -> Verdict:
    """Without a key only the service can tell: wait for its first answer with the candidate's commit."""
    while not deadline.passed:
        if target.witness.ask_version(target.url).commit == deployment.commit:
            return passed(f"{target.name}: {short(deployment.commit)} has begun to answer")
        deadline.pause(ports.config.deploy.poll_s)
    return failed(
        f"{target.name}: {short(deployment.commit)} did not answer within {ports.config.deploy.deadline_s:g} s",
        "read the deploy's log in the platform's dashboard",
    )

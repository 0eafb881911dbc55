"""Read a platform and wait: every wait has a deadline, and an outage of the API is waited out."""

from __future__ import annotations

from scripts.clock import Deadline
from scripts.errors import PlatformError, PlatformUnreachable
from scripts.platforms import History
from scripts.release import Deployment
from scripts.stage import HEARTBEAT_S, READ_S, Ports, Target


def fetch_patiently(
    ports: Ports, target: Target, deadline: Deadline, also: type[PlatformError] = PlatformUnreachable
) -> History | None:
    """Read the deployments, and again while the platform cannot be reached and time is left; None without a key.

    `also` is another trouble that is waited out.

    Raises:
        PlatformError: the platform answered nonsense, or could not be reached until the deadline.
    """
    while True:
        try:
            return target.platform.fetch_history(ports.deadline(min(READ_S, deadline.left_s)))
        except (PlatformUnreachable, also) as error:
            if deadline.passed:
                raise
            ports.console.warn(f"{error.what}; trying again, {deadline.left_s:.0f} s left")
            deadline.pause(ports.config.deploy.poll_s)


def find_listed(
    ports: Ports, target: Target, asked: Deployment, known: frozenset[str], deadline: Deadline
) -> Deployment | None:
    """Look for a deploy that was asked for until the platform lists it: by its id, or as one that is new."""
    while True:
        history = fetch_patiently(ports, target, deadline)
        if history is None:
            return None
        fresh = history.new_since(known, asked.commit) if asked.commit else None
        found = history.find(asked.id) or fresh
        if found is not None or deadline.passed:
            return found
        deadline.pause(ports.config.deploy.poll_s)


def follow(
    ports: Ports, target: Target, deployment: Deployment, known: frozenset[str], deadline: Deadline
) -> Deployment | None:
    """Read a deployment until it has ended; None when the deadline came first. An outage of the API is waited out.

    A deployment that the platform did not name is looked for among those that were not there before.

    Raises:
        PlatformError: a status that is not known, or an answer that is nonsense.
    """
    beat, last = ports.clock.monotonic(), ""
    while not deadline.passed:
        try:
            found = _read(target, deployment, known, deadline)
        except PlatformUnreachable as error:
            found = None
            last = _changed(ports, target, last, f"cannot be read: {error.what}")
        if found is not None:
            deployment = found
            last = _changed(ports, target, last, f"deploy {found.id} is {found.state} ({found.detail})")
            if found.state.ended:
                return found
        if ports.clock.monotonic() - beat >= HEARTBEAT_S:
            beat = ports.clock.monotonic()
            ports.console.state(target.name, f"still waiting: {last}, {deadline.left_s:.0f} s left")
        deadline.pause(ports.config.deploy.poll_s)
    return None


def _read(target: Target, deployment: Deployment, known: frozenset[str], deadline: Deadline) -> Deployment | None:
    if deployment.id is not None:
        return target.platform.fetch_deployment(deployment.id, deadline)
    history = target.platform.fetch_history(deadline)
    if history is None or deployment.commit is None:
        return None
    return history.new_since(known, deployment.commit)


def _changed(ports: Ports, target: Target, last: str, now: str) -> str:
    if now != last:
        ports.console.state(target.name, now)
    return now

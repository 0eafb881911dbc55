"""Whose production is it: before every change a target is read again, and only our own moves may be changed."""

from __future__ import annotations

from scripts.clock import Deadline
from scripts.follow import fetch_patiently
from scripts.platforms import History
from scripts.release import Deployment, Sha, short
from scripts.stage import Ports, Target
from scripts.state import TargetState
from scripts.verdict import Verdict, superseded_by


def find_intruder(
    ports: Ports,
    target: Target,
    state: TargetState,
    candidate: Sha,
    deadline: Deadline,
    *,
    returning: bool = False,
    builds_count: bool = True,
) -> Verdict | None:
    """Re-read a target: anything but the baseline or our own candidate there supersedes this run.

    While `returning`, a new deployment of the baseline's commit is our own rollback. Unless `builds_count`, one that
    has no users yet is no move of theirs.

    Raises:
        PlatformError: the platform could not be read until the deadline.
    """
    history = fetch_patiently(ports, target, deadline)
    stranger = None
    if history is not None:
        stranger = find_stranger(history, state, candidate, returning=returning, builds_count=builds_count)
    if stranger is not None:
        return superseded_by(f"{target.name} has deploy {stranger.id} of {short(stranger.commit)}, {stranger.state}")
    old = state.baseline.commit if state.baseline else None
    seen = target.witness.ask_version(target.url)
    if old is not None and seen.commit not in {candidate, old, None}:
        return superseded_by(f"{target.url} answers as {short(seen.commit)}")
    return None


def find_stranger(
    history: History, state: TargetState, candidate: Sha, *, returning: bool, builds_count: bool
) -> Deployment | None:
    """Give a deployment that has users or is on its way, and not ours; one of our commit that we asked for is ours."""
    named = state.deploy is not None and state.deploy.deployment is not None and state.deploy.deployment.id
    old = state.baseline.commit if state.baseline else None
    for row in history.deployments:
        fresh = row.id not in state.known
        ours = row.id in state.own_ids
        adopted = fresh and not named and row.commit == candidate
        going_back = fresh and returning and row.commit == old
        there = row is history.current or (history.moving_to is not None and row.id == history.moving_to)
        if (there or (builds_count and not row.state.ended)) and not (ours or adopted or going_back):
            return row
    return None

"""Give the candidate user traffic, once every target passed; where the platform did so by itself, do nothing."""

from __future__ import annotations

from scripts.journal import Kind
from scripts.ownership import find_intruder
from scripts.release import Release
from scripts.stage import READ_S, Ports, Target, planned
from scripts.state import PROMOTE, TargetState
from scripts.verdict import Verdict, passed, worst


def promote(ports: Ports) -> Verdict:
    """Promote on every target that was deployed to."""
    state = ports.state()
    release = planned(state)
    return worst(_promote_target(ports, target, state.targets[target.name], release) for target in ports.targets)


def _promote_target(ports: Ports, target: Target, state: TargetState, release: Release) -> Verdict:
    if state.deploy is None or state.deploy.deployment is None:
        return passed(f"{target.name}: nothing was deployed, nothing to promote")
    intruder = find_intruder(ports, target, state, release.commit, ports.deadline(READ_S))
    if intruder is not None:
        return intruder
    ports.journal.append(Kind.INTENT, target.name, action=PROMOTE, commit=release.commit)
    target.platform.promote(state.deploy.deployment, ports.deadline(READ_S))
    ports.journal.append(Kind.DONE, target.name, action=PROMOTE, commit=release.commit)
    return passed(f"{target.name}: users are on it")

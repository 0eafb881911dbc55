"""Values: a release, a deployment, what served before, and the stages in order."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

Sha = NewType("Sha", str)
"""A full commit id: 40 lower-case hex digits, never shortened except for reading."""


def parse_sha(text: object) -> Sha | None:
    """Give the commit id, or None where the text is not a full one."""
    if isinstance(text, str) and re.fullmatch(r"[0-9a-fA-F]{40}", text):
        return Sha(text.lower())
    return None


def short(commit: Sha | None) -> str:
    """Give what a person reads."""
    return commit[:7] if commit else "unknown"


class Stage(enum.StrEnum):
    """The steps of a release."""

    PLAN = "plan"
    DEPLOY = "deploy"
    VERIFY = "verify"
    PROMOTE = "promote"
    BAKE = "bake"
    ROLLBACK = "rollback"
    RECOVER = "recover"
    REPORT = "report"


STAGES = (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)
"""A release that goes well, in order; `release.yml` has them as steps in this order."""


class DeployState(enum.StrEnum):
    """Where a deployment is, the same words for every platform."""

    QUEUED = "queued"
    BUILDING = "building"
    STARTING = "starting"
    STAGED = "staged"  # ready at a URL of its own; no user has ever been on it
    LIVE = "live"
    RETIRED = "retired"  # was live, another one took its place
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether the platform will do nothing more with it by itself."""
        return self not in {DeployState.QUEUED, DeployState.BUILDING, DeployState.STARTING}

    @property
    def has_served(self) -> bool:
        """Whether it served users at some time."""
        return self in {DeployState.LIVE, DeployState.RETIRED}


@dataclass(frozen=True)
class Deployment:
    """One deployment on one platform; `id` is None when the platform took the request and named none.

    `url` is its own address, where it can be asked before users are on it; empty where the platform has no such thing.
    `size_bytes` is what was uploaded, 0 where nobody told.
    """

    id: str | None
    commit: Sha | None
    state: DeployState
    created_at: datetime | None = None
    detail: str = ""
    is_rollback: bool = False
    url: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class Release:
    """A commit on its way to production, and the run that takes it there.

    `together`: it is one unit, so that what fails on one target takes every target back. `by` and `why` are those of a
    rollback by hand: then `commit` is what is to go, and `targets` are those that serve it.
    """

    commit: Sha
    run_id: str
    started_at: datetime
    targets: tuple[str, ...]
    together: bool = True
    by: str = ""
    why: str = ""

    @property
    def attempt(self) -> int:
        """Which attempt of a workflow's run it is; 1 where it is none."""
        told = re.fullmatch(r"\d+-(\d+)", self.run_id)
        return int(told[1]) if told else 1

    @property
    def by_hand(self) -> bool:
        """Whether a person asked for it to go, so that no stage of it has to have failed."""
        return self.by != ""


@dataclass(frozen=True)
class Baseline:
    """What served on a target when the release was planned.

    `proven`: platform and `/version` agreed on the commit. `first`: nothing has ever served here.
    `failures_by_s`: failed probes for each second of the baseline window, `probes` in all. `url` is an address of its
    own, at which it can be asked beside the candidate; empty where the platform has none.
    """

    target: str
    commit: Sha | None
    deployment_id: str | None
    proven: bool
    instances: int = 1
    instance_ids: tuple[str, ...] = ()
    healthy: bool = True
    first: bool = False
    probes: int = 0
    failures_by_s: tuple[int, ...] = ()
    known: tuple[str, ...] = ()  # the deployments that the platform had already
    url: str = ""

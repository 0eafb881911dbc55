"""The words of the emulated Vercel: deployments, alias jobs, events, durations and the faults it can be given.

States are those of Vercel's API (`readyState`, `readySubstate` and `lastAliasRequest.jobStatus`).
"""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from scripts.rehearsal.clouds.refusals import ApiErrors

ID_LETTERS = string.ascii_letters + string.digits


class State(StrEnum):
    """Where a deployment is on its way (`readyState`)."""

    QUEUED = "QUEUED"
    BUILDING = "BUILDING"
    READY = "READY"
    ERROR = "ERROR"
    CANCELED = "CANCELED"

    @property
    def terminal(self) -> bool:
        """Whether the deployment itself ended."""
        return self in {State.READY, State.ERROR, State.CANCELED}


class Job(StrEnum):
    """What an alias job does (`lastAliasRequest.type`)."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


class JobStatus(StrEnum):
    """Where an alias job is (`lastAliasRequest.jobStatus`)."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class Plan(StrEnum):
    """What the team pays for; a rollback on the free plan reaches the previous production deployment only."""

    HOBBY = "hobby"
    PRO = "pro"


class Kind(StrEnum):
    """What an event tells; where Render has the same event, it has the same value."""

    REQUESTED = "requested"
    BUILD_STARTED = "build_started"
    READY = "ready"
    FAILED = "failed"
    CANCELED = "canceled"
    PROMOTE_REQUESTED = "promote_requested"
    ROLLBACK_REQUESTED = "rollback_requested"
    LIVE = "live"
    DEACTIVATED = "deactivated"
    INSTANCE_STARTED = "instance_started"
    INSTANCE_STOPPED = "instance_stopped"


@dataclass(frozen=True)
class Deployment:
    """A deployment; `host` is what the API calls its url, and `output` its unpacked `.vercel/output`."""

    id: str
    host: str
    name: str
    commit: str
    created_at: datetime
    output: Path
    meta: Mapping[str, str]
    production: bool = True
    takes_domain: bool = False
    state: State = State.QUEUED
    building_at: datetime | None = None
    ready_at: datetime | None = None
    aliased_at: datetime | None = None
    error: str = ""
    has_served: bool = False


@dataclass(frozen=True)
class AliasJob:
    """A move of the production domain that was asked for; seconds are monotonic."""

    kind: Job
    from_id: str | None
    to_id: str
    requested_at: datetime
    requested_s: float
    status: JobStatus = JobStatus.PENDING
    ended_s: float | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened on the platform, by both clocks; `detail` is for people."""

    monotonic_s: float
    at: datetime
    kind: Kind
    deploy_id: str | None = None
    commit: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class VercelTimes:
    """How long the platform takes, in seconds. Vercel states none: all but the function's limits are estimates.

    `function_start_limit_s`: Vercel gives initialisation 10 s, then once more with the request's own limit
    (vercel.com/docs/functions/limitations, 300 s); here it is one limit.
    """

    queued_s: float = 2.0
    build_s: float = 12.0
    job_pending_s: float = 1.0
    job_s: float = 6.0
    function_start_limit_s: float = 60.0
    function_answer_limit_s: float = 300.0
    function_idle_s: float = 900.0

    def scaled(self, factor: float) -> Self:
        """Multiply every duration, down to a floor: real processes start and answer no faster on a small clock."""
        return type(self)(
            **{each.name: max(getattr(self, each.name) * factor, _FLOORS_S[each.name]) for each in fields(self)}
        )


_FLOORS_S = {
    "queued_s": 0.05,
    "build_s": 0.2,
    "job_pending_s": 0.05,
    "job_s": 0.2,
    "function_start_limit_s": 20.0,
    "function_answer_limit_s": 30.0,
    "function_idle_s": 30.0,
}


@dataclass(frozen=True)
class VercelFaults:
    """What is wrong with the platform; the only switch for it. A cloud's faults can be replaced at any time.

    - `deploy_ends_in_error`: a deployment's build fails; the events say so in full.
    - `stuck_in_queue`: a deployment stays queued for ever.
    - `alias_never_assigned`: a promotion never ends and does not move the domain; nothing gets `aliasAssigned`.
    - `promote_refused`, `rollback_refused`: the API refuses to begin the job.
    - `promote_fails`: the job ends as failed and moves nothing. `promote_skipped`: the same, as skipped.
    - `promote_queued`: the API takes the job with 202 and does not begin it.
    - `promote_without_traffic`: the job succeeds and the alias is told as moved; users stay where they were.
    - `rolling_release`: the project has a rolling release set up, with no stage active.
    - `api_errors`: see there. `api_down_after`: from the first such event of a deployment that was asked for over the
      API, nothing but 503 is answered.
    """

    deploy_ends_in_error: bool = False
    stuck_in_queue: bool = False
    alias_never_assigned: bool = False
    promote_refused: bool = False
    rollback_refused: bool = False
    promote_fails: bool = False
    promote_skipped: bool = False
    promote_queued: bool = False
    promote_without_traffic: bool = False
    rolling_release: bool = False
    api_errors: ApiErrors | None = None
    api_down_after: Kind | None = None


def new_id(prefix: str) -> str:
    """Make an id in Vercel's form: a prefix and 28 letters and digits."""
    return prefix + "".join(secrets.choice(ID_LETTERS) for _ in range(28))


def now() -> datetime:
    """Read the wall clock in UTC."""
    return datetime.now(UTC)


def to_ms(at: datetime | None) -> int | None:
    """Give a moment as the API does: milliseconds since 1970."""
    return None if at is None else round(at.timestamp() * 1000)

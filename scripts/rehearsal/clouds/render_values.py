"""The words of the emulated Render: deploys, events, durations and the faults it can be given.

Statuses and triggers are those of Render's API (`deployStatus` and `deploy.trigger` of its OpenAPI document).
"""

import secrets
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.commits import Commit

ID_LETTERS = "0123456789abcdefghijklmnopqrstuv"


class Status(StrEnum):
    """Where a deploy is on its way."""

    CREATED = "created"
    QUEUED = "queued"
    BUILD_IN_PROGRESS = "build_in_progress"
    PRE_DEPLOY_IN_PROGRESS = "pre_deploy_in_progress"
    UPDATE_IN_PROGRESS = "update_in_progress"
    LIVE = "live"
    DEACTIVATED = "deactivated"
    BUILD_FAILED = "build_failed"
    PRE_DEPLOY_FAILED = "pre_deploy_failed"
    UPDATE_FAILED = "update_failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether the deploy itself ended (a live one may still become deactivated)."""
        return self in TERMINAL


TERMINAL = frozenset(
    {
        Status.LIVE,
        Status.DEACTIVATED,
        Status.BUILD_FAILED,
        Status.PRE_DEPLOY_FAILED,
        Status.UPDATE_FAILED,
        Status.CANCELED,
    }
)


class Trigger(StrEnum):
    """What asked for a deploy; only those that this emulator knows how to be asked by."""

    API = "api"
    DEPLOY_HOOK = "deploy_hook"
    MANUAL = "manual"
    ROLLBACK = "rollback"


class AutoDeploy(StrEnum):
    """When Render deploys by itself (`autoDeployTrigger`)."""

    COMMIT = "commit"
    OFF = "off"
    CHECKS_PASS = "checksPass"


class Overlap(StrEnum):
    """What becomes of a deploy that is asked for while another one runs."""

    WAIT = "wait"
    OVERRIDE = "override"


class Kind(StrEnum):
    """What an event tells."""

    REQUESTED = "requested"
    QUEUED = "queued"
    BUILD_STARTED = "build_started"
    PRE_DEPLOY_STARTED = "pre_deploy_started"
    UPDATE_STARTED = "update_started"
    LIVE = "live"
    DEACTIVATED = "deactivated"
    CANCELED = "canceled"
    FAILED = "failed"
    TRAFFIC_SWITCHED = "traffic_switched"
    TRAFFIC_STOPPED = "traffic_stopped"
    INSTANCE_STARTED = "instance_started"
    INSTANCE_STOPPED = "instance_stopped"
    AUTO_DEPLOY_CHANGED = "auto_deploy_changed"
    RESTART_REQUESTED = "restart_requested"
    SUSPENDED = "suspended"
    ASLEEP = "asleep"


@dataclass(frozen=True)
class Deploy:
    """A deploy as the API tells it; times are wall clock in UTC."""

    id: str
    commit: Commit
    trigger: Trigger
    status: Status
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


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
class Times:
    """How long the platform takes, in seconds; the defaults are Render's own (render.com/docs/deploys, /health-checks).

    `build_overhead_s` is an estimate: Render states no figure for fetching the source and preparing a build.
    """

    build_overhead_s: float = 20.0
    build_limit_s: float = 7200.0
    pre_deploy_limit_s: float = 1800.0
    start_limit_s: float = 900.0
    health_interval_s: float = 5.0
    health_limit_s: float = 5.0
    no_traffic_after_s: float = 15.0
    restart_after_s: float = 60.0
    drain_s: float = 60.0
    shutdown_delay_s: float = 30.0
    wake_s: float = 60.0

    def scaled(self, factor: float) -> Self:
        """Multiply every duration, down to a floor: real processes start, answer and end no faster on a small clock."""
        return type(self)(
            **{each.name: max(getattr(self, each.name) * factor, _FLOORS_S[each.name]) for each in fields(self)}
        )


_FLOORS_S = {
    "build_overhead_s": 0.0,
    "build_limit_s": 120.0,
    "pre_deploy_limit_s": 60.0,
    "start_limit_s": 5.0,
    "health_interval_s": 0.1,
    "health_limit_s": 1.0,
    "no_traffic_after_s": 1.0,
    "restart_after_s": 3.0,
    "drain_s": 0.2,
    "shutdown_delay_s": 2.0,
    "wake_s": 0.5,
}


@dataclass
class Faults:
    """What is wrong with the platform right now; the only switch for it, and it may be turned at any time.

    - `live_without_traffic`: a deploy asked for by hook or API is said to be live, the old one keeps the traffic.
    - `rollback_without_traffic`: the same for a rollback.
    - `live_early_s`: a deploy is said to be live that many real seconds before the first of its instances has traffic.
    - `old_instances_kept`: so many old instances keep their traffic when a deploy goes live.
    - `build_extra_s`: real seconds that every build takes longer.
    - `hook_answers_202`: the hook creates a deploy, but does not tell its id.
    - `cancel_ignored`: a cancel is answered 200 and has no effect.
    - `unknown_status`: what a deploy is told to be in, instead of any status before its end.
    - `api_down`: the API answers 503; the hook still works.
    - `api_errors`: see there; the hook, `POST /deploy/…`, can be refused too.
    """

    live_without_traffic: bool = False
    rollback_without_traffic: bool = False
    live_early_s: float = 0.0
    old_instances_kept: int = 0
    build_extra_s: float = 0.0
    hook_answers_202: bool = False
    cancel_ignored: bool = False
    unknown_status: str = ""
    api_down: bool = False
    api_errors: ApiErrors | None = None

    def keep_traffic_from(self, trigger: Trigger) -> bool:
        """Tell whether a deploy of this trigger goes live without getting the traffic."""
        match trigger:
            case Trigger.ROLLBACK:
                return self.rollback_without_traffic
            case Trigger.API | Trigger.DEPLOY_HOOK:
                return self.live_without_traffic
            case Trigger.MANUAL:
                return False


def new_id(prefix: str) -> str:
    """Make an id in Render's form: a prefix and 20 characters."""
    return prefix + "".join(secrets.choice(ID_LETTERS) for _ in range(20))


def now() -> datetime:
    """Read the wall clock in UTC."""
    return datetime.now(UTC)

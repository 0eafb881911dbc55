"""What Vercel's API answers, as our values: pure reading. Facts: Vercel's REST API reference.

Whatever the API answers is a value of ours or a PlatformError; what is to be done about it is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scripts.errors import PlatformError, UnknownState
from scripts.release import Deployment, DeployState, Sha, parse_sha

COMMIT, SIZE = "slipwayCommit", "slipwayBytes"  # the names under which `deploy` leaves both in a deployment's meta
LOOPBACK = {"127.0.0.1", "localhost", "::1"}  # the rehearsal's deployments
SAID = 200  # characters of Vercel's own words that are told
READY = "READY"
PROMOTED = "PROMOTED"  # of readySubstate: it has had production traffic

STATES: Mapping[str, DeployState] = {
    "QUEUED": DeployState.QUEUED,
    "INITIALIZING": DeployState.QUEUED,
    "BUILDING": DeployState.BUILDING,
    "ERROR": DeployState.FAILED,
    "CANCELED": DeployState.CANCELED,
    "DELETED": DeployState.CANCELED,
}
RUNNING = frozenset({"pending", "in-progress"})
FAILED = "failed"
GIVEN_UP = frozenset({FAILED, "skipped"})
JOBS = RUNNING | GIVEN_UP | {"succeeded"}

Row = Mapping[str, object]


@dataclass(frozen=True)
class Move:
    """The last time that the project's domains were to be moved; `kind` is promote or rollback."""

    kind: str
    status: str
    to_id: str
    from_id: str | None
    requested_ms: int

    @property
    def running(self) -> bool:
        """Whether domains may still be moving."""
        return self.status in RUNNING

    @property
    def given_up(self) -> bool:
        """Whether it ended without all of them moved."""
        return self.status in GIVEN_UP


@dataclass(frozen=True)
class Project:
    """How the project is set, and the last move of its domains."""

    paused: bool
    pinned: bool
    rolling: bool
    move: Move | None


def read_project(body: Row) -> Project:
    """Read a project.

    Raises:
        PlatformError: the last move of its domains is none.
        UnknownState: it is in a status that is not known.
    """
    rolling = body.get("rollingRelease")
    off = isinstance(rolling, dict) and rolling.get("enabled") is False
    return Project(
        paused=body.get("paused") is True,
        pinned=body.get("autoAssignCustomDomains") is False,
        rolling=bool(rolling) and not off,
        move=_move(body.get("lastAliasRequest")),
    )


def read_rows(body: object) -> tuple[Row, ...]:
    """Read a list of deployments as the rows it has.

    Raises:
        PlatformError: it is not one.
    """
    rows = body.get("deployments") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PlatformError("Vercel, reading the deployments: expected a list of deployments, got something else")
    return tuple(rows)


def read_alias(body: Row) -> str | None:
    """Read which deployment a domain points to."""
    return _text(body.get("deploymentId")) or None


def read_deployment(row: Row, serving_id: str | None) -> Deployment:
    """Read a deployment, where the production domain points to `serving_id`; a list's rows call their id `uid`.

    Raises:
        PlatformError: it is none.
        UnknownState: it is in a state that is not known.
    """
    found = identify(row)
    if not found:
        raise PlatformError("Vercel answered something that is not a deployment")
    meta = row.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    return Deployment(
        id=found,
        commit=parse_sha(meta.get(COMMIT)) or parse_sha(meta.get("githubCommitSha")),
        state=_state(row, found, serving=found == serving_id),
        created_at=read_time(row.get("createdAt", row.get("created"))),
        detail=_detail(row),
        url=_address(_text(row.get("url"))),
        size_bytes=_count(meta.get(SIZE)),
    )


def identify(row: Row) -> str:
    """Give the id of a deployment's row; empty if it has none."""
    return _text(row.get("id")) or _text(row.get("uid"))


def was_shipped(row: Row, commit: Sha) -> bool:
    """Tell whether a row is a deployment of ours: Vercel's own for the same push has only the commit of GitHub."""
    meta = row.get("meta")
    return isinstance(meta, dict) and parse_sha(meta.get(COMMIT)) == commit


def find_undone(deployments: Sequence[Deployment], move: Move | None) -> frozenset[Sha]:
    """Give the commits that users were taken off: by the last rollback, or for an older deployment that is live."""
    live = next((row for row in deployments if row.state is DeployState.LIVE), None)
    left = {move.from_id} if move is not None and _is_rollback(move) else set()
    since = live.created_at if live else None
    for row in deployments:
        if row.state is DeployState.RETIRED and since and row.created_at and row.created_at > since:
            left.add(row.id)
    commits = {row.commit for row in deployments if row.id in left and row.commit}
    return frozenset(commits - {live.commit if live else None})


def find_rollback_time(move: Move | None) -> datetime | None:
    """Give when the last rollback was asked for."""
    return read_time(move.requested_ms) if move is not None and _is_rollback(move) else None


def is_newest_retired(deployments: Iterable[Deployment], deployment_id: str) -> bool:
    """Tell whether a deployment is the one that served users before the live one."""
    retired = [row for row in deployments if row.state is DeployState.RETIRED and row.created_at]
    newest = max(retired, key=lambda row: row.created_at or datetime.min.replace(tzinfo=UTC), default=None)
    return newest is not None and newest.id == deployment_id


def read_failed_domains(body: object) -> str:
    """Give the domains that could not be moved, for a person; empty where none is told."""
    rows = body.get("aliases") if isinstance(body, dict) else None
    names = (_text(inner.get("alias")) for row in _dicts(rows) for inner in _dicts([row.get("alias")]))
    return ", ".join(filter(None, names))[:SAID]


def read_time(value: object) -> datetime | None:
    """Give the moment of a number of milliseconds since 1970."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _move(value: object) -> Move | None:
    if value is None:
        return None
    row = value if isinstance(value, dict) else {}
    status, to_id, requested = _text(row.get("jobStatus")), _text(row.get("toDeploymentId")), row.get("requestedAt")
    if status not in JOBS or not to_id:
        raise UnknownState(
            f"Vercel says that the last move of the domains is in a status that is not known: {str(value)[:SAID]}",
            next_step="look at the project in Vercel's dashboard; if the status is new, Slipway has to learn it",
        )
    return Move(
        kind=_text(row.get("type")),
        status=status,
        to_id=to_id,
        from_id=_text(row.get("fromDeploymentId")) or None,
        requested_ms=requested if isinstance(requested, int) else 0,
    )


def _is_rollback(move: Move) -> bool:
    return move.kind == "rollback" and not move.given_up


def _state(row: Row, name: str, *, serving: bool) -> DeployState:
    said = row.get("readyState", row.get("state"))
    if said == READY:
        before = DeployState.RETIRED if row.get("readySubstate") == PROMOTED else DeployState.STAGED
        return DeployState.LIVE if serving else before
    state = STATES.get(said) if isinstance(said, str) else None
    if state is None:
        raise UnknownState(
            f"Vercel says that deployment {name} is in a state that is not known: {said!r}",
            next_step="look at the deployment in Vercel's dashboard; if the state is new, Slipway has to learn it",
        )
    return state


def _detail(row: Row) -> str:
    said = _text(row.get("readyState", row.get("state")))
    substate = _text(row.get("readySubstate")) if said == READY else ""
    why = ": ".join(filter(None, (_text(row.get("errorCode")), _text(row.get("errorMessage"))[:SAID])))
    return ", ".join(filter(None, (said, substate, why)))


def _address(host: str) -> str:
    bare = host.partition(":")[0]
    local = bare in LOOPBACK or bare.endswith(".localhost")
    return f"{'http' if local else 'https'}://{host}" if host else ""


def _dicts(value: object) -> list[dict[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else 0

"""What the emulated Render says in JSON: a service, a deploy, a page of deploys.

The shapes are those of `service`, `deploy` and `deployList` in Render's OpenAPI document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams

from scripts.rehearsal.clouds.render_service import RenderService
from scripts.rehearsal.clouds.render_values import AutoDeploy, Deploy, Status

PAGE_DEFAULT = 20
PAGE_LIMIT = 100
OWNER = "tea-rehearsal00000000000"


class BadParameterError(ValueError):
    """A query parameter that is not of its form."""


@dataclass(frozen=True)
class DeployQuery:
    """Which deploys are asked for: at most `limit` of them, those behind `cursor`, in a status, created in between."""

    limit: int
    cursor: str | None
    statuses: frozenset[Status]
    created_after: datetime | None
    created_before: datetime | None


def read_deploy_query(parameters: QueryParams) -> DeployQuery:
    """Read the query of GET /services/{id}/deploys; raises BadParameterError."""
    try:
        return DeployQuery(
            limit=_limit(parameters.get("limit")),
            cursor=parameters.get("cursor"),
            statuses=frozenset(Status(each) for each in parameters.getlist("status")),
            created_after=_time(parameters.get("createdAfter")),
            created_before=_time(parameters.get("createdBefore")),
        )
    except ValueError as error:
        raise BadParameterError(str(error)) from error


def render_page(deploys: Sequence[Deploy], query: DeployQuery) -> list[dict[str, Any]]:
    """Make one page, newest first; `deploys` are oldest first. Raises BadParameterError for an unknown cursor."""
    wanted = [each for each in _behind(query.cursor, deploys) if _matches(each, query)]
    return [{"deploy": render_deploy(each), "cursor": _cursor(each)} for each in wanted[: query.limit]]


def render_deploy(deploy: Deploy) -> dict[str, Any]:
    """Make the JSON of a deploy; times that are not known yet are absent."""
    said = {
        "id": deploy.id,
        "commit": {
            "id": deploy.commit.sha,
            "message": deploy.commit.message,
            "createdAt": _text(deploy.commit.created_at),
        },
        "status": deploy.status.value,
        "trigger": deploy.trigger.value,
        "createdAt": _text(deploy.created_at),
        "updatedAt": _text(deploy.updated_at),
        "startedAt": deploy.started_at and _text(deploy.started_at),
        "finishedAt": deploy.finished_at and _text(deploy.finished_at),
    }
    return {name: value for name, value in said.items() if value is not None}


def render_service(service: RenderService) -> dict[str, Any]:
    """Make the JSON of the service."""
    service_id = service.settings.service_id
    return {
        "id": service_id,
        "name": "rehearsal",
        "slug": "rehearsal",
        "type": "web_service",
        "ownerId": OWNER,
        "dashboardUrl": f"https://dashboard.render.com/web/{service_id}",
        "repo": service.settings.repository.as_uri(),
        "branch": service.settings.branch,
        "rootDir": "",
        "autoDeploy": "no" if service.auto_deploy is AutoDeploy.OFF else "yes",
        "autoDeployTrigger": service.auto_deploy.value,
        "notifyOnFail": "default",
        "suspended": "suspended" if service.suspended else "not_suspended",
        "suspenders": ["user"] if service.suspended else [],
        "createdAt": _text(service.created_at),
        "updatedAt": _text(service.updated_at),
        "serviceDetails": _details(service),
    }


def _details(service: RenderService) -> Mapping[str, Any]:
    return {
        "runtime": "python",
        "env": "python",
        "envSpecificDetails": {
            "buildCommand": service.blueprint.build_command,
            "startCommand": service.blueprint.start_command,
        },
        "healthCheckPath": service.blueprint.health_check_path,
        "numInstances": service.settings.instances,
        "openPorts": [],
        "plan": "starter",
        "buildPlan": "starter",
        "region": "oregon",
        "url": service.public_url,
        "maxShutdownDelaySeconds": max(1, round(service.settings.times.shutdown_delay_s)),
    }


def _behind(cursor: str | None, deploys: Sequence[Deploy]) -> Iterator[Deploy]:
    newest_first = iter(reversed(deploys))
    if cursor and not any(_cursor(each) == cursor for each in newest_first):
        raise BadParameterError(f"unknown cursor {cursor}")
    return newest_first


def _matches(deploy: Deploy, query: DeployQuery) -> bool:
    if query.statuses and deploy.status not in query.statuses:
        return False
    if query.created_after and deploy.created_at <= query.created_after:
        return False
    return not (query.created_before and deploy.created_at >= query.created_before)


def _cursor(deploy: Deploy) -> str:
    """Make a cursor that cannot be mistaken for an id."""
    return deploy.id.removeprefix("dep-")[::-1]


def _limit(text: str | None) -> int:
    limit = PAGE_DEFAULT if text is None else int(text)
    if not 1 <= limit <= PAGE_LIMIT:
        raise ValueError(f"limit must be between 1 and {PAGE_LIMIT}, not {limit}")
    return limit


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return time


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

"""The JSON of the emulated Vercel: what the API says of deployments, project and domain, and what it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.rehearsal.clouds.vercel_files import Listed
from scripts.rehearsal.clouds.vercel_project import Project, RefusedError
from scripts.rehearsal.clouds.vercel_values import AliasJob, Deployment, JobStatus, State, to_ms

# Where a pipeline says which commit a deployment is of; a connected repository says it as the second.
COMMIT_NAMES = ("slipwayCommit", "githubCommitSha")


@dataclass(frozen=True)
class Wanted:
    """What a request for a deployment asks for."""

    name: str
    meta: Mapping[str, str]
    files: tuple[Listed, ...]
    production: bool
    takes_domain: bool

    @property
    def commit(self) -> str:
        """The commit that the request names; empty where it names none."""
        return next((self.meta[name] for name in COMMIT_NAMES if self.meta.get(name)), "")


def read_wanted(body: Mapping[str, Any]) -> Wanted:
    """Read the request for a deployment; raises RefusedError."""
    try:
        files = tuple(Listed(row["file"], row["sha"], int(row.get("mode", 0o644))) for row in body["files"])
        meta = {str(name): str(value) for name, value in (body.get("meta") or {}).items()}
        name = str(body.get("name") or body["project"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(400, "bad_request", f"Invalid request: {type(error).__name__} {error}") from error
    assigned = body.get("autoAssignCustomDomains", True) is not False
    return Wanted(name, meta, files, body.get("target") == "production", assigned)


def render_deployment(project: Project, deployment: Deployment) -> dict[str, Any]:
    """Render a deployment as GET /v13/deployments/<id> does."""
    settings = project.settings
    failed = deployment.state is State.ERROR
    return {
        "id": deployment.id,
        "name": deployment.name,
        "url": deployment.host,
        "inspectorUrl": f"https://vercel.com/{settings.team}/{settings.name}/{deployment.id.removeprefix('dpl_')}",
        "ownerId": settings.org_id,
        "projectId": settings.project_id,
        "project": {"id": settings.project_id, "name": settings.name, "framework": "fastapi"},
        "team": {"id": settings.org_id, "name": settings.team, "slug": settings.team},
        "creator": {"uid": "user_rehearsal", "username": "rehearsal"},
        "plan": settings.plan.value,
        "type": "LAMBDAS",
        "version": 2,
        "public": False,
        "regions": ["iad1"],
        "alias": [settings.production_host] if deployment.id == project.history.production else [],
        "aliasAssigned": deployment.aliased_at is not None,
        "aliasError": None,
        "autoAssignCustomDomains": deployment.takes_domain,
        "errorCode": "BUILD_FAILED" if failed else None,
        "errorMessage": deployment.error if failed else None,
        "errorStep": "buildStep" if failed else None,
        **_common(deployment),
        "createdAt": to_ms(deployment.created_at),
    }


def render_row(project: Project, deployment: Deployment) -> dict[str, Any]:
    """Render a deployment as a row of GET /v6/deployments."""
    return {
        "uid": deployment.id,
        "name": deployment.name,
        "projectId": project.settings.project_id,
        "url": deployment.host,
        "created": to_ms(deployment.created_at),
        "state": deployment.state.value,
        "type": "LAMBDAS",
        "creator": {"uid": "user_rehearsal", "username": "rehearsal"},
        "inspectorUrl": render_deployment(project, deployment)["inspectorUrl"],
        "aliasAssigned": to_ms(deployment.aliased_at),
        "aliasError": None,
        "isRollbackCandidate": project.is_rollback_candidate(deployment),
        **_common(deployment),
    }


def render_list(project: Project, query: Mapping[str, str]) -> dict[str, Any]:
    """Render a page of deployments, newest first; raises RefusedError on a parameter that is not known here."""
    if unknown := set(query) - {"projectId", "target", "limit", "state", "until", "teamId", "slug", "app", "name"}:
        raise RefusedError(400, "bad_request", f"unknown parameters: {', '.join(sorted(unknown))}")
    if query.get("projectId", project.settings.project_id) not in _names(project):
        raise RefusedError(404, "not_found", "The project could not be found")
    limit = _number(query.get("limit", "20"))
    until = _number(query.get("until", "0"))
    states = set(query["state"].split(",")) if "state" in query else set(State)
    rows = [
        render_row(project, row)
        for row in reversed(project.history.deployments.values())
        if row.state in states
        and (query.get("target") in {None, "production"}) is row.production
        and not 0 < until <= (to_ms(row.created_at) or 0)
    ]
    page = rows[: min(limit, 100)]
    ends = {"count": len(page), "next": page[-1]["created"] if len(rows) > len(page) else None, "prev": None}
    return {"deployments": page, "pagination": ends}


def render_project(project: Project, *, rolling_release: bool) -> dict[str, Any]:
    """Render the project as GET /v9/projects/<id> does."""
    settings, current = project.settings, project.history.production
    return {
        "id": settings.project_id,
        "name": settings.name,
        "accountId": settings.org_id,
        "framework": "fastapi",
        "nodeVersion": "22.x",
        "autoAssignCustomDomains": project.auto_assign,
        "paused": project.paused,
        "lastAliasRequest": render_job(project.history.jobs[-1]) if project.history.jobs else None,
        "rollingRelease": {"target": "production", "stages": [{"targetPercentage": 10}]} if rolling_release else None,
        "targets": {"production": _target(project, project.history.deployments[current])} if current else {},
    }


def render_alias(project: Project, host: str) -> dict[str, Any]:
    """Render an alias as GET /v4/aliases/<host> does; raises RefusedError if it is none."""
    current = project.history.production
    if host != project.settings.production_host or not current:
        raise RefusedError(404, "not_found", f"The alias {host} could not be found")
    deployment = project.history.deployments[current]
    return {
        "uid": "als_rehearsal",
        "alias": host,
        "deploymentId": deployment.id,
        "deployment": {"id": deployment.id, "url": deployment.host, "meta": dict(deployment.meta)},
        "projectId": project.settings.project_id,
        "created": deployment.created_at.isoformat(),
        "createdAt": to_ms(deployment.created_at),
    }


def render_domain(project: Project, host: str) -> dict[str, Any]:
    """Render a domain as GET /v9/projects/<id>/domains/<host> does; raises RefusedError if it is none of them."""
    if host != project.settings.production_host:
        raise RefusedError(404, "not_found", f"The domain {host} could not be found")
    return {
        "name": host,
        "apexName": host,
        "projectId": project.settings.project_id,
        "verified": True,
        "redirect": None,
        "redirectStatusCode": None,
        "gitBranch": None,
        "customEnvironmentId": None,
    }


def render_failed_aliases(project: Project) -> dict[str, Any]:
    """Render the aliases that the last job could not move."""
    failed = bool(project.history.jobs) and project.history.jobs[-1].status is JobStatus.FAILED
    rows = []
    if failed:
        alias = {"alias": project.settings.production_host, "deploymentId": project.history.jobs[-1].to_id}
        rows.append({"alias": alias, "status": JobStatus.FAILED.value, "id": "als_rehearsal"})
    return {"aliases": rows, "pagination": {"count": len(rows), "next": None, "prev": None}}


def render_job(job: AliasJob) -> dict[str, Any]:
    """Render a move of the domain as the project tells it."""
    return {
        "fromDeploymentId": job.from_id,
        "toDeploymentId": job.to_id,
        "jobStatus": job.status.value,
        "requestedAt": to_ms(job.requested_at),
        "type": job.kind.value,
    }


def render_events(deployment: Deployment) -> Sequence[dict[str, Any]]:
    """Render the lines of a deployment's log, the reason of a failed build among them."""
    lines = [("", "Running build in Washington, D.C., USA (East)"), ("", "Using prebuilt build artifacts...")]
    if deployment.error:
        lines.append(("error", f"Error: {deployment.error}"))
    date = to_ms(deployment.created_at)
    return [
        {
            "id": f"{date}{number:06}",
            "type": "stderr" if level else "stdout",
            "deploymentId": deployment.id,
            "created": date,
            "date": date,
            "text": text,
            **({"level": level} if level else {}),
        }
        for number, (level, text) in enumerate(lines)
    ]


def _common(deployment: Deployment) -> dict[str, Any]:
    substate = "PROMOTED" if deployment.has_served else "STAGED"
    return {
        "meta": dict(deployment.meta),
        "target": "production" if deployment.production else None,
        "readyState": deployment.state.value,
        "readySubstate": substate if deployment.production and deployment.state is State.READY else None,
        "createdAt": to_ms(deployment.created_at),
        "buildingAt": to_ms(deployment.building_at),
        "ready": to_ms(deployment.ready_at),
    }


def _target(project: Project, deployment: Deployment) -> dict[str, Any]:
    return render_deployment(project, deployment) | {"readyState": deployment.state.value}


def _names(project: Project) -> set[str]:
    return {project.settings.project_id, project.settings.name}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise RefusedError(400, "bad_request", f"{text} is not a number")
    return int(text)

"""The HTTP side of the emulated Vercel: what the CLI asks, and what a pipeline asks beside it.

Routes, statuses and bodies are those that the CLI is content with, and of vercel.com/docs/rest-api where it asks
for none. A request that no route is for is kept in `unknown`, so that a test can fail on it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.rehearsal.clouds.vercel_files import Files, Listed, RefusedUploadError
from scripts.rehearsal.clouds.vercel_gate import refusal
from scripts.rehearsal.clouds.vercel_json import (
    Wanted,
    read_wanted,
    render_alias,
    render_deployment,
    render_domain,
    render_events,
    render_failed_aliases,
    render_list,
    render_project,
)
from scripts.rehearsal.clouds.vercel_project import Project, RefusedError
from scripts.rehearsal.clouds.vercel_values import Deployment, VercelFaults

EVENTS_POLL_S = 0.05

type Create = Callable[[Wanted], Awaitable[Deployment]]


class VercelApi:
    """Answers requests for one project. `create` makes a deployment whose files are all there."""

    def __init__(self, project: Project, files: Files, faults: Callable[[], VercelFaults], create: Create) -> None:
        self._project = project
        self._files = files
        self._faults = faults
        self._create = create
        self.unknown: list[str] = []
        self.app = Starlette(
            routes=self._routes(),
            exception_handlers={
                HTTPException: self._unknown,
                RefusedError: _refuse,
                RefusedUploadError: _refuse_upload,
            },
        )

    def _routes(self) -> list[Route]:
        project, deployment = "/v9/projects/{project}", "/v13/deployments/{deployment}"
        table = [
            ("GET", "/v2/user", self._get_user),
            ("GET", "/v1/teams", self._get_teams),
            ("GET", "/teams/{team}", self._get_team),
            ("GET", project, self._get_project),
            ("GET", "/v9/projects/{project}/domains/{domain}", self._get_domain),
            ("POST", "/v10/projects/{project}/promote/{deployment}", self._post_promote),
            ("POST", "/v9/projects/{project}/rollback/{deployment}", self._post_rollback),
            ("GET", "/v9/projects/{project}/promote/aliases", self._get_failed_aliases),
            ("GET", "/v9/projects/{project}/rollback/aliases", self._get_failed_aliases),
            ("GET", "/v1/projects/{project}/rolling-release", self._get_rolling_release),
            ("POST", "/v2/files", self._post_file),
            ("POST", "/v13/deployments", self._post_deployment),
            ("GET", deployment, self._get_deployment),
            ("PATCH", "/v12/deployments/{deployment}/cancel", self._patch_cancel),
            ("GET", "/v3/now/deployments/{deployment}/events", self._get_events),
            ("GET", "/v11/deployments/{deployment}/builds", self._get_builds),
            ("GET", "/v6/deployments", self._get_deployments),
            ("GET", "/v4/aliases/{alias}", self._get_alias),
        ]
        routes = [Route(path, answer, methods=[method]) for method, path, answer in table]
        for route in routes:
            (route.methods or set()).discard("HEAD")  # Starlette adds it to GET
        return routes

    async def _get_user(self, _: Request) -> Response:
        settings = self._project.settings
        user = {"id": "user_rehearsal", "username": "rehearsal", "email": "rehearsal@example.com", "name": "rehearsal"}
        return JSONResponse({"user": user | {"version": "northstar", "defaultTeamId": settings.org_id}})

    async def _get_teams(self, _: Request) -> Response:
        return JSONResponse({"teams": [self._team()], "pagination": {"count": 1, "next": None, "prev": None}})

    async def _get_team(self, request: Request) -> Response:
        if request.path_params["team"] not in {self._project.settings.org_id, self._project.settings.team}:
            raise RefusedError(403, "forbidden", "Not authorized")
        return JSONResponse(self._team())

    async def _get_project(self, request: Request) -> Response:
        self._expect_project(request)
        return JSONResponse(render_project(self._project, rolling_release=self._faults().rolling_release))

    async def _get_domain(self, request: Request) -> Response:
        self._expect_project(request)
        return JSONResponse(render_domain(self._project, request.path_params["domain"]))

    async def _post_promote(self, request: Request) -> Response:
        self._expect_project(request)
        begun = self._project.promote(request.path_params["deployment"])
        return JSONResponse({}, 201 if begun else 202)

    async def _post_rollback(self, request: Request) -> Response:
        self._expect_project(request)
        self._project.roll_back(request.path_params["deployment"])
        return JSONResponse({}, 201)

    async def _get_failed_aliases(self, request: Request) -> Response:
        self._expect_project(request)
        return JSONResponse(render_failed_aliases(self._project))

    async def _get_rolling_release(self, request: Request) -> Response:
        """Tell of a rolling release that is set up and has no stage active; 404 where none is set up."""
        self._expect_project(request)
        if not self._faults().rolling_release:
            raise RefusedError(404, "not_found", "No rolling release is set up")
        return JSONResponse({"rollingRelease": {"state": "COMPLETE", "activeStage": None}})

    async def _post_file(self, request: Request) -> Response:
        size = request.headers.get("x-now-size", "")
        if not size.isdecimal():
            raise RefusedUploadError("x-now-size is not a number")
        await self._files.store(request.headers.get("x-now-digest", ""), int(size), request.stream())
        return JSONResponse({"urls": []})

    async def _post_deployment(self, request: Request) -> Response:
        """Make a deployment, or say which files were never uploaded: the CLI then uploads them and asks again."""
        wanted = read_wanted(await _read_object(request))
        if request.query_params.get("prebuilt") != "1":
            raise RefusedError(400, "bad_request", "Only prebuilt deployments are known to this emulator")
        if missing := self._missing(wanted.files):
            return missing
        deployment = await self._create(wanted)
        return JSONResponse(render_deployment(self._project, deployment))

    def _missing(self, files: tuple[Listed, ...]) -> Response | None:
        if not (digests := self._files.missing(files)):
            return None
        error = {"code": "missing_files", "message": "Missing files", "missing": digests}
        return JSONResponse({"error": error}, 400)

    async def _get_deployment(self, request: Request) -> Response:
        return JSONResponse(render_deployment(self._project, self._deployment(request)))

    async def _patch_cancel(self, request: Request) -> Response:
        deployment = self._project.cancel(self._deployment(request).id)
        return JSONResponse(render_deployment(self._project, deployment))

    async def _get_events(self, request: Request) -> Response:
        """Tell the log of a deployment line by line, to its end if asked to follow it."""
        deployment_id = self._deployment(request).id
        follows = request.query_params.get("follow") == "1"
        return Lines(lambda: self._project.history.deployments[deployment_id], follows=follows)

    async def _get_builds(self, request: Request) -> Response:
        self._deployment(request)
        return JSONResponse({"builds": []})

    async def _get_deployments(self, request: Request) -> Response:
        return JSONResponse(render_list(self._project, dict(request.query_params)))

    async def _get_alias(self, request: Request) -> Response:
        return JSONResponse(render_alias(self._project, request.path_params["alias"]))

    async def _unknown(self, request: Request, _: Exception) -> Response:
        """Record what no route is for; whoever asked gets what the platform says to it."""
        query = f"?{request.url.query}" if request.url.query else ""
        self.unknown.append(f"{request.method} {request.url.path}{query}")
        return refusal(404, "not_found", "The requested resource was not found")

    def _expect_project(self, request: Request) -> None:
        if request.path_params["project"] not in {self._project.settings.project_id, self._project.settings.name}:
            raise RefusedError(404, "not_found", "Project not found")

    def _deployment(self, request: Request) -> Deployment:
        return self._project.find(request.path_params["deployment"])

    def _team(self) -> dict[str, Any]:
        settings = self._project.settings
        billing = {"plan": settings.plan.value, "status": "active"}
        return {"id": settings.org_id, "slug": settings.team, "name": settings.team, "billing": billing}


class Lines(Response):
    """The log of a deployment as JSON lines, in chunks; the last one comes in one piece with the end.

    An answer that is complete when the CLI reads the reason of a failed build makes it forget its own exit code.
    """

    def __init__(self, look: Callable[[], Deployment], *, follows: bool) -> None:
        super().__init__(media_type="application/stream+json")
        del self.headers["content-length"]
        self._look = look
        self._follows = follows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines as they come."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await asyncio.sleep(EVENTS_POLL_S)  # in one piece with the headers it would make no difference
        told = 0
        while self._follows and not self._look().state.terminal:
            told += await _tell(send, self._look(), told, more=True)
            await asyncio.sleep(EVENTS_POLL_S)
        await _tell(send, self._look(), told, more=False)


async def _tell(send: Send, deployment: Deployment, told: int, *, more: bool) -> int:
    """Send the lines that were not told yet and return how many; an empty piece would end the answer."""
    rows = render_events(deployment)[told:]
    if rows or not more:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        await send({"type": "http.response.body", "body": body, "more_body": more})
    return len(rows)


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        return refusal(500, "internal_server_error", "a bug")
    return refusal(error.status, error.code, str(error))


async def _refuse_upload(_: Request, error: Exception) -> Response:
    return refusal(400, "bad_request", str(error))


async def _read_object(request: Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise RefusedError(400, "bad_request", "Invalid JSON") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "bad_request", "The body is not an object")
    return body

"""The HTTP side of the emulated Render: its API under /v1 and its deploy hook.

Routes, statuses and bodies are those of Render's OpenAPI document (api-docs.render.com); the hook is that of
render.com/docs/deploy-hooks. What a request does to the service is decided in `render_service`.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.rehearsal.clouds.render_gate import Gate, refusal
from scripts.rehearsal.clouds.render_json import (
    BadParameterError,
    read_deploy_query,
    render_deploy,
    render_page,
    render_service,
)
from scripts.rehearsal.clouds.render_service import RefusedError, RenderService
from scripts.rehearsal.clouds.render_values import AutoDeploy, Deploy, Faults, Status, Trigger
from scripts.rehearsal.commits import FULL_SHA, Commit, UnknownCommitError

# A name that git resolves to one commit: no range, no option, no reflog.
REF_NAME = re.compile(r"(?!.*\.\.)[0-9A-Za-z][0-9A-Za-z._/-]*")
AUTO_DEPLOY = {"yes": AutoDeploy.COMMIT, "no": AutoDeploy.OFF}


class RenderApi:
    """Answers requests for one service. Every refusal is an HTTPException, told as `{id, message}`."""

    def __init__(
        self,
        service: RenderService,
        faults: Faults,
        *,
        api_key: str,
        hook_key: str,
        reads: int | None = None,
    ) -> None:
        self._service = service
        self._faults = faults
        self._hook_key = hook_key
        self.routes = self._routes()
        self.app = Starlette(
            routes=self.routes,
            middleware=[Middleware(Gate, faults=faults, api_key=api_key, reads=reads)],
            exception_handlers={HTTPException: _refuse},
        )

    def _routes(self) -> list[Route]:
        service = "/v1/services/{serviceId}"
        routes = [
            Route("/deploy/{serviceId}", self._hook, methods=["GET", "POST"]),
            Route(service, self._get_service, methods=["GET"]),
            Route(service, self._patch_service, methods=["PATCH"]),
            Route(f"{service}/deploys", self._get_deploys, methods=["GET"]),
            Route(f"{service}/deploys", self._post_deploy, methods=["POST"]),
            Route(f"{service}/deploys/{{deployId}}", self._get_deploy, methods=["GET"]),
            Route(f"{service}/deploys/{{deployId}}/cancel", self._post_cancel, methods=["POST"]),
            Route(f"{service}/rollback", self._post_rollback, methods=["POST"]),
            Route(f"{service}/restart", self._post_restart, methods=["POST"]),
        ]
        for route in routes:
            (route.methods or set()).discard("HEAD")  # Starlette adds it to GET: a HEAD on the hook would deploy
        return routes

    async def _hook(self, request: Request) -> Response:
        """Deploy what `ref` names, and turn auto-deploy off if it names something; 202 and no id while one runs."""
        self._expect_service(request)
        if not same_secret(request.query_params.get("key", ""), self._hook_key):
            raise HTTPException(401, "bad or missing key")
        ref = request.query_params.get("ref")
        deploy = self._request(await self._commit(ref), Trigger.DEPLOY_HOOK, refused=409)
        if ref is not None:
            self._service.set_auto_deploy(AutoDeploy.OFF)
        if self._faults.hook_answers_202 or deploy.status is Status.QUEUED:
            return Response(status_code=202)
        return JSONResponse({"deploy": {"id": deploy.id}})

    async def _get_service(self, request: Request) -> Response:
        self._expect_service(request)
        return JSONResponse(render_service(self._service))

    async def _patch_service(self, request: Request) -> Response:
        self._expect_service(request)
        body = await _read_object(request, {"autoDeploy", "autoDeployTrigger"})
        self._service.set_auto_deploy(_wanted_auto_deploy(body))
        return JSONResponse(render_service(self._service))

    async def _get_deploys(self, request: Request) -> Response:
        """List deploys. The document allows no 400 here, so a bad parameter is the one refusal it leaves: 406."""
        self._expect_service(request)
        try:
            page = render_page(self._service.history.deploys, read_deploy_query(request.query_params))
            page = [row | {"deploy": self._told(row["deploy"])} for row in page]
        except BadParameterError as error:
            raise HTTPException(406, str(error)) from error
        return JSONResponse(page)

    async def _post_deploy(self, request: Request) -> Response:
        """Deploy a commit, by default the head of the branch; auto-deploy stays as it is, other than by the hook."""
        self._expect_service(request)
        body = await _read_object(request, {"commitId", "clearCache"})
        if body.get("clearCache", "clear") not in {"clear", "do_not_clear"}:
            raise HTTPException(400, "clearCache must be clear or do_not_clear")
        commit_id = body.get("commitId")
        if commit_id is not None and not FULL_SHA.fullmatch(str(commit_id)):
            raise HTTPException(400, "commitId must be a full SHA")
        deploy = self._request(await self._commit(commit_id), Trigger.API, refused=409)
        if deploy.status is Status.QUEUED:
            return Response(status_code=202)
        return JSONResponse(render_deploy(deploy), 201)

    async def _get_deploy(self, request: Request) -> Response:
        self._expect_service(request)
        return JSONResponse(self._told(render_deploy(self._deploy(request.path_params["deployId"]))))

    def _told(self, deploy: dict[str, Any]) -> dict[str, Any]:
        """Give a deploy as it is told: one under way may be in a status that nobody knows."""
        unknown = self._faults.unknown_status
        return deploy | {"status": unknown} if unknown and not Status(deploy["status"]).terminal else deploy

    async def _post_cancel(self, request: Request) -> Response:
        self._expect_service(request)
        deploy = self._deploy(request.path_params["deployId"])
        try:
            return JSONResponse(render_deploy(self._service.cancel(deploy.id)))
        except RefusedError as error:
            raise HTTPException(400, str(error)) from error

    async def _post_rollback(self, request: Request) -> Response:
        """Deploy the artifact of an earlier deploy; auto-deploy stays as it is."""
        self._expect_service(request)
        body = await _read_object(request, {"deployId"})
        if not isinstance(body.get("deployId"), str):
            raise HTTPException(400, "deployId is required")
        target = self._deploy(body["deployId"])
        try:
            return JSONResponse(render_deploy(self._service.roll_back(target.id)), 201)
        except RefusedError as error:
            raise HTTPException(400, str(error)) from error

    async def _post_restart(self, request: Request) -> Response:
        self._expect_service(request)
        try:
            self._service.restart()
        except RefusedError as error:
            raise HTTPException(400, str(error)) from error
        return Response(status_code=200)

    def _expect_service(self, request: Request) -> None:
        if request.path_params["serviceId"] != self._service.settings.service_id:
            raise HTTPException(404, "unknown service")

    def _deploy(self, deploy_id: str) -> Deploy:
        try:
            return self._service.history.deploy(deploy_id)
        except KeyError as error:
            raise HTTPException(404, f"unknown deploy {deploy_id}") from error

    async def _commit(self, ref: str | None) -> Commit:
        """Find a commit: 400 for a name that means nothing, 404 for a full SHA that is not in the repository."""
        if ref is not None and not REF_NAME.fullmatch(ref):
            raise HTTPException(400, "bad ref")
        try:
            return await self._service.find_commit(ref)
        except UnknownCommitError as error:
            unknown_sha = ref is None or FULL_SHA.fullmatch(ref)
            raise HTTPException(404 if unknown_sha else 400, str(error)) from error

    def _request(self, commit: Commit, trigger: Trigger, *, refused: int) -> Deploy:
        try:
            return self._service.request(commit, trigger)
        except RefusedError as error:
            raise HTTPException(refused, str(error)) from error


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return secrets.compare_digest(given.encode(), expected.encode())


async def _refuse(_: Request, error: Exception) -> Response:
    return refusal(error.status_code, error.detail) if isinstance(error, HTTPException) else refusal(500, "a bug")


async def _read_object(request: Request, fields: set[str]) -> Mapping[str, Any]:
    """Read a JSON object with no other fields: one that is silently ignored would be a change that never happened."""
    try:
        body = await request.json()
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(body, dict) or not fields.issuperset(body):
        raise HTTPException(400, f"the body must be an object with only {', '.join(sorted(fields))}")
    return body


def _wanted_auto_deploy(body: Mapping[str, Any]) -> AutoDeploy:
    try:
        if "autoDeployTrigger" in body:
            return AutoDeploy(body["autoDeployTrigger"])
        return AUTO_DEPLOY[body["autoDeploy"]]
    except (KeyError, ValueError, TypeError) as error:
        raise HTTPException(400, "autoDeploy must be yes or no, autoDeployTrigger commit, off or checksPass") from error

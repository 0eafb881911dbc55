"""What stands before every route of the emulated Vercel: outages, token, team, and a record of what came."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scripts.rehearsal.clouds.refusals import Refusals
from scripts.rehearsal.clouds.vercel_project import Project
from scripts.rehearsal.clouds.vercel_values import VercelFaults, new_id

# What is asked about a person or about teams has no team of its own; what is a project's is reached by its team.
WITHOUT_TEAM = re.compile(r"/v2/user|/v1/teams|/teams/[^/]+")
KEPT_REQUESTS = 10_000


@dataclass(frozen=True)
class Exchange:
    """A request that came and the status that it got."""

    method: str
    path: str
    query: str
    status: int


class Gate:
    """Lets a request through to the application, or answers it: outage, 403 without token or in another team."""

    def __init__(self, app: ASGIApp, *, project: Project, faults: Callable[[], VercelFaults], token: str) -> None:
        self._app = app
        self._project = project
        self._faults = faults
        self._token = token
        self._refusals = Refusals()
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._record(scope, message["status"])
                MutableHeaders(scope=message).update({"x-vercel-id": new_id("iad1::"), "server": "Vercel"})
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_and_record)

    def _record(self, scope: Scope, status: int) -> None:
        query = scope["query_string"].decode()
        self.exchanges.append(Exchange(scope["method"], scope["path"], query, status))
        del self.exchanges[:-KEPT_REQUESTS]

    def _refusal(self, scope: Scope) -> Response | None:
        if self._down():
            return refusal(503, "service_unavailable", "The API is not available")
        if errors := self._refusals.refused_now(self._faults().api_errors, scope["method"], scope["path"]):
            headers = {} if errors.retry_after_s is None else {"Retry-After": str(errors.retry_after_s)}
            return refusal(errors.status, _code_of(errors.status), "The API is not available", headers)
        given = Headers(scope=scope).get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return JSONResponse(
                {"error": {"code": "forbidden", "message": "Not authorized", "invalidToken": True}}, 403
            )
        return None if WITHOUT_TEAM.fullmatch(scope["path"]) else self._wrong_team(scope)

    def _wrong_team(self, scope: Scope) -> Response | None:
        query = parse_qs(scope["query_string"].decode())
        settings = self._project.settings
        named = query.get("teamId", query.get("slug", [""]))[-1]
        if named in {settings.org_id, settings.team}:
            return None
        scope_named = f'"{named}"' if named else "of a person"
        return refusal(403, "forbidden", f"Not authorized: Trying to access resource under scope {scope_named}")

    def _down(self) -> bool:
        after = self._faults().api_down_after
        return after is not None and any(
            row.kind is after for row in self._project.history.events[self._project.asked_from :]
        )


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Make an error in the API's form."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def _code_of(status: int) -> str:
    return "rate_limited" if status == 429 else "service_unavailable"

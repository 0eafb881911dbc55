"""What surrounds every request: an id, a time limit, headers that protect, a line in the log, a figure in the metrics.

One pure-ASGI layer outside of all others, so that also a crash and a refused body have an id, the headers and a line.
One rather than five, since each layer is paid for by every request: `benchmarks/` says how much.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logs import AccessLog
from app.problems import Problem, as_response

REQUEST_ID = b"x-request-id"
A_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),  # over plain HTTP a browser ignores it
    (b"cross-origin-resource-policy", b"same-site"),
)
CONTENT_SECURITY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

Observe = Callable[[str, str, int, float], object]  # method, route, status, seconds


class Envelope:
    """The outermost layer; `limit_s` is for the whole of an answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_s: float,
        access: AccessLog,
        observe: Observe | None = None,
        pages: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._limit_s = limit_s
        self._access = access
        self._observe = observe
        self._pages = frozenset(pages)  # of a browser: they load scripts and styles from elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI asks for; what is no HTTP is passed on as it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        since = time.perf_counter()
        request_id = read_request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        added = [*HEADERS, (REQUEST_ID, request_id.encode())]
        if scope["path"] not in self._pages:
            added.append(CONTENT_SECURITY)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            async with asyncio.timeout(self._limit_s) as limit:
                await self._app(scope, receive, send_with_headers)
        except TimeoutError:
            if not limit.expired() or status:  # its own, or too late to say anything: the server cuts the connection
                raise
            late = Problem(title="Service Unavailable", status=503, detail=f"No answer within {self._limit_s:g} s.")
            await as_response(late, {"Retry-After": "1"})(scope, receive, send_with_headers)
        finally:
            self._tell(scope, status or 500, time.perf_counter() - since, request_id)

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", None)
        self._access.tell(method, route, status, seconds, request_id)
        if self._observe:
            self._observe(method, route or "none", status, seconds)


def read_request_id(scope: Scope) -> str:
    """Give the id that the client or a proxy sent where it is a plain word, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and A_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return os.urandom(12).hex()

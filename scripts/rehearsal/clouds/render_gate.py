"""What stands before every route of the emulated Render: outages, the API key, and the headers of every answer."""

import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scripts.rehearsal.clouds.refusals import Refusals
from scripts.rehearsal.clouds.render_values import Faults, new_id

WINDOW_S = 60
# Seen in traffic recorded with Render: requests per window, reads apart from deploys and changes of a service.
READS_PER_WINDOW = 400
CHANGES_PER_WINDOW = 10


class Quota:
    """Counts requests in a window of `WINDOW_S` seconds."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._window_start_s = clock()
        self._spent = 0

    @property
    def exceeded(self) -> bool:
        """Whether the last request was one too many."""
        return self._spent > self._limit

    def spend(self) -> dict[str, str]:
        """Count one request and say in headers what is left, and in how many seconds the window ends."""
        now = self._clock()
        if now - self._window_start_s >= WINDOW_S:
            self._window_start_s, self._spent = now, 0
        self._spent += 1
        return {
            "Ratelimit-Limit": str(self._limit),
            "Ratelimit-Remaining": str(max(0, self._limit - self._spent)),
            "Ratelimit-Reset": str(max(1, round(self._window_start_s + WINDOW_S - now))),
        }


class Gate:
    """Lets a request through to the application, or answers it: 503 in an outage, 429 beyond the limit, 401 keyless.

    `reads` is the limit that is held to; without one what is left is only told, since times here are not Render's.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, api_key: str, reads: int | None = None) -> None:
        self._app = app
        self._faults = faults
        self._refusals = Refusals()
        self._api_key = api_key
        self._reads = Quota(reads or READS_PER_WINDOW, time.monotonic)
        self._enforces = reads is not None
        self._changes = Quota(CHANGES_PER_WINDOW, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        quota = self._reads if scope["method"] == "GET" else self._changes
        headers = quota.spend() | {"Render-Request-Id": new_id("req-")}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        beyond = (
            self._enforces
            and quota is self._reads
            and quota.exceeded
            and refusal(429, "too many requests", headers["Ratelimit-Reset"])
        )
        await (beyond or self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        if errors := self._refusals.refused_now(self._faults.api_errors, scope["method"], scope["path"]):
            after = "" if errors.retry_after_s is None else str(errors.retry_after_s)
            return refusal(errors.status, "refused for the rehearsal", after)
        if not scope["path"].startswith("/v1/"):
            return None
        if self._faults.api_down:
            return refusal(503, "the API is not available")
        given = Headers(scope=scope).get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            return refusal(401, "bad or missing API key")
        return None


def refusal(status: int, message: str, retry_after: str = "") -> Response:
    """Make an error in the API's form."""
    headers = {"Retry-After": retry_after} if retry_after else None
    return JSONResponse({"id": new_id("err-"), "message": message}, status, headers)

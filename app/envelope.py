"""What surrounds every request: an id, limits for time and body, headers that protect, a line in the log.

One pure-ASGI layer outside of all others, so that also a crash and a refused body have an id, the headers and a line.
Every request pays for it, so it is one layer and not five, and does once what it can do once: `python -m benchmarks`
says what is left of the speed.
"""

import asyncio
import itertools
import os
import re
import time
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Tell
from app.problems import Problem, as_response

REQUEST_ID = b"x-request-id"
A_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"strict-transport-security", b"max-age=31536000"),  # over plain HTTP a browser ignores it
)
ANSWERS_ARE_NO_PAGES = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
TOO_LARGE = 413


class Envelope:
    """The outermost layer. `limit_s` is for a whole answer, `most_bytes` for a body; `pages` are seen in a browser."""

    def __init__(self, app: ASGIApp, *, limit_s: float, most_bytes: int, tell: Tell, pages: Sequence[str] = ()) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._tell = tell
        self._late = Watch(limit_s)
        self._pages = frozenset(pages)  # they load scripts and styles from elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI asks for; what is no HTTP is passed on as it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        since = time.perf_counter()
        request_id, has_body = read_head(scope)
        name = request_id or make_request_id()
        scope.setdefault("state", {})["request_id"] = name
        added = [*HEADERS, (REQUEST_ID, name.encode())]
        if scope["path"] not in self._pages:
            added.append(ANSWERS_ARE_NO_PAGES)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            with self._late.watching() as watched:
                await self._app(scope, self._limited(receive) if has_body else receive, send_with_headers)
        except TimeoutError:
            if not watched.late or status:  # its own, or too late to say anything: the server cuts the connection
                raise
            late = Problem(
                title="Service Unavailable", status=503, detail=f"No answer within {self._late.limit_s:g} s."
            )
            await as_response(late, {"Retry-After": "1"})(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", None)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._tell(method, route, status or 500, time.perf_counter() - since, name)

    def _limited(self, receive: Receive) -> Receive:
        """Refuse a body as soon as more of it came than is allowed, whatever was announced."""
        left = self._most_bytes

        async def receive_no_more() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(TOO_LARGE, f"A body has at most {self._most_bytes} bytes.")
            return message

        return receive_no_more


class Watched:
    """A request on its way: since when, by which task, and whether it was cancelled for being late."""

    __slots__ = ("_watch", "late", "since", "task")

    def __init__(self, watch: "Watch", since: float, task: "asyncio.Task[object] | None") -> None:
        self._watch, self.since, self.task, self.late = watch, since, task, False

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._watch.going.pop(self, None)
        if self.late and self.task and isinstance(error, asyncio.CancelledError) and self.task.uncancel() == 0:
            raise TimeoutError from error


class Watch:
    """A time limit for all requests by one timer: they begin in order, and so they are late in order.

    `asyncio.timeout` sets a timer for each, and costs more than all else here.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.going: dict[Watched, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watching(self) -> Watched:
        """Begin to watch the task that asks; the block's end is the end."""
        loop = asyncio.get_running_loop()
        watched = Watched(self, loop.time(), asyncio.current_task(loop))
        self.going[watched] = None
        if self._timer is None:
            self._timer = loop.call_later(self.limit_s, self._look)
        return watched

    def _look(self) -> None:
        """Cancel what is late, and look again when the next one would be."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for watched in self.going:
            left_s = watched.since + self.limit_s - loop.time()
            if left_s > 0:
                self._timer = loop.call_later(left_s, self._look)
                return
            if watched.task and not watched.late:
                watched.late = True
                watched.task.cancel()


def read_head(scope: Scope) -> tuple[str, bool]:
    """Give the id that the client or a proxy sent where it is a plain word, and whether a body follows."""
    request_id, has_body = "", False
    for name, value in scope["headers"]:
        if name == REQUEST_ID and A_REQUEST_ID.fullmatch(value):
            request_id = str(value, "ascii")
        elif name in {b"content-length", b"transfer-encoding"}:
            has_body = True
    return request_id, has_body


def make_request_id() -> str:
    """Make an id that no other process makes: by chance for the process, by count in it."""
    return f"{_PROCESS}{next(_COUNT):08x}"


_PROCESS = os.urandom(8).hex()
_COUNT = itertools.count(1)

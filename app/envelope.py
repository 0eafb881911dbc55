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
from collections.abc import Awaitable, Sequence
from typing import cast

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Tell
from app.problems import Problem, as_response

REQUEST_ID = b"x-request-id"
A_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_GUESSING = (b"x-content-type-options", b"nosniff")
ANSWERS_ARE_NO_PAGES = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
HTTPS_FROM_NOW_ON = (b"strict-transport-security", b"max-age=31536000")  # not over plain HTTP: RFC 6797, section 7.2
HEADERS = {  # by whether it is a page, and whether it was asked for over HTTPS
    (False, False): (NO_GUESSING, ANSWERS_ARE_NO_PAGES),
    (False, True): (NO_GUESSING, ANSWERS_ARE_NO_PAGES, HTTPS_FROM_NOW_ON),
    (True, False): (NO_GUESSING,),
    (True, True): (NO_GUESSING, HTTPS_FROM_NOW_ON),
}
TOO_LARGE = 413

Task = asyncio.Task[object]


class Envelope:
    """The outermost layer. `limit_s` is for a whole answer, `most_bytes` for a body; `pages` are seen in a browser."""

    def __init__(self, app: ASGIApp, *, limit_s: float, most_bytes: int, tell: Tell, pages: Sequence[str] = ()) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._tell = tell
        self._watch = Watch(limit_s)
        self._pages = frozenset(pages)  # they load scripts and styles from elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI asks for; what is no HTTP is passed on as it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        since = time.perf_counter()
        request_id, has_body = read_head(scope)
        name = request_id or make_request_id()
        scope.setdefault("state", {})["request_id"] = name
        added = (*HEADERS[scope["path"] in self._pages, scope["scheme"] == "https"], (REQUEST_ID, name.encode()))
        status = 0

        def send_with_headers(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            return send(message)

        task = self._watch.begin(since)
        try:
            await self._app(scope, self._limited(receive) if has_body else receive, send_with_headers)
        except asyncio.CancelledError:
            if not self._watch.was_late(task):
                raise
            if status:  # too late to say anything: the server cuts the connection
                raise TimeoutError from None
            late = Problem(
                title="Service Unavailable", status=503, detail=f"No answer within {self._watch.limit_s:g} s."
            )
            await as_response(late, {"Retry-After": "1"})(scope, receive, send_with_headers)
        finally:
            self._watch.end(task)
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


class Watch:
    """A time limit for all requests by one timer: they begin in order, and so they are late in order.

    `asyncio.timeout` sets a timer for each, and costs more than all else here.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._going: dict[Task, float] = {}
        self._late: set[Task] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, now: float) -> Task:
        """Begin to watch the task that asks, and give it; `now` is of `time.perf_counter`."""
        task = cast("Task", asyncio.current_task())
        self._going[task] = now
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.limit_s, self._look)
        return task

    def end(self, task: Task) -> None:
        """Watch it no longer."""
        self._going.pop(task, None)
        if self._late:
            self._late.discard(task)

    def was_late(self, task: Task) -> bool:
        """Whether a task that was cancelled was so for being late, and by nobody else; then it goes on."""
        return task in self._late and task.uncancel() == 0

    def _look(self) -> None:
        """Cancel what is late, and look again when the next one would be."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, since in self._going.items():
            left_s = since + self.limit_s - time.perf_counter()
            if left_s > 0:
                self._timer = loop.call_later(left_s, self._look)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()


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

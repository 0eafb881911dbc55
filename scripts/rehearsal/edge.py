"""The edge: the reverse proxy in front of a service, whose URL stays the same for the whole rehearsal.

It moves traffic, counts it, and tells clients nothing about the release behind it: the pipeline has to ask the service.
Which instance deserves traffic is decided elsewhere.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from scripts.rehearsal.serving import serve

type Headers = list[tuple[bytes, bytes]]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT_BYTES = 8 * 1024 * 1024
POOL_SIZE = 1000
UPSTREAM_IDLE_LIMIT_S = 2.0  # below uvicorn's own 5 s: a pooled connection is rarely one that the service just closed
PLACEHOLDER = b"<!doctype html><title>502</title><h1>502 Bad Gateway</h1><p>The service is not available."
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade expect".split()
)  # RFC 9110, section 7.6.1; `expect` is answered here, because the body is read before the upstream is asked
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110, section 9.2.2
UNANSWERED = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


@dataclass(frozen=True)
class Upstream:
    """One instance that may get traffic."""

    url: str
    commit: str
    instance_id: str


@dataclass(frozen=True)
class Answers:
    """What the upstreams of one commit answered: how often, and when first and last (monotonic seconds)."""

    count: int
    first_s: float
    last_s: float


@dataclass(frozen=True)
class _Request:
    method: str
    target: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes


NOT_AVAILABLE = _Answer(502, [(b"content-type", b"text/html; charset=utf-8")], PLACEHOLDER)
TOO_LARGE = _Answer(413, [(b"content-type", b"text/plain"), (b"connection", b"close")], b"body too large")


class Edge:
    """A public URL and the upstreams behind it, asked in turn.

    `Host` is passed through, so the service sees the public name. Bodies are held whole, up to `BODY_LIMIT_BYTES`.
    An upstream that gives no answer within `answer_limit_s` seconds, or none at all, is a 502 with a placeholder page.
    """

    def __init__(self, *, answer_limit_s: float = 60.0) -> None:
        self.url = ""
        self.upstreams: tuple[Upstream, ...] = ()
        self._timeouts = httpx.Timeout(answer_limit_s, connect=5.0).as_dict()
        self._turn = 0
        self._answers: dict[str, Answers] = {}
        self._in_flight: Counter[str] = Counter()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = {"max_connections": POOL_SIZE, "keepalive_expiry": UPSTREAM_IDLE_LIMIT_S}
        async with contextlib.AsyncExitStack() as stack:
            self._pooled = await stack.enter_async_context(_transport(max_keepalive_connections=100, **limits))
            self._fresh = await stack.enter_async_context(_transport(max_keepalive_connections=0, **limits))
            self.url = await stack.enter_async_context(serve(self._serve))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def route_to(self, upstreams: Sequence[Upstream]) -> None:
        """Give all new requests to these upstreams; requests in flight finish where they are."""
        self.upstreams = tuple(upstreams)

    def first_answer(self, commit: str) -> float | None:
        """Tell the monotonic second of the first answer that an upstream of this commit gave to any client."""
        answers = self._answers.get(commit)
        return answers.first_s if answers else None

    def answers(self, commit: str) -> Answers | None:
        """Tell how often and when upstreams of this commit answered; None if they never did."""
        return self._answers.get(commit)

    def in_flight(self, instance_id: str) -> int:
        """Count the requests that this instance has not answered yet."""
        return self._in_flight[instance_id]

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        answer = TOO_LARGE if body is None else await self._answer(_request(scope, body))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: _Request) -> _Answer:
        if not (upstreams := self.upstreams):
            return NOT_AVAILABLE
        self._turn += 1
        upstream = upstreams[self._turn % len(upstreams)]
        self._in_flight[upstream.instance_id] += 1
        try:
            answer = await self._ask(upstream, request)
        except (httpx.TransportError, _AnswerTooLargeError):
            return NOT_AVAILABLE
        finally:
            self._in_flight[upstream.instance_id] -= 1
        self._count(upstream.commit)
        return answer

    async def _ask(self, upstream: Upstream, request: _Request) -> _Answer:
        """Ask over a pooled connection; once more over a fresh one if the upstream closed it without an answer.

        A method that is not idempotent must not be sent twice, so it never gets a pooled connection.
        """
        if request.method not in IDEMPOTENT:
            return await self._exchange(self._fresh, upstream, request)
        try:
            return await self._exchange(self._pooled, upstream, request)
        except _NothingReceivedError:
            return await self._exchange(self._fresh, upstream, request)

    async def _exchange(self, transport: httpx.AsyncHTTPTransport, upstream: Upstream, request: _Request) -> _Answer:
        outgoing = httpx.Request(
            request.method,
            upstream.url,
            headers=request.headers,
            content=request.body,
            extensions={"target": request.target, "timeout": self._timeouts},
        )
        try:
            response = await transport.handle_async_request(outgoing)
        except UNANSWERED as error:
            raise _NothingReceivedError(str(error)) from error
        async with contextlib.aclosing(response):
            return _Answer(response.status_code, _end_to_end(response.headers.raw), await _bounded(response))

    def _count(self, commit: str) -> None:
        now = time.monotonic()
        before = self._answers.get(commit)
        self._answers[commit] = Answers(before.count + 1, before.first_s, now) if before else Answers(1, now, now)


class _NothingReceivedError(httpx.TransportError):
    """The upstream closed the connection before the first byte of an answer."""


class _AnswerTooLargeError(Exception):
    """The upstream's body is over the limit."""


def _transport(**limits: Any) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(**limits))


def _request(scope: Message, body: bytes) -> _Request:
    query: bytes = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return _Request(scope["method"], target, _end_to_end(scope["headers"]), body)


def _end_to_end(headers: Headers) -> Headers:
    """Drop the headers that concern one connection only, the ones that `Connection` names included."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in HOP_BY_HOP and name not in named]


async def _read_body(receive: Receive) -> bytes | None:
    """Read the body of a request; None when it is over the limit."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT_BYTES:
            return None
    return bytes(body)


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise _AnswerTooLargeError
    return bytes(body)

"""The edge: the reverse proxy in front of a service, whose URL stays the same for the whole rehearsal.

It moves traffic, counts it, and tells clients nothing about the release behind it: the pipeline has to ask the service.
Which instance deserves traffic is decided elsewhere.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from scripts.rehearsal.serving import serve
from scripts.rehearsal.sniffer import Sniffer
from scripts.rehearsal.wire import BODY_LIMIT_BYTES, Answer, Client, Headers, Request

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Ask = Callable[[Request], Awaitable[Answer]]
type Front = Callable[[Request, Ask], Awaitable[Answer]]

UPSTREAM_IDLE_LIMIT_S = 2.0  # below uvicorn's own 5 s: a kept connection is rarely one that the service just closed
PLACEHOLDER = b"<!doctype html><title>502</title><h1>502 Bad Gateway</h1><p>The service is not available."
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade expect".split()
)  # RFC 9110, section 7.6.1; `expect` is answered here, because the body is read before the upstream is asked

NOT_AVAILABLE = Answer(502, [(b"content-type", b"text/html; charset=utf-8")], PLACEHOLDER)
TOO_LARGE = Answer(413, [(b"content-type", b"text/plain"), (b"connection", b"close")], b"body too large")


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


class Edge:
    """A public URL and the upstreams behind it, asked in turn.

    `Host` is passed through, so the service sees the public name. Bodies are held whole, up to `BODY_LIMIT_BYTES`.
    An upstream that gives no answer within `answer_limit_s` seconds, or none at all, is a 502 with a placeholder page.
    `on_request` is waited for while there is no upstream: it wakes a service that sleeps. `front` may answer instead.
    """

    def __init__(self, *, answer_limit_s: float = 60.0) -> None:
        self.sniffer = Sniffer("a request to the service")
        self.url = ""
        self.upstreams: tuple[Upstream, ...] = ()
        self.on_request: Callable[[], Awaitable[None]] | None = None
        self.front: Front | None = None
        self._client = Client(answer_limit_s=answer_limit_s, idle_limit_s=UPSTREAM_IDLE_LIMIT_S)
        self._turn = 0
        self._answers: dict[str, Answers] = {}
        self._by_second: dict[int, Counter[str]] = {}
        self._in_flight: Counter[str] = Counter()
        self._stack = contextlib.AsyncExitStack()
        self._listening = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.callback(self._client.close)
        self._stack.push_async_callback(self._stop_listening)
        await self.come_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def come_up(self) -> None:
        """Listen, again at the same place."""
        await self._stop_listening()
        self.url = await self._listening.enter_async_context(serve(self._serve, port=urlsplit(self.url).port or 0))

    async def break_connections(self) -> None:
        """Break off every connection before a byte of an answer.

        So a client meets a wrong certificate, or a name that DNS does not have: it gets no connection to ask on.
        """
        await self._stop_listening()
        port = urlsplit(self.url).port
        broken = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", port)
        self._listening.push_async_callback(broken.wait_closed)
        self._listening.callback(broken.close)

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, contextlib.AsyncExitStack()
        await listening.aclose()

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

    def answers_in(self, second: int) -> Mapping[str, int]:
        """Count what was answered in one monotonic second, by commit."""
        return self._by_second.get(second, {})

    def in_flight(self, instance_id: str) -> int:
        """Count the requests that this instance has not answered yet."""
        return self._in_flight[instance_id]

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        answer = TOO_LARGE if body is None else await self._answer_in_front(self._sniffed(_request(scope, body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _sniffed(self, request: Request) -> Request:
        self.sniffer.look([request.target, *(value for _, value in request.headers), request.body])
        return request

    async def _answer_in_front(self, request: Request) -> Answer:
        front = self.front
        return await (front(request, self._answer) if front else self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        if not self.upstreams and self.on_request:
            await self.on_request()
        if not (upstreams := self.upstreams):
            return NOT_AVAILABLE
        self._turn += 1
        upstream = upstreams[self._turn % len(upstreams)]
        self._in_flight[upstream.instance_id] += 1
        try:
            answer = await self._client.ask(upstream.url, request)
        except OSError:
            return NOT_AVAILABLE
        finally:
            self._in_flight[upstream.instance_id] -= 1
        self._count(upstream.commit)
        return Answer(answer.status, end_to_end(answer.headers), answer.body)

    def _count(self, commit: str) -> None:
        now = time.monotonic()
        self._by_second.setdefault(int(now), Counter())[commit] += 1
        before = self._answers.get(commit)
        self._answers[commit] = Answers(before.count + 1, before.first_s, now) if before else Answers(1, now, now)


def end_to_end(headers: Headers) -> Headers:
    """Drop the headers that concern one connection only, the ones that `Connection` names included."""
    named = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named]


def _request(scope: Message, body: bytes) -> Request:
    query: bytes = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return Request(scope["method"], target, end_to_end(scope["headers"]), body)


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

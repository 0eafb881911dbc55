"""Asks over HTTP/1.1 at a tenth of a general client's cost, so that one core carries edge, traffic and the service.

It knows one request and one answer on one connection, and connections that are kept. Redirects, cookies, encodings,
proxies and TLS are left out: on loopback there are none, and a proxy must not follow or decode anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

type Headers = Sequence[tuple[bytes, bytes]]

BODY_LIMIT_BYTES = 8 * 1024 * 1024
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # these say their length even if it is 0 (RFC 9110, section 8.6)
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110, section 9.2.2


@dataclass(frozen=True)
class Request:
    """A request as it goes on the wire; `target` is path and query. Host and Content-Length are added if missing."""

    method: str
    target: bytes
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire, its names in lower case."""

    status: int
    headers: Headers
    body: bytes


class NothingReceivedError(ConnectionError):
    """The other side closed the connection before the first byte of an answer."""


class BrokenAnswerError(ConnectionError):
    """What came back is cut short, too large, or not HTTP."""


class Client:
    """Sends requests to any number of origins; every failure is an OSError, a missed deadline a TimeoutError.

    A connection is kept for `idle_limit_s` seconds; 0 keeps none. Without `resend`, a kept connection that the other
    side closed is an error.
    """

    def __init__(self, *, answer_limit_s: float, idle_limit_s: float = 0.0, resend: bool = True) -> None:
        self._answer_limit_s = answer_limit_s
        self._idle_limit_s = idle_limit_s
        self._resend = resend
        self._idle: defaultdict[str, list[_Connection]] = defaultdict(list)

    async def ask(self, origin: str, request: Request) -> Answer:
        """Send a request to an origin (`http://host:port`) and return the answer.

        A kept connection may have been closed by the other side a moment ago. Then an idempotent request is sent once
        more over a fresh one; any other must not be sent twice, so it gets a fresh one at once.
        """
        async with asyncio.timeout(self._answer_limit_s):
            kept = self._take(origin) if request.method in IDEMPOTENT else None
            if kept:
                try:
                    return await self._exchange(kept, origin, request)
                except NothingReceivedError:
                    if not self._resend:
                        raise
            return await self._exchange(await _connect(origin), origin, request)

    def close(self) -> None:
        """Close the connections that are kept."""
        for connection in [each for kept in self._idle.values() for each in kept]:
            connection.close()
        self._idle.clear()

    def _take(self, origin: str) -> _Connection | None:
        kept = self._idle[origin]
        while kept:
            connection = kept.pop()
            if connection.usable and time.monotonic() - connection.idle_since_s < self._idle_limit_s:
                return connection
            connection.close()
        return None

    async def _exchange(self, connection: _Connection, origin: str, request: Request) -> Answer:
        try:
            answer = await connection.ask(_on_wire(origin, request), head=request.method == "HEAD")
        except BaseException:
            connection.close()
            raise
        if self._idle_limit_s and connection.usable:
            self._idle[origin].append(connection)
        else:
            connection.close()
        return answer


@dataclass
class _Incoming:
    """An answer as far as it has arrived."""

    head: bool
    answered: asyncio.Future[Answer]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    headers_complete: bool = False
    received: bool = False

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body (RFC 9112, section 6.3)."""
        framing = {b"content-length", b"transfer-encoding"}
        return self.headers_complete and not any(name in framing for name, _ in self.headers)


class _Connection(asyncio.Protocol):
    """One connection with at most one request on it; the second half is what the parser calls."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._incoming: _Incoming | None = None

    async def ask(self, request: bytes, *, head: bool) -> Answer:
        """Send a request and wait for its answer."""
        if not self._transport or not self.usable:
            raise NothingReceivedError("the connection was closed")
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._incoming = _Incoming(head, answered)
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        return await answered

    def close(self) -> None:
        """Close without waiting for anything."""
        self.usable = False
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; data that nobody asked for ends the connection."""
        if not self._incoming:
            self.close()
            return
        self._incoming.received = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenAnswerError(f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer that is under way, if there is one."""
        self.usable = False
        if not (incoming := self._incoming):
            return
        if incoming.ends_with_connection and exc is None:
            self._finish()
        elif incoming.received:
            self._fail(BrokenAnswerError("the connection ended within the answer"))
        else:
            self._fail(NothingReceivedError("the connection ended without an answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._incoming:
            self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """End the answer to a HEAD, for which the parser would wait for a body; the connection cannot be kept."""
        if self._incoming:
            self._incoming.headers_complete = True
            if self._incoming.head:
                self.usable = False
                self._finish()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._incoming:
            self._incoming.body += body
            if len(self._incoming.body) > BODY_LIMIT_BYTES:
                self._fail(BrokenAnswerError(f"the body is over {BODY_LIMIT_BYTES} bytes"))

    def on_message_complete(self) -> None:
        """End the answer, unless it only announces another one (1xx)."""
        if self._parser.get_status_code() < 200:
            self._expect_another()
        else:
            self.usable = self.usable and self._parser.should_keep_alive()
            self._finish()

    def _expect_another(self) -> None:
        if self._incoming:
            self._incoming.headers.clear()
            self._incoming.headers_complete = False

    def _finish(self) -> None:
        incoming, self._incoming = self._incoming, None
        self.idle_since_s = time.monotonic()
        if incoming and not incoming.answered.done():
            status = self._parser.get_status_code()
            incoming.answered.set_result(Answer(status, incoming.headers, bytes(incoming.body)))

    def _fail(self, error: ConnectionError) -> None:
        incoming, self._incoming = self._incoming, None
        self.usable = False
        if incoming and not incoming.answered.done():
            incoming.answered.set_exception(error)


async def _connect(origin: str) -> _Connection:
    parts = urlsplit(origin)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, parts.hostname or "", parts.port or 80)
    return connection


def _on_wire(origin: str, request: Request) -> bytes:
    lines = [request.method.encode() + b" " + request.target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in (*request.headers, *_missing(origin, request))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.body


def _missing(origin: str, request: Request) -> Iterator[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in request.headers}
    if b"host" not in names:
        yield b"host", urlsplit(origin).netloc.encode()
    if b"content-length" not in names and (request.body or request.method in WITH_BODY):
        yield b"content-length", str(len(request.body)).encode()

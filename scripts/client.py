"""The one HTTP client: deadlines, bounded retries, bounded bodies. It decides nothing about what an answer means.

Two ways to ask: `request` for a platform's API, which retries and raises our errors, and `probe` for the service, which
never raises and never retries: a failed probe is an observation.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from scripts.clock import Clock, Deadline
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable

LARGEST_BODY = 4 * 1024 * 1024  # bytes
RETRIES = 4
FIRST_PAUSE_S = 0.5
PROBE_CONNECTIONS = 512  # five seconds of a hundred a second, all of them hanging
AGENT = "slipway/1"
GRACE_S = 0.5  # in which httpx ends by its own limits, and says at what
NOT_SENT = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol

for _logger in ("httpx", "httpcore"):  # they log every URL at INFO and below, the hook's with its key
    logging.getLogger(_logger).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """What came back; `status` 0 means that nothing did, and `error` says why."""

    status: int
    ms: float
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    def json(self) -> object:
        """Give the body as JSON, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Client:
    """HTTP with our rules; `transport`, the seam for tests, answers in this process, so that it needs no watching."""

    def __init__(self, clock: Clock, transport: httpx.BaseTransport | None = None) -> None:
        self._clock = clock
        self._in_process = transport is not None
        tls: ssl.SSLContext | bool = httpx.create_ssl_context() if transport is None else False
        self._pooled = _open(transport, tls, kept=PROBE_CONNECTIONS)
        self._fresh = _open(transport, tls, kept=0)
        self._changes = _open(transport, tls, kept=0)  # its own, or probes that hang would keep a rollback waiting

    def close(self) -> None:
        """Close every connection."""
        for client in (self._pooled, self._fresh, self._changes):
            client.close()

    def probe(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        fresh: bool = False,
    ) -> Answer:
        """Ask once, on a new connection when `fresh`; redirects are not followed; nothing is raised."""
        start = self._clock.monotonic()
        try:
            return self._send(self._fresh if fresh else self._pooled, method, url, headers or {}, None, timeout_s)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: closed already
            return Answer(0, (self._clock.monotonic() - start) * 1000, error=_name(error))

    def request(
        self,
        method: str,
        url: str,
        *,
        what: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        payload: object = None,
        timeout_s: float = 15.0,
    ) -> Answer:
        """Ask a platform, and again while the deadline and the kind of failure allow it.

        A GET is repeated on any failure to answer, on 429 and on 5xx; anything else only where the platform certainly
        did not act: no connection was made, or it answered 429 or 503. `what` names the request in messages.

        Raises:
            PlatformError: no such request can be made, for its URL or a header.
            PlatformUnreachable: no answer within the tries or the deadline.
            OutcomeUnknown: a request that changes something was sent and not answered.
        """
        safe = method == "GET"
        # A kept connection that the platform has just closed would look like an unknown outcome: changes get a new one.
        client = self._pooled if safe else self._changes
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                limit_s = max(0.001, min(timeout_s, deadline.left_s))
                answer = self._send(client, method, url, headers or {}, payload, limit_s)
            except httpx.HTTPError as error:
                pause_s = FIRST_PAUSE_S * 2**attempt
                _give_up(error, what, safe=safe, last=last or pause_s >= deadline.left_s)
            else:
                if last or not _worth_repeating(answer.status, safe=safe):
                    return answer
                pause_s = _pause_asked_for(answer) or FIRST_PAUSE_S * 2**attempt
                if pause_s >= deadline.left_s:
                    return answer
            deadline.pause(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _send(
        self,
        client: httpx.Client,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: object,
        timeout_s: float,
    ) -> Answer:
        """Ask within the time: httpx's limits are for each read alone, so headers that drip in would never end."""
        request = _build(client, method, url, headers, payload, timeout_s)
        if self._in_process:
            return self._exchange(client, request, timeout_s)
        ended: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()

        def ask() -> None:
            try:
                ended.put(self._exchange(client, request, timeout_s))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                ended.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            end = ended.get(timeout=timeout_s + GRACE_S)
        except queue.Empty as error:
            raise httpx.ReadTimeout("the answer took too long", request=request) from error
        if isinstance(end, BaseException):
            raise end
        return end

    def _exchange(self, client: httpx.Client, request: httpx.Request, timeout_s: float) -> Answer:
        start = self._clock.monotonic()
        with contextlib.closing(client.send(request, stream=True)) as response:
            read = self._read(response, start + timeout_s)
        return Answer(response.status_code, (self._clock.monotonic() - start) * 1000, read, dict(response.headers))

    def _read(self, response: httpx.Response, until: float) -> bytes:
        """Read a body within size and time: without this a server that drips bytes holds a stage for ever."""
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > LARGEST_BODY:
                raise httpx.DecodingError(f"body over {LARGEST_BODY} bytes", request=response.request)
            if self._clock.monotonic() > until:
                raise httpx.ReadTimeout("body took too long", request=response.request)
        return b"".join(parts)


def _open(transport: httpx.BaseTransport | None, tls: ssl.SSLContext | bool, *, kept: int) -> httpx.Client:
    """Make a client that keeps so many connections and no cookie: a balancer's would tie us to one instance."""
    return httpx.Client(
        transport=transport,
        verify=tls,
        limits=httpx.Limits(max_connections=PROBE_CONNECTIONS, max_keepalive_connections=kept),
        headers={"user-agent": AGENT},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _build(
    client: httpx.Client, method: str, url: str, headers: Mapping[str, str], payload: object, timeout_s: float
) -> httpx.Request:
    body = None if payload is None else json.dumps(payload).encode()
    kind = {} if payload is None else {"content-type": "application/json"}
    try:
        request = client.build_request(method, url, headers={**headers, **kind}, content=body, timeout=timeout_s)
    except (httpx.InvalidURL, ValueError) as error:
        raise httpx.LocalProtocolError("malformed request") from error
    if request.url.scheme not in {"http", "https"}:
        raise httpx.UnsupportedProtocol("not an http URL")
    return request


def _give_up(error: httpx.HTTPError, what: str, *, safe: bool, last: bool) -> None:
    """Raise our own error, unless the request may be sent once more."""
    if isinstance(error, httpx.LocalProtocolError):
        raise PlatformError(
            f"{what}: not sent, because no such request can be made ({_name(error)})",
            means="Its URL or a header, perhaps the secret in it, has a character that HTTP does not allow.",
            next_step="look for a truncated or mistyped secret",
        ) from error
    if not safe and not isinstance(error, NOT_SENT):
        raise OutcomeUnknown(f"{what}: sent, but not answered ({_name(error)})") from error
    if last:
        raise PlatformUnreachable(f"{what}: no answer ({_name(error)})") from error


def expect_object(answer: Answer, what: str) -> dict[str, object]:
    """Give the JSON object in an answer.

    Raises:
        PlatformError: the body is anything else.
    """
    value = answer.json()
    if isinstance(value, dict):
        return value
    raise PlatformError(f"{what}: expected a JSON object, got {answer.body[:80]!r} with status {answer.status}")


def _worth_repeating(status: int, *, safe: bool) -> bool:
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return True
    return safe and status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _pause_asked_for(answer: Answer) -> float | None:
    """Give the seconds that `Retry-After` (429, 503) or Render's `Ratelimit-Reset` ask for."""
    for name in ("retry-after", "ratelimit-reset"):
        value = answer.headers.get(name, "")
        if (
            value.isascii()
            and value.isdigit()
            and (name == "retry-after" or answer.status == HTTPStatus.TOO_MANY_REQUESTS)
        ):
            return float(value)
    return None


def _name(error: Exception) -> str:
    """Name an error, with the system's own words but without its text, which may hold a URL and so a key."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    detail = f": {cause.strerror}" if cause is not None and cause.strerror else ""
    return type(error).__name__ + detail

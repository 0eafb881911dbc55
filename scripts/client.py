"""The one HTTP client: deadlines, bounded retries, bounded bodies. It decides nothing about what an answer means.

Two ways to ask: `request` for a platform's API, which retries and raises our errors, and `probe` for the service, which
never raises and never retries: a failed probe is an observation.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from scripts.clock import Clock, Deadline
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable

LARGEST_BODY = 4 * 1024 * 1024  # bytes
RETRIES = 4
FIRST_PAUSE_S = 0.5
PROBE_CONNECTIONS = 64
AGENT = "slipway/1"


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
    """HTTP with our rules; `transport` is the seam for tests."""

    def __init__(self, clock: Clock, transport: httpx.BaseTransport | None = None) -> None:
        self._clock = clock
        tls: ssl.SSLContext | bool = httpx.create_ssl_context() if transport is None else False
        limits = httpx.Limits(max_connections=PROBE_CONNECTIONS, max_keepalive_connections=PROBE_CONNECTIONS)
        alone = httpx.Limits(max_connections=PROBE_CONNECTIONS, max_keepalive_connections=0)
        headers = {"user-agent": AGENT}
        self._pooled = httpx.Client(transport=transport, verify=tls, limits=limits, headers=headers)
        self._fresh = httpx.Client(transport=transport, verify=tls, limits=alone, headers=headers)

    def close(self) -> None:
        """Close every connection."""
        self._pooled.close()
        self._fresh.close()

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
        except httpx.HTTPError as error:
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
            PlatformUnreachable: no answer within the tries or the deadline.
            OutcomeUnknown: a request that changes something was sent and not answered.
        """
        safe = method == "GET"
        # A kept connection that the platform has just closed would look like an unknown outcome: changes get a new one.
        client = self._pooled if safe else self._fresh
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                limit_s = max(0.001, min(timeout_s, deadline.left_s))
                answer = self._send(client, method, url, headers or {}, payload, limit_s)
            except httpx.HTTPError as error:
                self._give_up(error, what, safe=safe, last=last or deadline.passed)
                pause_s = FIRST_PAUSE_S * 2**attempt
            else:
                if last or not _worth_repeating(answer.status, safe=safe):
                    return answer
                pause_s = _pause_asked_for(answer) or FIRST_PAUSE_S * 2**attempt
                if pause_s > deadline.left_s:
                    return answer
            deadline.pause(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, error: httpx.HTTPError, what: str, *, safe: bool, last: bool) -> None:
        not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
        if not safe and not not_sent:
            raise OutcomeUnknown(f"{what}: sent, but not answered ({_name(error)})") from error
        if last:
            raise PlatformUnreachable(f"{what}: no answer ({_name(error)})") from error

    def _send(
        self,
        client: httpx.Client,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: object,
        timeout_s: float,
    ) -> Answer:
        start = self._clock.monotonic()
        body = None if payload is None else json.dumps(payload).encode()
        kind = {} if payload is None else {"content-type": "application/json"}
        with client.stream(method, url, headers={**headers, **kind}, content=body, timeout=timeout_s) as response:
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


def _name(error: httpx.HTTPError) -> str:
    """Name an error without its text, which may hold a URL and so a key."""
    cause = error.__cause__ or error.__context__
    detail = f": {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
    return type(error).__name__ + detail

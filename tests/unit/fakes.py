"""What unit tests bring instead of time and of the network: a clock that does not wait, and scripted answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when somebody sleeps on it, or when a test advances it."""

    def __init__(self, now: datetime = START, monotonic_s: float = 1000.0) -> None:
        self._start = now
        self._begin_s = monotonic_s
        self._passed_s = 0.0
        self.pauses: list[float] = []

    def now(self) -> datetime:
        """Give the time of day, UTC."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        return self._begin_s + self._passed_s

    def sleep(self, seconds: float) -> None:
        """Note the pause and be at its end; a negative time is no time."""
        self.pauses.append(seconds)
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let time pass, as it does while a server thinks."""
        self._passed_s += seconds

    @property
    def passed_s(self) -> float:
        """Seconds since the clock was made."""
        return self._passed_s


@dataclass(frozen=True)
class Reply:
    """An answer of a scripted server; `json` wins over `body`."""

    status: int = 200
    json: object = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> httpx.Response:
        """Make a fresh response, since one can be read once only."""
        if self.json is not None:
            return httpx.Response(self.status, json=self.json, headers=self.headers)
        return httpx.Response(self.status, content=self.body, headers=self.headers)


Line = Reply | Exception | Callable[[httpx.Request], httpx.Response]


class Script:
    """A server that gives its lines in order and keeps every request; one request too many is a failed test."""

    def __init__(self, *lines: Line) -> None:
        self._lines = list(lines)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, as the handler of a MockTransport."""
        self.requests.append(request)
        assert self._lines, f"request {len(self.requests)} is one more than the script has lines"
        line = self._lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return line.response() if isinstance(line, Reply) else line(request)

    @property
    def transport(self) -> httpx.MockTransport:
        """The transport that a client takes."""
        return httpx.MockTransport(self)

    @property
    def asked(self) -> list[str]:
        """Method and path of every request, in order."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

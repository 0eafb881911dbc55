"""One line of JSON for each thing said: by the service, by uvicorn, and for each request.

A line for a request is made by hand from values that need no escaping, or are escaped here: `json.dumps` of a whole
record, and the logging module, cost more than the rest of what surrounds a request.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

Write = Callable[[str], object]
DELAY_S, MOST_WAITING = 0.1, 64


class AsJson(logging.Formatter):
    """A record as one line of JSON, with a traceback where there is one."""

    def __init__(self, release: str | None = None) -> None:
        super().__init__()
        self._release = release

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without a newline in it."""
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "release": self._release,
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class AccessLog:
    """Writes a line for each request: route and not path, so that nothing a client sent as a key or an id is in it.

    Lines wait up to `delay_s` seconds for each other, since each write costs as much as all else of a line, but never
    so many that a request waits for the lines of others. 0 is for where the process may be frozen as soon as it has
    answered.
    """

    def __init__(self, release: str | None, write: Write | None = None, *, delay_s: float = DELAY_S) -> None:
        self._end = f', "release": {json.dumps(release)}}}\n'
        self._write = write or _write_out
        self._delay_s, self._most = delay_s, MOST_WAITING if delay_s else 1
        self._timer: asyncio.TimerHandle | None = None
        self._told: list[tuple[float, str, str | None, int, float, str]] = []
        self._second, self._date_told = 0, ""
        self._kinds: dict[tuple[str, str | None, int], str] = {}

    def tell(self, method: str, route: str | None, status: int, seconds: float, request_id: str) -> None:
        """Have the line written; `request_id` and `method` are known to hold nothing that JSON escapes."""
        self._told.append((time.time(), method, route, status, seconds, request_id))
        if len(self._told) >= self._most:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self.flush)

    def flush(self) -> None:
        """Write what waits: many lines in a row cost a part of what each costs alone, between all else."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        told, self._told = self._told, []
        if told:
            self._write("".join([self._format(*each) for each in told]))

    def _format(self, now: float, method: str, route: str | None, status: int, seconds: float, request_id: str) -> str:
        what = self._kinds.get((method, route, status)) or self._describe(method, route, status)
        return f'{{"at": "{self._date(now)}{what}{seconds * 1000:.2f}, "request_id": "{request_id}"{self._end}'

    def _date(self, now: float) -> str:
        """Give a moment in UTC, to the millisecond; the calendar is asked once a second."""
        second = int(now)
        if second != self._second:
            self._second, self._date_told = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._date_told}.{int((now - second) * 1000):03}+00:00"

    def _describe(self, method: str, route: str | None, status: int) -> str:
        """Give the middle of a line, and keep it: there are as many as methods, routes and statuses."""
        told = f'"method": "{method}", "route": {json.dumps(route)}, "status": {status}'
        return self._kinds.setdefault(
            (method, route, status), f'", "level": "info", "logger": "access", {told}, "ms": '
        )


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

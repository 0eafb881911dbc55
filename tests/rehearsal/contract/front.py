"""A front before an emulated platform: passes requests on and notes them, or answers itself as the weather is."""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from starlette.requests import Request as Asked

from scripts.rehearsal.edge import Message, Receive, Send, end_to_end
from scripts.rehearsal.serving import serve
from scripts.rehearsal.wire import Answer, Client, Request

JSON = (b"content-type", b"application/json")


@dataclass(frozen=True)
class Weather:
    """What is answered in place of the platform; no `status`: nothing ever is.

    It concerns requests whose `METHOD /path` begins as `pattern` says: the first `count` of them, all if None. It
    breaks out at the first request that begins as `since` says.
    """

    status: int | None
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    pattern: str = ""
    since: str = ""
    count: int | None = None


@dataclass
class Front:
    """Where the adapter finds the platform's API."""

    behind: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    weather: Weather | None = None
    _out: bool = False
    _left: int = 0

    @property
    def changes(self) -> list[str]:
        """What was asked that changes something."""
        return [line for line in self.asked if not line.startswith("GET ")]

    @contextlib.contextmanager
    def under(self, weather: Weather) -> Iterator[None]:
        """Have a weather for a while."""
        self._out, self._left = False, -1 if weather.count is None else weather.count
        self.weather = weather
        try:
            yield
        finally:
            self.weather = None

    def meet(self, line: str) -> Weather | None:
        """Note a request and give the weather that it meets."""
        self.asked.append(line)
        weather = self.weather
        if weather is None or self._left == 0:
            return None
        self._out = self._out or bool(re.match(weather.since, line))
        if not self._out or not re.match(weather.pattern, line):
            return None
        self._left -= 1
        return weather


@contextlib.asynccontextmanager
async def open_front(behind: str) -> AsyncIterator[Front]:
    """Serve a front before the origin of a platform's API."""
    front, client = Front(behind), Client(answer_limit_s=30)

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        weather = front.meet(f"{scope['method']} {scope['path']}")
        if weather is not None and weather.status is None:
            await _gone(receive)
        elif weather is not None and weather.status is not None:
            await _send(send, Answer(weather.status, weather.headers, weather.body))
        else:
            await _send(send, await client.ask(front.behind, await _passed_on(scope, receive)))

    async with serve(answer) as front.url:
        yield front
    client.close()


async def _gone(receive: Receive) -> None:
    """Wait until whoever asked has given up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _passed_on(scope: Message, receive: Receive) -> Request:
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return Request(scope["method"], target, end_to_end(scope["headers"]), await Asked(scope, receive).body())


async def _send(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": end_to_end(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})

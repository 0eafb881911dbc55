"""An upstream on loopback that answers as it is told: wrong, late, byte by byte, or as it should."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

PHRASES = {200: "OK", 302: "Found", 404: "Not Found", 500: "Internal Server Error"}


@dataclass
class Upstream:
    """A server whose answer can be changed; what it was asked is kept."""

    server: asyncio.Server | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    _body: bytes = b'{"per_euro": "1.1"}'
    _status: int = 200
    _after_s: float = 0.0
    _each_byte_s: float = 0.0
    _packed: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def say(
        self,
        body: str = '{"per_euro": "1.1"}',
        *,
        status: int = 200,
        after_s: float = 0.0,
        each_byte_s: float = 0.0,
        packed: bool = False,
    ) -> None:
        """Answer like this from now on; `packed` whether or not it is asked for."""
        self._packed = packed
        self._body, self._status, self._after_s, self._each_byte_s = body.encode(), status, after_s, each_byte_s

    async def start(self) -> None:
        """Listen on a free port."""
        self.server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and let go of who waits."""
        if self.server:
            self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        self._tasks.discard(task)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        self.asked.append(head.split()[1])
        length = next((line for line in head.lower().splitlines() if line.startswith("content-length:")), ":0")
        self.bodies.append(await reader.readexactly(int(length.partition(":")[2])))
        await asyncio.sleep(self._after_s)
        phrase = PHRASES[self._status]
        body = gzip.compress(self._body) if self._packed else self._body
        encoding = "Content-Encoding: gzip\r\n" if self._packed else ""
        writer.write(f"HTTP/1.1 {self._status} {phrase}\r\nContent-Length: {len(body)}\r\n{encoding}".encode())
        writer.write(b"Location: /rates/EUR\r\nConnection: close\r\n\r\n")
        for start in range(len(body)) if self._each_byte_s else [0]:
            writer.write(body[start : start + 1] if self._each_byte_s else body)
            await writer.drain()
            await asyncio.sleep(self._each_byte_s)


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Run an upstream as long as the block."""
    running = Upstream()
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@contextmanager
def running_upstream() -> Iterator[str]:
    """Run an upstream in a thread, for what asks it from another process; give its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = Upstream()
    try:
        asyncio.run_coroutine_threadsafe(running.start(), loop).result(5)
        yield running.url
    finally:
        asyncio.run_coroutine_threadsafe(running.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

"""Serves an ASGI application on a free loopback port, inside the loop of the caller."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

STOP_LIMIT_S = 2  # then requests still open are cut
CLIENT_IDLE_LIMIT_S = 75  # far above any client's own limit, so that the server never closes first


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the rehearsal: Ctrl-C must end the rehearsal, not one of its servers."""

    def __init__(self, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop looks for it ten times a second, and sets headers that are off here."""
        await self.stopping.wait()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # same protocol
        """Capture nothing."""
        return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def serve(app: Any, *, port: int = 0) -> AsyncIterator[str]:
    """Serve an ASGI application and yield its URL; ends within about `STOP_LIMIT_S` seconds. Port 0: a free one."""
    listener = _listen(port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = _QuietServer(_settings(app))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _until_started(server, running)
        yield url
    finally:
        server.stopping.set()
        await _ended(running)
        listener.close()


def _listen(port: int) -> socket.socket:
    # Without the protocol asyncio does not switch Nagle's algorithm off, and every other answer takes 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _settings(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=CLIENT_IDLE_LIMIT_S,
        timeout_graceful_shutdown=STOP_LIMIT_S,
    )


async def _until_started(server: uvicorn.Server, running: asyncio.Task[None]) -> None:
    while not server.started:
        if running.done():
            running.result()
            raise RuntimeError("the server ended before it listened")
        await asyncio.sleep(0.005)


async def _ended(running: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait({running}, timeout=STOP_LIMIT_S * 2)
    if not done:
        running.cancel()
        await asyncio.wait({running})
    elif error := running.exception():
        raise error

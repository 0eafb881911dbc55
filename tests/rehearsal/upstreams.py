"""Upstreams with a behaviour, on loopback and in the test's own loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from scripts.rehearsal.edge import Upstream
from scripts.rehearsal.serving import serve

type Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def echo(commit: str = "a", *, delay_s: float = 0.0) -> AsyncIterator[Upstream]:
    """Answer every request with what arrived, under the name of a commit."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await asyncio.sleep(delay_s)
        said = {
            "commit": commit,
            "method": scope["method"],
            "target": scope["raw_path"].decode() + "?" + scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "body": body.decode(),
        }
        headers = [(b"content-type", b"application/json"), (b"x-seen", b"1"), (b"x-seen", b"2")]
        await send(
            {"type": "http.response.start", "status": 201 if scope["method"] == "POST" else 200, "headers": headers}
        )
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    async with serve(answer) as url:
        yield Upstream(url, commit, f"instance-{commit}")


@contextlib.asynccontextmanager
async def raw(talk: Talk) -> AsyncIterator[Upstream]:
    """Talk over each connection in any way, HTTP or not."""
    writers: set[asyncio.StreamWriter] = set()

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(whole, "127.0.0.1", 0)
    async with server:
        yield Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "raw", "instance-raw")
        for writer in writers:
            writer.close()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read a request up to its empty line; raises IncompleteReadError when the client is gone."""
    return await reader.readuntil(b"\r\n\r\n")


def nowhere() -> Upstream:
    """Give an upstream that refuses every connection (port 1 is reserved, and nobody listens there)."""
    return Upstream("http://127.0.0.1:1", "none", "instance-none")

"""The reference service in the process of a test: started and stopped as a server does, and asked without a network."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI

from app.lifecycle import Phase

PROBLEM = "application/problem+json"


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Speak the lifespan protocol as a server does."""
    to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    lifespan = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}
    async with asyncio.timeout(10):
        while app.state.lifecycle.phase is Phase.STARTING:  # noqa: ASYNC110 - a test looks in from outside
            await asyncio.sleep(0.005)
    try:
        yield
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        ended = await from_app.get()
        await lifespan
    assert ended == {"type": "lifespan.shutdown.complete"}


def asking(app: FastAPI) -> httpx.AsyncClient:
    """Ask an application, started or not; a crash is an answer, as it is for a real client."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


def is_problem(answer: httpx.Response, status: HTTPStatus) -> bool:
    """Tell whether an answer is a problem document of a status, in the head and in the body."""
    expected = {"type": "about:blank", "title": status.phrase, "status": status.value}
    return (
        answer.status_code == status
        and answer.headers["Content-Type"] == PROBLEM
        and expected.items() <= answer.json().items()
    )

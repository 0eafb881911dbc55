"""What surrounds every request: the id, the headers, the time limit and the line in the log."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.identity import Identity
from app.logs import MOST_WAITING, AccessLog, AsJson
from app.main import Service, create_app
from app.settings import Settings

pytestmark = pytest.mark.anyio
SHA = "0123456789abcdef0123456789abcdef01234567"
KEY = "slip_0011223344556677_hunter2hunter2hunter2"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture
def lines() -> list[str]:
    """Give what is written to the log."""
    return []


@pytest.fixture
async def app(lines: list[str], tmp_path: Path) -> AsyncIterator[Service]:
    """Make an application with a short limit, some routes that misbehave, and a log that can be read."""
    access = AccessLog(SHA, lines.append, delay_s=0)
    url = SecretStr(f"sqlite:///{tmp_path}/it.db")
    settings = Settings(database_url=url, request_limit_s=0.2, cors_origins=("https://a.example",))
    app = create_app(settings, Identity(SHA, "srv-1"), access)
    add_bad_routes(app)
    await app.state.database.open()
    yield app
    await app.state.database.close()


def add_bad_routes(app: FastAPI) -> None:
    """Add routes that crash, hang, or hang after they have begun to answer."""

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError(KEY)

    @app.get("/hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    @app.get("/own")
    async def own() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    """Ask the application; a crash is an answer, as it is for a real client."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


ANSWERS = [
    ("GET", "/version", 200, "/version"),
    ("GET", "/api/items/1", 200, "/api/items/{item_id}"),
    ("GET", "/api/items/nothing", 422, "/api/items/{item_id}"),
    ("GET", "/nothing/here", 404, None),
    ("DELETE", "/version", 405, "/version"),
    ("POST", "/api/prices", 413, "/api/prices"),
    ("GET", "/crash", 500, "/crash"),
    ("GET", "/hang", 503, "/hang"),
    ("GET", "/own", 500, "/own"),
    ("BREW", "/version", 405, "/version"),
]


@pytest.mark.parametrize(("method", "path", "status", "route"), ANSWERS)
async def test_every_answer_is_surrounded(
    client: httpx.AsyncClient, lines: list[str], method: str, path: str, status: int, route: str | None
) -> None:
    """Each answer, also a refused and a crashed one, has id and headers, and is told in a line with its route."""
    body = b" " * 70_000 if method == "POST" else b""
    answer = await client.request(method, f"{path}?key={KEY}", content=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    (line,) = lines
    assert line.endswith("\n")
    assert KEY not in line
    told = json.loads(line)
    assert (told["status"], told["route"], told["release"]) == (status, route, SHA)
    assert told["method"] == (method if method != "BREW" else "other")
    assert told["request_id"] == answer.headers["X-Request-ID"]
    assert 0 <= told["ms"] < 5_000


async def test_the_time_limit_is_a_problem(client: httpx.AsyncClient) -> None:
    """What takes too long is answered as a problem that says when to come again, and the work is stopped."""
    answer = await client.get("/hang")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["detail"] == "No answer within 0.2 s."


async def test_each_request_has_the_limit_for_itself(client: httpx.AsyncClient) -> None:
    """Requests that begin one after the other are each stopped at their own time, and a quick one between is not."""

    async def ask(path: str, after_s: float) -> tuple[int, float]:
        await asyncio.sleep(after_s)
        began = time.monotonic()
        return (await client.get(path)).status_code, time.monotonic() - began

    told = await asyncio.gather(ask("/hang", 0), ask("/version", 0.05), ask("/hang", 0.1), ask("/hang", 0.15))
    assert [status for status, _ in told] == [503, 200, 503, 503]
    assert all(0.19 < seconds < 1.0 for status, seconds in told if status == 503)
    assert [status for status, _ in await asyncio.gather(ask("/hang", 0.1), ask("/hang", 0.1))] == [503, 503]


async def test_who_is_cancelled_by_somebody_else_is_not_late(client: httpx.AsyncClient) -> None:
    """A server that gives a request up before its time cancels it, and gets no answer for it."""
    asking = asyncio.create_task(client.get("/hang"))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("sent", ["abc-123._DEF", "0" * 64])
async def test_a_plain_request_id_is_kept(client: httpx.AsyncClient, sent: str) -> None:
    """An id that a proxy gave goes on, so that one request can be followed through both."""
    assert (await client.get("/version", headers={"X-Request-ID": sent})).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["short", "0" * 65, 'a"b"c"d"e', "a b c d e", "new\tline12", "ümläuteÜ"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, lines: list[str], sent: str) -> None:
    """What could forge a line of the log, or is no word, is not believed."""
    answer = await client.get("/version", headers={b"X-Request-ID": sent.encode()})
    assert answer.headers["X-Request-ID"] != sent
    assert len(json.loads(lines[0])["request_id"]) == 24


async def test_ids_differ(client: httpx.AsyncClient) -> None:
    """No two requests share an id that was made here."""
    ids = [(await client.get("/version")).headers["X-Request-ID"] for _ in range(50)]
    assert len(set(ids)) == 50


async def test_the_documents_can_be_seen(client: httpx.AsyncClient) -> None:
    """The pages for a browser load scripts from elsewhere, which the strict policy would forbid."""
    for path in ("/docs", "/redoc"):
        assert "Content-Security-Policy" not in (await client.get(path)).headers


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://a.example", "https://a.example"), ("https://b.example", None)]
)
async def test_only_named_origins_are_allowed(client: httpx.AsyncClient, origin: str, allowed: str | None) -> None:
    """A page of a named site may read answers, and its browser sees the id; any other may not."""
    answer = await client.get("/version", headers={"Origin": origin})
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed


async def test_lines_wait_for_each_other(lines: list[str]) -> None:
    """Lines of requests that come together are written together, a moment later; none is lost at the end."""
    access = AccessLog(SHA, lines.append, delay_s=0.02)
    for number in range(3):
        access.tell("GET", "/version", 200, 0.001, f"request-{number}")
    assert lines == []
    await asyncio.sleep(0.1)
    access.tell("GET", None, 404, 0.001, "request-3")
    access.flush()
    await asyncio.sleep(0.05)
    assert [[json.loads(line)["request_id"] for line in text.splitlines()] for text in lines] == [
        ["request-0", "request-1", "request-2"],
        ["request-3"],
    ]


async def test_not_many_lines_wait(lines: list[str]) -> None:
    """Under load lines are written before the moment is over, so that no request waits for hundreds of lines."""
    access = AccessLog(SHA, lines.append, delay_s=60)
    for number in range(MOST_WAITING + 1):
        access.tell("GET", "/version", 200, 0.001, f"request-{number}")
    assert [text.count("\n") for text in lines] == [MOST_WAITING]
    access.flush()
    assert [text.count("\n") for text in lines] == [MOST_WAITING, 1]


def test_a_record_is_one_line() -> None:
    """What is logged is one line of JSON, its traceback too."""
    error = ValueError("two\nlines")
    made = logging.LogRecord("app", logging.ERROR, "", 0, "it %s", ("failed\n",), (type(error), error, None))
    text = AsJson(SHA).format(made)
    told = json.loads(text)
    assert "\n" not in text
    assert (told["level"], told["logger"], told["message"], told["release"]) == ("error", "app", "it failed\n", SHA)
    assert told["traceback"].endswith("ValueError: two\nlines")

"""What the service tells of itself: metrics for Prometheus, reports to Sentry, and neither by default."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.main import create_app
from app.settings import Settings
from tests.asgi import asking, is_problem, running
from tests.upstream import Upstream, upstream

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "metrics-token-of-the-test"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings with a database of the test's own, and a token for metrics."""
    return Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db"), metrics_token=SecretStr(TOKEN))


async def test_metrics_count_by_route(settings: Settings) -> None:
    """Requests are counted by method, route and status: a path that a client makes up is no series of its own."""
    app = create_app(settings)
    async with running(app), asking(app) as client:
        for path in ("/api/items/1", "/api/items/2", "/api/items/999", "/made/up/1", "/made/up/2"):
            await client.get(path)
        told = await client.get("/metrics", headers=SHOWN)
    assert told.status_code == 200
    assert told.headers["Content-Type"].startswith("text/plain")
    counts = dict(line.rsplit(" ", 1) for line in told.text.splitlines() if "_seconds_count{" in line)
    name = "http_request_duration_seconds_count"
    assert counts[f'{name}{{method="GET",route="/api/items/{{item_id}}",status="200"}}'] == "2.0"
    assert counts[f'{name}{{method="GET",route="/api/items/{{item_id}}",status="404"}}'] == "1.0"
    assert counts[f'{name}{{method="GET",route="none",status="404"}}'] == "2.0"
    assert len(counts) == 3


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer metrics-token-of-the-tes"}, {"Authorization": TOKEN}])
async def test_metrics_need_their_token(settings: Settings, sent: dict[str, str]) -> None:
    """Without the token it is 401."""
    app = create_app(settings)
    async with asking(app) as client:
        assert is_problem(await client.get("/metrics", headers=sent), HTTPStatus.UNAUTHORIZED)


async def test_metrics_are_off_by_default(settings: Settings) -> None:
    """Where no token is set there are no metrics, whatever is shown."""
    app = create_app(settings.model_copy(update={"metrics_token": None}))
    async with asking(app) as client:
        assert is_problem(await client.get("/metrics", headers=SHOWN), HTTPStatus.NOT_FOUND)


@pytest.fixture
async def sentry() -> AsyncIterator[Upstream]:
    """Run what takes Sentry's envelopes."""
    async with upstream() as running_one:
        running_one.say("{}")
        yield running_one


def read_events(sentry: Upstream) -> Iterator[dict[str, object]]:
    """Read the events of the envelopes: https://develop.sentry.dev/sdk/foundations/transport/envelopes/."""
    for head, body in zip(sentry.heads, sentry.bodies, strict=True):
        names = (line.partition(":") for line in head.splitlines())
        encoding = next((value.strip() for name, _, value in names if name.lower() == "content-encoding"), "identity")
        for line in httpx.Response(200, headers={"Content-Encoding": encoding}, content=body).content.splitlines():
            found = json.loads(line)
            if "exception" in found:
                yield found


# In a process of its own: Sentry's client changes the standard library, and does not change it back.
CRASH = """
import asyncio, os
from fastapi import Header, Request
from sqlalchemy import text
from app.main import create_app
from tests.asgi import asking, running

async def crash(authorization: str = Header()) -> None:
    kept = authorization
    raise RuntimeError(f"it broke after {len(kept)} characters")

async def insert(request: Request, name: str) -> None:
    async with request.app.state.database.begin() as connection:
        await connection.execute(text("INSERT INTO items VALUES (1, :name, 1)"), {"name": name})

async def play(secret: str) -> None:
    app = create_app()
    app.add_api_route("/crash", crash, methods=["POST"])
    app.add_api_route("/insert", insert, methods=["POST"])
    async with running(app), asking(app) as client:
        head = {"Authorization": f"Bearer {secret}", "Cookie": secret}
        answer = await client.post(f"/crash?key={secret}", json={"password": secret}, headers=head)
        missing = await client.get("/nothing")
        twice = await client.post(f"/insert?name={secret}")
    print("answered", answer.status_code, missing.status_code, twice.status_code)

asyncio.run(play(os.environ["SENT"]))
"""


async def test_a_crash_is_reported(tmp_path: Path, sentry: Upstream) -> None:
    """A crash goes to Sentry with the commit as its release, and without what the client sent."""
    secret = uuid.uuid4().hex
    environment = {
        **os.environ,
        "SENT": secret,
        "DATABASE_URL": f"sqlite:///{tmp_path}/it.db",
        "SENTRY_DSN": f"http://public@127.0.0.1:{sentry.port}/1",
        "SLIPWAY_COMMIT": SHA,
        "RENDER_INSTANCE_ID": "srv-1",
    }
    words = [sys.executable, "-c", CRASH]
    ran = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    try:
        told_by_it, _ = await asyncio.wait_for(ran.communicate(), 60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            ran.kill()
    assert b"answered 500 404 500" in told_by_it
    events = sorted(read_events(sentry), key=json.dumps)
    assert {(event["release"], event["server_name"]) for event in events} == {(SHA, "srv-1")}
    told = json.dumps(events)
    assert ("it broke after" in told, "UNIQUE constraint failed" in told) == (True, True)
    assert secret not in told + told_by_it.decode()


WRONG_DSN = """
from app.identity import Identity
from app.reports import start
start("hunter2", Identity(None, "srv-1"))
"""


def test_a_wrong_dsn_stops_the_start() -> None:
    """What is no DSN is named, and not shown."""
    ran = subprocess.run(
        [sys.executable, "-c", WRONG_DSN], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1
    assert "SENTRY_DSN" in ran.stderr
    assert "hunter2" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_is_off_is_not_loaded(tmp_path: Path) -> None:
    """A service without a setting for it does not import the library: it would cost the start of every function."""
    heavy = (
        "sqlalchemy",
        "asyncpg",
        "aiosqlite",
        "alembic",
        "redis",
        "httpx",
        "sentry_sdk",
        "prometheus_client",
        "uvicorn",
    )
    code = f"import sys, app.main; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "[]\n"

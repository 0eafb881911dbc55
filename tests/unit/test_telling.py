"""What the service tells of itself: metrics for Prometheus, reports to Sentry, and neither by default."""

import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
import sentry_sdk
from fastapi import Header
from pydantic import SecretStr

from app.identity import Identity
from app.main import create_app
from app.reports import start
from app.settings import Settings, SettingsError
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
    """Run what takes Sentry's envelopes; afterwards nothing is reported any more."""
    async with upstream() as running_one:
        running_one.say("{}")
        yield running_one
        sentry_sdk.init()


def read_events(sentry: Upstream) -> Iterator[dict[str, object]]:
    """Read the events of the envelopes: https://develop.sentry.dev/sdk/foundations/transport/envelopes/."""
    for head, body in zip(sentry.heads, sentry.bodies, strict=True):
        names = (line.partition(":") for line in head.splitlines())
        encoding = next((value.strip() for name, _, value in names if name.lower() == "content-encoding"), "identity")
        for line in httpx.Response(200, headers={"Content-Encoding": encoding}, content=body).content.splitlines():
            found = json.loads(line)
            if "exception" in found:
                yield found


async def test_a_crash_is_reported(settings: Settings, sentry: Upstream) -> None:
    """A crash goes to Sentry with the commit as its release, and without what the client sent."""
    secret = uuid.uuid4().hex  # the lines of code around the crash are reported, and these are some of them
    dsn = SecretStr(f"http://public@127.0.0.1:{sentry.port}/1")
    app = create_app(settings.model_copy(update={"sentry_dsn": dsn}), Identity(SHA, "srv-1"))

    async def crash(authorization: str = Header()) -> None:
        kept = authorization
        raise RuntimeError(f"it broke after {len(kept)} characters")

    app.add_api_route("/crash", crash, methods=["POST"])
    async with running(app), asking(app) as client:
        answer = await client.post(
            f"/crash?key={secret}",
            json={"password": secret},
            headers={"Authorization": f"Bearer {secret}", "Cookie": secret},
        )
        assert is_problem(answer, HTTPStatus.INTERNAL_SERVER_ERROR)
        assert is_problem(await client.get("/nothing"), HTTPStatus.NOT_FOUND)
    (told,) = read_events(sentry)
    assert (told["release"], told["server_name"]) == (SHA, "srv-1")
    assert "it broke after" in json.dumps(told)
    assert secret not in json.dumps(told)


def test_a_wrong_dsn_stops_the_start() -> None:
    """What is no DSN is named, and not shown."""
    with pytest.raises(SettingsError, match="SENTRY_DSN") as raised:
        start("hunter2", Identity(SHA, "srv-1"))
    assert "hunter2" not in str(raised.value)


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

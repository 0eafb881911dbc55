"""The reference service, in process: requests through ASGI, start-up and shutdown through its lifespan."""

import asyncio
import runpy
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from app import tables
from app.checks import Check, Checks
from app.database import make_engine
from app.identity import COMMIT_VARIABLES, Identity
from app.main import create_app
from app.schema import FOLDER, NEWEST, REVISIONS, bring_up_to_date
from app.settings import Settings
from tests.asgi import PROBLEM, asking, is_problem, running

SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER_SHA = "f" * 40
SEEDS = 12
NO_FILE = Path("no such file")

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings with a database of the test's own."""
    return Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db"))


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """Make an application that knows its commit, and that nobody has started."""
    return create_app(settings, Identity(SHA, "srv-1", started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Start the application, and ask it."""
    async with running(app), asking(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_readiness_follows_the_lifespan(app: FastAPI, path: str) -> None:
    """An instance is ready from the end of start-up until shutdown begins, and says where it is otherwise."""
    app.state.checks = Checks([Check("database", app.state.database.check)], shared_s=0)
    async with asking(app) as client:
        before = await client.get(path)
        async with running(app):
            between = await client.get(path)
        after = await client.get(path)
    assert (before.status_code, before.json()["status"]) == (503, "starting")
    assert before.json()["checks"] == {"startup": "pending", "database": "not open yet"}
    assert (between.status_code, between.json()["status"]) == (200, "ready")
    assert between.json()["checks"] == {"startup": "ok", "database": "ok"}
    assert (after.status_code, after.json()["status"]) == (503, "stopping")


async def test_liveness_does_not_wait_for_readiness(app: FastAPI) -> None:
    """A process that is not ready is alive all the same, so that nobody restarts it while it starts."""
    async with asking(app) as client:
        answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_version_is_the_whole_story(client: httpx.AsyncClient) -> None:
    """The version is the full commit, the instance and its start in UTC."""
    answer = await client.get("/version")
    assert answer.json() == {"commit": SHA, "deploy": None, "instance": "srv-1", "started_at": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize("path", ["/version", "/health", "/health/ready", "/health/live"])
async def test_what_the_pipeline_asks_is_never_cached(client: httpx.AsyncClient, path: str) -> None:
    """No cache may keep an answer that proves which release serves."""
    assert (await client.get(path)).headers["Cache-Control"] == "no-store"


async def test_a_version_without_a_commit_is_null(app: FastAPI) -> None:
    """A service that does not know its commit says so."""
    app.state.identity = Identity(commit=None, instance="srv-1")
    async with asking(app) as client:
        answer = await client.get("/version")
    assert answer.json()["commit"] is None


@pytest.mark.parametrize("name", COMMIT_VARIABLES)
def test_each_platform_tells_the_commit(name: str) -> None:
    """The commit comes from whichever variable the platform or the build sets."""
    assert Identity.from_environment({name: SHA}, NO_FILE).commit == SHA


def test_sources_of_the_commit_are_asked_in_order() -> None:
    """The first variable that says anything is believed, and an empty word is no word."""
    said = {"RENDER_GIT_COMMIT": "", "VERCEL_GIT_COMMIT_SHA": SHA, "SLIPWAY_COMMIT": OTHER_SHA}
    assert Identity.from_environment(said, NO_FILE).commit == SHA


@pytest.mark.parametrize("name", COMMIT_VARIABLES)
def test_a_baked_commit_goes_before_every_variable(tmp_path: Path, name: str) -> None:
    """What the build left beside the code is believed, wherever it was deployed from."""
    baked = tmp_path / "baked_commit.txt"
    baked.write_text(f"{SHA}\n")
    assert Identity.from_environment({name: OTHER_SHA}, baked).commit == SHA


def test_an_empty_baked_commit_is_no_word(tmp_path: Path) -> None:
    """An empty file leaves the word to the variables."""
    baked = tmp_path / "baked_commit.txt"
    baked.write_text("\n")
    assert Identity.from_environment({"VERCEL_GIT_COMMIT_SHA": SHA}, baked).commit == SHA


def test_a_baked_commit_is_read(tmp_path: Path) -> None:
    """Where the environment is silent, the file that the build left beside the code tells the commit."""
    baked = tmp_path / "baked_commit.txt"
    baked.write_text(f"{SHA}\n")
    assert Identity.from_environment({}, baked).commit == SHA


def test_without_any_source_the_commit_is_unknown() -> None:
    """A commit that nobody told is None, and never an empty string."""
    assert Identity.from_environment({}, NO_FILE).commit is None


@pytest.mark.parametrize(
    ("value", "commit"),
    [
        (SHA, SHA),
        (f" {SHA}\n", SHA),
        (SHA.upper(), SHA),
        (SHA[:39], None),
        (f"{SHA}0", None),
        (f"{SHA[:39]}g", None),
        (f"{SHA}\n{SHA}", None),
        ("main", None),
    ],
)
def test_only_a_full_sha_is_a_commit(value: str, commit: str | None) -> None:
    """Forty hex digits are a commit; anything else is reported as unknown, and never in part."""
    assert Identity.from_environment({"RENDER_GIT_COMMIT": value}, NO_FILE).commit == commit


def test_half_a_sha_hides_no_later_source() -> None:
    """A malformed first word on the commit is not replaced by a second opinion."""
    said = {"RENDER_GIT_COMMIT": SHA[:7], "SLIPWAY_COMMIT": OTHER_SHA}
    assert Identity.from_environment(said, NO_FILE).commit is None


def test_the_instance_is_the_platforms_or_its_own() -> None:
    """The platform's instance id is reported; without one, each process has an id that no other has."""
    assert Identity.from_environment({"RENDER_INSTANCE_ID": "srv-1"}, NO_FILE).instance == "srv-1"
    own = {Identity.from_environment({}, NO_FILE).instance for _ in range(3)}
    assert len(own) == 3
    assert "" not in own


async def test_the_instance_stays_the_same() -> None:
    """A process keeps its id and its start from one answer to the next."""
    async with asking(create_app()) as client:
        first, second = (await client.get("/version")).json(), (await client.get("/version")).json()
    assert first == second


async def test_the_list_has_content_from_the_start(client: httpx.AsyncClient) -> None:
    """A fresh service has items to serve, and tells how many."""
    page = (await client.get("/api/items")).json()
    assert [item["id"] for item in page["items"]] == [*range(1, SEEDS + 1)]
    assert (page["items"][0]["name"], page["items"][-1]["name"]) == ("Anchor, 10 kg", "Signal flags")
    assert (page["total"], page["limit"], page["offset"]) == (SEEDS, 20, 0)


@pytest.mark.parametrize(
    ("limit", "offset", "ids"),
    [(1, 0, [1]), (3, 2, [3, 4, 5]), (100, SEEDS - 1, [SEEDS]), (100, SEEDS, []), (1, 2**53 - 1, [])],
)
async def test_a_page_is_cut_out_of_the_list(
    client: httpx.AsyncClient, limit: int, offset: int, ids: list[int]
) -> None:
    """A page has at most `limit` items from `offset` on, and past the end it is empty."""
    page = (await client.get("/api/items", params={"limit": limit, "offset": offset})).json()
    assert [item["id"] for item in page["items"]] == ids
    assert page["total"] == SEEDS


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", "offset=-1", f"offset={2**53}"])
async def test_a_page_out_of_bounds_is_refused(client: httpx.AsyncClient, query: str) -> None:
    """A limit outside 1 to 100 or a negative offset is a problem that names the parameter."""
    answer = await client.get(f"/api/items?{query}")
    assert is_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert list(answer.json()["errors"]) == [f"query.{query.partition('=')[0]}"]


async def price(client: httpx.AsyncClient, *lines: object, **more: object) -> httpx.Response:
    """Ask what a basket costs."""
    return await client.post("/api/prices", json={"lines": lines, **more})


async def test_a_basket_has_a_price(client: httpx.AsyncClient) -> None:
    """Each line comes back with its item's name and price, and the sum is told; nothing is kept."""
    answer = await price(
        client, {"item_id": 5, "quantity": 2}, {"item_id": 1, "quantity": 1}, {"item_id": 5, "quantity": 1}
    )
    assert answer.status_code == 200
    told = answer.json()
    assert [(line["name"], line["quantity"], line["price_cents"]) for line in told["lines"]] == [
        ("Brass lantern", 2, 4950),
        ("Anchor, 10 kg", 1, 8900),
        ("Brass lantern", 1, 4950),
    ]
    assert told["total_cents"] == 3 * 4950 + 8900


@pytest.mark.parametrize(("quantity", "lines"), [(1, 1), (1_000, 50)])
async def test_the_limits_of_a_basket_are_allowed(client: httpx.AsyncClient, quantity: int, lines: int) -> None:
    """One to fifty lines of one to a thousand each are allowed."""
    told = (await price(client, *[{"item_id": 1, "quantity": quantity}] * lines)).json()
    assert told["total_cents"] == 8900 * quantity * lines


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": 1_001}, "quantity"),
        ({"quantity": "5"}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"item_id": 0}, "item_id"),
        ({"item_id": 2**53}, "item_id"),
        ({"item_id": 13}, "item_id"),
        ({"price_cents": 5}, "price_cents"),
    ],
)
async def test_an_invalid_basket_is_refused(client: httpx.AsyncClient, line: dict[str, object], place: str) -> None:
    """A line outside its limits, or of no item, is a problem that names the field."""
    answer = await price(client, {"item_id": 1, "quantity": 1}, {"item_id": 1, "quantity": 1} | line)
    assert is_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert list(answer.json()["errors"]) == [f"body.lines.1.{place}"]


@pytest.mark.parametrize("lines", [0, 51])
async def test_a_basket_has_one_to_fifty_lines(client: httpx.AsyncClient, lines: int) -> None:
    """None is too few, and the fifty-first too many."""
    answer = await price(client, *[{"item_id": 1, "quantity": 1}] * lines)
    assert is_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_a_problem_does_not_repeat_what_was_sent(client: httpx.AsyncClient) -> None:
    """A value that a client put into the wrong field does not come back in the answer."""
    answer = await price(client, {"item_id": 1, "quantity": "hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b'{"lines": [], "\\ud800": 1}', b"\xff", b"[" * 60_000])
async def test_a_garbled_body_is_the_clients_error(client: httpx.AsyncClient, body: bytes) -> None:
    """A body that is no JSON, or no text, or too deep, is answered with a problem in the 4xx range."""
    answer = await client.post("/api/prices", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert is_problem(answer, HTTPStatus(answer.status_code))


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused(client: httpx.AsyncClient, announced: bool) -> None:
    """A body above the limit is refused before it is read as a basket, also one whose length nobody announced."""
    body = b'{"lines": [{"item_id": 1, "quantity": 1}]}' + b" " * 64 * 1024

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    head = {"Content-Type": "application/json"}
    answer = await client.post("/api/prices", content=body if announced else parts(), headers=head)
    assert is_problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    allowed = await client.post("/api/prices", content=body[: 64 * 1024], headers=head)
    assert allowed.status_code == 200


@pytest.mark.parametrize("path", ["/api/items/999999", f"/api/items/{2**53 - 1}", "/nothing/here", "/api/items/"])
async def test_what_is_not_there_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    """An unknown item or an unknown path is a 404 as a problem document, and never a redirect."""
    assert is_problem(await client.get(path), HTTPStatus.NOT_FOUND)


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient) -> None:
    """A method that a path does not have is a 405 that names those it has."""
    for path, allowed in (("/version", "GET"), ("/api/quotes", "GET, POST"), ("/api/keys/x", "DELETE")):
        answer = await client.put(path)
        assert is_problem(answer, HTTPStatus.METHOD_NOT_ALLOWED)
        assert answer.headers["Allow"] == allowed


async def test_a_crash_tells_nothing_about_the_code(app: FastAPI) -> None:
    """An error nobody expected is a 500 as a problem document, without its text."""

    async def crash() -> None:
        raise RuntimeError("the password is hunter2")

    app.add_api_route("/crash", crash)
    async with asking(app) as client:
        answer = await client.get("/crash")
    assert is_problem(answer, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert "hunter2" not in answer.text


def test_problems_are_documented_as_they_are_sent(app: FastAPI) -> None:
    """OpenAPI gives the errors of the items under the media type that is really sent."""
    answers = app.openapi()["paths"]["/api/items/{item_id}"]["get"]["responses"]
    assert {code: list(answer["content"]) for code, answer in answers.items()} == {
        "200": ["application/json"],
        "404": [PROBLEM],
        "422": [PROBLEM],
    }


async def test_without_its_database_the_service_says_so(
    app: FastAPI, client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails is a 503 that says when to come again, and nothing about where it is."""
    async with app.state.database.begin() as connection:
        await connection.execute(text("DROP TABLE items"))
    answer = await client.get("/api/items/1")
    assert is_problem(answer, HTTPStatus.SERVICE_UNAVAILABLE)
    assert answer.headers["Retry-After"] == "1"
    assert str(tmp_path) not in answer.text


async def test_a_schema_that_is_behind_is_not_ready(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A release whose migrations have not run says which revision it needs, and gets no traffic."""
    async with app.state.database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    assert answer.json()["checks"]["database"] == f"its schema is at 0000, this release needs {NEWEST}"


async def test_migrations_make_the_tables_that_the_service_knows(settings: Settings) -> None:
    """After all migrations Alembic finds nothing that differs from the tables of the code."""
    await asyncio.to_thread(bring_up_to_date, settings)
    engine = make_engine(settings, statement_s=5)
    async with engine.connect() as connection:
        told = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
    await engine.dispose()
    assert told == []


def test_revisions_are_one_line() -> None:
    """Each migration follows the one before it, by its number."""
    files = sorted((FOLDER / "versions").glob("*.py"))
    assert [file.name.partition("_")[0] for file in files] == REVISIONS
    for before, file in zip([None, *REVISIONS], files, strict=False):
        told = runpy.run_path(str(file))
        assert (told["revision"], told["down_revision"]) == (file.name.partition("_")[0], before)
        assert "downgrade" not in told

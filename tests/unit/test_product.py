"""API keys, rates, quotas and quotes, asked in the process of the test."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from app.counters import CountersAlone
from app.identity import Identity
from app.limits import Allowance, describe_limits
from app.main import create_app
from app.plans import PLANS, find_plan
from app.settings import Settings
from app.usage import first_of_month, next_month
from tests.asgi import asking, is_problem, running
from tests.upstream import Upstream, upstream

ADMIN = {"Authorization": "Bearer admin-token-of-the-test"}
BASKET = {"lines": [{"item_id": 5, "quantity": 2}]}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture
async def rates() -> AsyncIterator[Upstream]:
    """Run an upstream for rates."""
    async with upstream() as running_one:
        yield running_one


@pytest.fixture
async def app(tmp_path: Path, rates: Upstream) -> AsyncIterator[FastAPI]:
    """Run the application with a database and an upstream of the test's own."""
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/it.db"),
        admin_token=SecretStr(ADMIN["Authorization"].removeprefix("Bearer ")),
        rates_url=SecretStr(rates.url),
    )
    app = create_app(settings, Identity(None, "srv-1"))
    async with running(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the application."""
    async with asking(app) as client:
        yield client


async def issue(client: httpx.AsyncClient, plan: str = "free") -> tuple[str, dict[str, str]]:
    """Issue a key; its id, and the header that shows it."""
    told = (await client.post("/api/keys", json={"owner": "Harbour office", "plan": plan}, headers=ADMIN)).json()
    return told["id"], {"Authorization": f"Bearer {told['key']}"}


async def test_a_key_is_shown_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A new key is in the answer that must not be kept, and nowhere after that: not in a list, not in the database."""
    issued = await client.post("/api/keys", json={"owner": "Harbour office"}, headers=ADMIN)
    assert (issued.status_code, issued.headers["Cache-Control"]) == (201, "no-store")
    told = issued.json()
    assert (told["owner"], told["plan"], told["revoked_at"]) == ("Harbour office", "free", None)
    secret = told["key"].split("_", 2)[2]
    listed = await client.get("/api/keys", headers=ADMIN)
    assert [key["id"] for key in listed.json()["keys"]] == [told["id"]]
    assert secret not in listed.text
    async with app.state.database.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM api_keys"))).all()
    assert secret not in str(rows)
    assert secret.encode() not in b"".join(bytes(str(value), "utf-8") for value in rows[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic {key}"},
        {"Authorization": "Bearer {key}x"},
        {"Authorization": "Bearer slip_{id}_" + "x" * 43},
        {"Authorization": "Bearer slip_0000000000000000_{secret}"},
        {"X-API-Key": "{key}"},
    ],
)
async def test_only_a_good_key_is_let_in(client: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    """Without a key, or with one that is not good, it is 401 with how to show one, and nothing else is told."""
    key_id, good = await issue(client)
    key = good["Authorization"].removeprefix("Bearer ")
    sent = {name: value.format(key=key, id=key_id, secret=key.split("_", 2)[2]) for name, value in wrong.items()}
    answer = await client.get("/api/usage", headers=sent)
    assert is_problem(answer, HTTPStatus.UNAUTHORIZED)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "RateLimit" not in answer.headers
    assert (await client.get("/api/usage", headers=good)).status_code == 200


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient) -> None:
    """From the moment of its revocation a key is 401; revoked again it keeps the first moment."""
    key_id, key = await issue(client)
    assert (await client.get("/api/usage", headers=key)).status_code == 200
    assert (await client.delete(f"/api/keys/{key_id}", headers=ADMIN)).status_code == 204
    assert (await client.get("/api/usage", headers=key)).status_code == 401
    first = (await client.get("/api/keys", headers=ADMIN)).json()["keys"][0]["revoked_at"]
    assert datetime.now(UTC) - datetime.fromisoformat(first) < timedelta(minutes=1)
    assert (await client.delete(f"/api/keys/{key_id}", headers=ADMIN)).status_code == 204
    assert (await client.get("/api/keys", headers=ADMIN)).json()["keys"][0]["revoked_at"] == first
    assert is_problem(await client.delete("/api/keys/0000000000000000", headers=ADMIN), HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_the_admin_issues_keys(client: httpx.AsyncClient, method: str) -> None:
    """Without the admin token, with another one, or with an API key, nobody sees or makes keys."""
    _, key = await issue(client)
    for sent in ({}, {"Authorization": "Bearer admin-token-of-the-tes"}, {"Authorization": "Bearer ä"}, key):
        raw = {name.encode(): value.encode() for name, value in sent.items()}
        answer = await client.request(method, "/api/keys", json={"owner": "x"}, headers=raw)
        assert is_problem(answer, HTTPStatus.UNAUTHORIZED)


async def test_without_an_admin_token_there_are_no_keys(tmp_path: Path) -> None:
    """A service that was given no token issues no keys, whoever asks, and says which variable that is."""
    app = create_app(Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db")))
    async with running(app), asking(app) as client:
        answer = await client.post("/api/keys", json={"owner": "x"}, headers={"Authorization": "Bearer "})
    assert is_problem(answer, HTTPStatus.FORBIDDEN)
    assert "ADMIN_TOKEN" in answer.json()["detail"]


async def test_keys_come_in_pages(client: httpx.AsyncClient) -> None:
    """Page after page each key comes once."""
    ids = {(await issue(client))[0] for _ in range(5)}
    found: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = (await client.get("/api/keys", params={"limit": 2, "after": after}, headers=ADMIN)).json()
        found += [key["id"] for key in page["keys"]]
        after, pages = page["next"], pages + 1
    assert (sorted(found), pages) == (sorted(ids), 3)


async def test_a_plan_allows_so_many_requests(client: httpx.AsyncClient) -> None:
    """Each answer says what is left; the sixty-first request of a minute is 429, and costs nobody else."""
    _, key = await issue(client)
    left = [(await client.get("/api/usage", headers=key)).headers for _ in range(60)]
    assert {headers["RateLimit-Policy"] for headers in left} == {'"minute";q=60;w=60'}
    assert left[0]["RateLimit"] == '"minute";r=59;t=60'
    assert left[-1]["RateLimit"].startswith('"minute";r=0;t=')
    refused = await client.get("/api/usage", headers=key)
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    told = refused.json()
    assert told["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert told["violated-policies"] == ["minute"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"minute";r=0;')
    _, other = await issue(client)
    assert (await client.get("/api/usage", headers=other)).status_code == 200


@pytest.mark.parametrize("path", ["/api/quotes/1", "/api/quotes?limit=0"])
async def test_an_error_says_what_is_left_too(client: httpx.AsyncClient, path: str) -> None:
    """An answer that is a 404 or a 422 was counted, and tells it."""
    _, key = await issue(client)
    answer = await client.get(path, headers=key)
    assert answer.status_code in {404, 422}
    assert answer.headers["RateLimit"] == '"minute";r=59;t=60'


async def test_a_quote_is_kept_and_counted(client: httpx.AsyncClient) -> None:
    """A quote has a place and a price; the month and the minute are told, and its owner reads how much is used."""
    _, key = await issue(client)
    made = await client.post("/api/quotes", json=BASKET, headers=key)
    assert made.status_code == 201
    told = made.json()
    assert (told["currency"], told["total_cents"], told["lines"][0]["name"]) == ("EUR", 9900, "Brass lantern")
    assert (await client.get(made.headers["Location"], headers=key)).json() == told
    minute, month = made.headers["RateLimit"].split(", ")
    assert (minute, month.partition(";t=")[0]) == ('"minute";r=59;t=60', '"month";r=99')
    assert made.headers["RateLimit-Policy"].startswith('"minute";q=60;w=60, "month";q=100;w=2')
    usage = (await client.get("/api/usage", headers=key)).json()
    assert (usage["quotes_used"], usage["quotes_allowed"], usage["requests_per_minute"]) == (1, 100, 60)
    assert datetime.fromisoformat(usage["renews_at"]) == next_month(datetime.now(UTC))


async def test_a_quote_is_its_owners_alone(client: httpx.AsyncClient) -> None:
    """What another key made is not there: not in the list, and not by its number."""
    _, key = await issue(client)
    _, other = await issue(client)
    place = (await client.post("/api/quotes", json=BASKET, headers=key)).headers["Location"]
    assert is_problem(await client.get(place, headers=other), HTTPStatus.NOT_FOUND)
    assert (await client.get("/api/quotes", headers=other)).json() == {"quotes": [], "next": None}
    assert (await client.get("/api/usage", headers=other)).json()["quotes_used"] == 0


async def test_quotes_come_in_pages(client: httpx.AsyncClient) -> None:
    """Page after page each quote comes once, the oldest first, also where some are made meanwhile."""
    _, key = await issue(client)
    made = [(await client.post("/api/quotes", json=BASKET, headers=key)).json()["id"] for _ in range(5)]
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page = (await client.get("/api/quotes", params={"limit": 2, "after": after}, headers=key)).json()
        found += [quote["id"] for quote in page["quotes"]]
        after = page["next"]
        if len(made) < 6:
            made.append((await client.post("/api/quotes", json=BASKET, headers=key)).json()["id"])
    assert found == made == sorted(made)


async def test_a_month_has_so_many_quotes(app: FastAPI, client: httpx.AsyncClient) -> None:
    """The quote after the last one of the month is 429 with the month's end, and is neither kept nor counted."""
    key_id, key = await issue(client)
    await client.post("/api/quotes", json=BASKET, headers=key)
    async with app.state.database.begin() as connection:
        await connection.execute(text("UPDATE usage SET used = 99"))
    assert (await client.post("/api/quotes", json=BASKET, headers=key)).headers["RateLimit"].count("r=0") == 1
    refused = await client.post("/api/quotes", json=BASKET, headers=key)
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["month"])
    left_s = (next_month(datetime.now(UTC)) - datetime.now(UTC)).total_seconds()
    assert abs(int(refused.headers["Retry-After"]) - left_s) < 5
    assert len((await client.get("/api/quotes", headers=key)).json()["quotes"]) == 2
    assert (await client.get("/api/usage", headers=key)).json()["quotes_used"] == 100
    async with app.state.database.begin() as connection:
        await connection.execute(text("UPDATE api_keys SET plan = 'pro' WHERE id = :id"), {"id": key_id})
    assert (await client.post("/api/quotes", json=BASKET, headers=key)).status_code == 201


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"lines": [{"item_id": 13, "quantity": 1}]}, 422),
        ({"lines": []}, 422),
        ({"currency": "XXX"}, 422),
        ({"currency": "USD"}, 502),
        ({"total_cents": 1}, 422),
    ],
)
async def test_what_is_not_made_is_not_counted(
    client: httpx.AsyncClient, rates: Upstream, change: dict[str, object], status: int
) -> None:
    """A quote that is refused, or that the upstream has no rate for, costs nothing of the month."""
    rates.say(status=500)
    _, key = await issue(client)
    answer = await client.post("/api/quotes", json=BASKET | change, headers=key)
    assert answer.status_code == status
    assert answer.headers["RateLimit"] == '"minute";r=59;t=60'
    assert (await client.get("/api/usage", headers=key)).json()["quotes_used"] == 0


async def test_another_currency_has_its_rate(client: httpx.AsyncClient, rates: Upstream) -> None:
    """The price is multiplied by the rate of the moment, and a half is rounded up."""
    rates.say('{"per_euro": "1.00005"}')
    _, key = await issue(client)
    made = await client.post("/api/quotes", json=BASKET | {"currency": "USD"}, headers=key)
    assert (made.json()["currency"], made.json()["total_cents"]) == ("USD", 9900)
    rates.say('{"per_euro": 1.0835}')
    made = await client.post("/api/quotes", json=BASKET | {"currency": "USD"}, headers=key)
    assert made.json()["total_cents"] == 10727  # 10726.65
    assert rates.asked == ["/rates/USD", "/rates/USD"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": 500}, 502),
        ({"status": 404}, 502),
        ({"status": 302}, 502),
        ({"body": "no rate"}, 502),
        ({"body": '{"per_euro": 0}'}, 502),
        ({"body": '{"per_euro": -1}'}, 502),
        ({"body": '{"per_euro": "NaN"}'}, 502),
        ({"body": '{"per_euro": 1e30}'}, 502),
        ({"body": '{"per_euro": "1"}' + " " * 5000}, 502),
        ({"packed": True}, 502),
        ({"after_s": 60.0}, 504),
        ({"each_byte_s": 0.5}, 504),
    ],
)
async def test_a_bad_upstream_is_told_in_time(
    client: httpx.AsyncClient, rates: Upstream, answer: dict[str, float | str | bool], status: int
) -> None:
    """An upstream that is wrong is a 502, one that is late or dawdles a 504, in time and with no detail."""
    rates.say(**answer)  # type: ignore[arg-type]
    _, key = await issue(client)
    async with asyncio.timeout(5):
        told = await client.post("/api/quotes", json=BASKET | {"currency": "USD"}, headers=key)
    assert is_problem(told, HTTPStatus(status))
    assert rates.url not in told.text


async def test_an_upstream_that_is_gone_is_told(client: httpx.AsyncClient, rates: Upstream) -> None:
    """Where nobody listens it is a 502 at once; euros need no upstream."""
    await rates.stop()
    _, key = await issue(client)
    told = await client.post("/api/quotes", json=BASKET | {"currency": "USD"}, headers=key)
    assert is_problem(told, HTTPStatus.BAD_GATEWAY)
    assert (await client.post("/api/quotes", json=BASKET, headers=key)).status_code == 201


async def test_without_an_upstream_there_are_euros(tmp_path: Path) -> None:
    """A service that was given no upstream sells in euros, and says which variable is missing."""
    token = SecretStr(ADMIN["Authorization"].removeprefix("Bearer "))
    app = create_app(Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db"), admin_token=token))
    async with running(app), asking(app) as client:
        _, key = await issue(client)
        told = await client.post("/api/quotes", json=BASKET | {"currency": "USD"}, headers=key)
        assert is_problem(told, HTTPStatus.UNPROCESSABLE_ENTITY)
        assert "RATES_URL" in told.json()["errors"]["body.currency"]


def test_counters_end_and_are_bounded() -> None:
    """A window ends where it was to end and not with the last request; of too many counts the oldest goes."""
    now = 100.0
    counters = CountersAlone(most=2, clock=lambda: now)
    assert [counters.count("a", 60).used for _ in range(3)] == [1, 2, 3]
    now = 159.9
    assert counters.count("a", 60).ends_in_s == pytest.approx(0.1)
    now = 160.0
    assert (counters.count("a", 60).used, counters.count("b", 60).used, counters.count("c", 60).used) == (1, 1, 1)
    assert (counters.count("b", 60).used, counters.count("a", 60).used) == (2, 1)


def test_a_window_never_ends_later_than_it_is_long() -> None:
    """Where adding and subtracting makes a minute a hair longer, a client is not told 61 seconds."""
    now = 108.504
    assert (now + 60) - now > 60
    assert CountersAlone(clock=lambda: now).count("a", 60).ends_in_s == 60


def test_limits_in_the_words_of_http() -> None:
    """What is left is never below nothing, and the time is never too short."""
    one = Allowance("minute", 60, 61, 60, 0.2)
    assert one.exceeded
    assert describe_limits([one]) == {"RateLimit-Policy": '"minute";q=60;w=60', "RateLimit": '"minute";r=0;t=1'}
    assert not Allowance("minute", 60, 60, 60, 59.1).exceeded
    assert Allowance("minute", 60, 60, 60, 59.1).retry_after_s == 60


@pytest.mark.parametrize(
    ("now", "begins", "ends"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), "2026-01-01", "2026-02-01"),
        (datetime(2026, 12, 1, tzinfo=UTC), "2026-12-01", "2027-01-01"),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), "2028-02-01", "2028-03-01"),
        (datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2026-02-01", "2026-03-01"),
    ],
)
def test_a_month_is_one_of_utc(now: datetime, begins: str, ends: str) -> None:
    """A month begins and ends in UTC, wherever the clock is."""
    assert (first_of_month(now).date().isoformat(), next_month(now).date().isoformat()) == (begins, ends)


def test_a_plan_of_a_newer_release_is_the_smallest() -> None:
    """After a rollback a key may be on a plan that the older release does not know: it is served, with the least."""
    assert find_plan("pro") == PLANS["pro"]
    assert find_plan("enterprise") == PLANS["free"]

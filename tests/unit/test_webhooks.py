"""The webhook: what is signed is heard once, and nothing else is heard at all."""

import json
import random
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from app.main import create_app
from app.settings import Settings
from app.webhooks import MOST_SIGNATURES, TOLERANCE_S, SignatureRefused, check_signature, sign
from tests.asgi import asking, is_problem, running

SECRET = "whsec_of_the_test_0123456789"
OTHER = "whsec_of_another_0123456789"
PLACE = "/webhooks/payments"
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    """Run an application that knows the secret."""
    settings = Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db"), webhook_secret=SecretStr(SECRET))
    app = create_app(settings)
    async with running(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the application."""
    async with asking(app) as client:
        yield client


def event(number: int | str = 1, **more: object) -> bytes:
    """Make an event."""
    return json.dumps({"id": f"evt_{number}", "type": "invoice.paid", "created": 100, "data": {}, **more}).encode()


def signed(body: bytes, at: float, secret: str = SECRET) -> str:
    """Make the header of a delivery."""
    return f"t={int(at)},v1={sign(secret, int(at), body)}"


async def deliver(client: httpx.AsyncClient, body: bytes, header: str) -> httpx.Response:
    """Deliver a body."""
    return await client.post(PLACE, content=body, headers={b"Stripe-Signature": header.encode()})


async def heard(app: FastAPI) -> int:
    """How many events were heard."""
    async with app.state.database.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM webhook_events"))).scalar() or 0)


def test_the_signature_is_stripes() -> None:
    """The signature of a known text by a known secret: computed by `openssl dgst -sha256 -hmac`."""
    told = sign("whsec_test", 1492774577, b'{"id":"evt_1"}')
    assert told == "7656fc2882a7ca0a651666b36bf2f2f22ee204f54f608f227498a2419f2890b2"


async def test_what_is_signed_is_heard(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A delivery is heard; the same event in a new delivery is taken and told as such; the same delivery is a 409."""
    now = time.time()
    first = signed(event(), now)
    answer = await deliver(client, event(), first)
    assert (answer.status_code, answer.json()) == (200, {"again": False})
    again = await deliver(client, event(), signed(event(), now - 1))
    assert (again.status_code, again.json()) == (200, {"again": True})
    assert is_problem(await deliver(client, event(), first), HTTPStatus.CONFLICT)
    assert await heard(app) == 1


async def test_while_the_secret_changes_either_is_good(client: httpx.AsyncClient) -> None:
    """Of several signatures one has to hold; other schemes and spaces are passed over."""
    now = int(time.time())
    header = f"t={now}, v0={'0' * 64}, v1={sign(OTHER, now, event())}, v1={sign(SECRET, now, event())}"
    assert (await deliver(client, event(), header)).status_code == 200
    # The same delivery with its signatures in another order is the same.
    header = f"t={now},v1={sign(SECRET, now, event())}"
    assert (await deliver(client, event(), header)).status_code == 409


async def test_an_event_changes_a_plan_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    """What is paid for is given: once, in the transaction that keeps the event, and not where it is malformed."""
    key = "0123456789abcdef"
    async with app.state.database.begin() as connection:
        await connection.execute(
            text("INSERT INTO api_keys VALUES (:id, 'x', 'free', 0, :hash, '2026-01-01', NULL)"),
            {"id": key, "hash": b"0" * 32},
        )

    async def change(number: int, at: int = 100, **data: object) -> int:
        body = event(number, type="subscription.changed", created=at, data=data)
        return (await deliver(client, body, signed(body, time.time()))).status_code

    async def plan() -> object:
        async with app.state.database.connect() as connection:
            return (await connection.execute(text("SELECT plan FROM api_keys"))).scalar()

    assert await change(1, key_id=key, plan="gold") == 400
    assert await change(1, key_id=key) == 400
    assert (await plan(), await heard(app)) == ("free", 0)
    assert await change(1, key_id=key, plan="pro") == 200
    assert await plan() == "pro"
    assert await change(2, key_id="f" * 16, plan="free") == 200
    assert await plan() == "pro"
    assert await change(3, at=200, key_id=key, plan="free") == 200
    assert await plan() == "free"
    assert await change(4, at=150, key_id=key, plan="pro") == 200  # it was late: what happened after it is known
    assert await change(1, key_id=key, plan="pro", more="a new delivery of the first event") == 200
    assert await plan() == "free"


async def test_without_a_secret_nothing_is_heard(tmp_path: Path) -> None:
    """A service that was given no secret has no webhook, and says which variable that is."""
    app = create_app(Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/it.db")))
    async with running(app), asking(app) as client:
        answer = await deliver(client, event(), signed(event(), time.time(), ""))
    assert is_problem(answer, HTTPStatus.NOT_FOUND)
    assert "WEBHOOK_SECRET" in answer.json()["detail"]


def spoil(chance: random.Random, body: bytes, header: str, at: float) -> tuple[bytes, str]:
    """Make a delivery that is not what was signed, in one of the ways that somebody would try."""
    moment, signature = header.split(",")
    digits = signature.removeprefix("v1=")
    place = chance.randrange(64)
    other = chance.choice([digit for digit in "0123456789abcdef" if digit != digits[place]])
    changed = (
        body[: (cut := chance.randrange(len(body)))] + bytes([body[cut] ^ (1 << chance.randrange(8))]) + body[cut + 1 :]
    )
    far = chance.choice([-1, 1]) * (TOLERANCE_S + chance.randrange(3, 10**6))
    return chance.choice(
        [
            (changed, header),
            (body + b" ", header),
            (body[:-1], header),
            (body, f"{moment},v1={digits[:place]}{other}{digits[place + 1 :]}"),
            (body, f"t={int(at) + chance.choice([-1, 1])},{signature}"),
            (body, signed(body, at, OTHER)),
            (body, signed(body, at + far)),
            (body, f"{moment},v0={digits}"),
            (body, f"{moment},v1={digits.upper()}" if not digits.isdigit() else moment),
            (body, f"{moment},v1={digits[:-1]}"),
            (body, f"{moment},v1={digits}0"),
            (body, f"{moment},v1="),
            (body, signature),
            (body, moment),
            (body, f"{moment},{moment},{signature}"),
            (body, f"t=,{signature}"),
            (body, f"t=-{int(at)},{signature}"),
            (body, f"t={int(at)}.0,{signature}"),
            (body, f"{moment}{','.join(['', signature] * (MOST_SIGNATURES + 1))}"),
            (body, "".join(chance.choices("t=v1,0 \t;ä", k=chance.randrange(40)))),
            (body, ""),
        ]
    )


async def test_a_thousand_wrong_deliveries(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Of five hundred malformed and five hundred replayed deliveries none is accepted, and nothing is kept of them."""
    chance, now = random.Random(20), time.time()
    for number in range(500):
        body = event(f"bad_{number}")
        answer = await deliver(client, *spoil(chance, body, signed(body, now), now))
        assert answer.status_code == 400, number
    assert await heard(app) == 0
    good = [(event(number), signed(event(number), now - chance.randrange(200))) for number in range(50)]
    for body, header in good:
        assert (await deliver(client, body, header)).status_code == 200
    for _ in range(500):
        assert (await deliver(client, *chance.choice(good))).status_code == 409
    assert await heard(app) == 50


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"id": "", "type": "x", "created": 1}', b'{"id": "e", "type": "x"}', b"[" * 9_000]
)
async def test_a_signed_body_that_is_no_event(app: FastAPI, client: httpx.AsyncClient, body: bytes) -> None:
    """A good signature over something else is a 400, and nothing is kept."""
    assert is_problem(await deliver(client, body, signed(body, time.time())), HTTPStatus.BAD_REQUEST)
    assert await heard(app) == 0


async def test_old_signatures_are_forgotten(app: FastAPI, client: httpx.AsyncClient) -> None:
    """What is too old to be accepted again is not kept for ever."""
    await deliver(client, event(1), signed(event(1), time.time()))
    async with app.state.database.begin() as connection:
        await connection.execute(text("UPDATE webhook_signatures SET received_at = '2020-01-01 00:00:00.000000'"))
    await deliver(client, event(2), signed(event(2), time.time()))
    async with app.state.database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM webhook_signatures"))).scalar() == 1
    assert await heard(app) == 2


@given(st.text())
def test_no_header_breaks_it(header: str) -> None:
    """Whatever stands in the header is refused."""
    with pytest.raises(SignatureRefused):
        check_signature(SECRET, header, b"{}", 0.0)


@pytest.mark.parametrize(("away_s", "good"), [(-300, True), (300, True), (-301, False), (301, False)])
def test_the_tolerance(away_s: int, good: bool) -> None:
    """Five minutes in either direction are within it."""
    header = signed(b"{}", 1_000_000)
    if good:
        assert check_signature(SECRET, header, b"{}", 1_000_000 + away_s)
    else:
        with pytest.raises(SignatureRefused, match="another time"):
            check_signature(SECRET, header, b"{}", 1_000_000 + away_s)

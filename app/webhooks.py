"""What a payment service tells: signed as Stripe signs, so that nobody else tells it, and none of it counts twice.

The scheme (https://docs.stripe.com/webhooks#verify-manually): `Stripe-Signature: t=<seconds>,v1=<hex>…`, where a v1 is
the HMAC-SHA256 of `<t>.<body>`. A delivery that was heard is refused when it comes again as it was; the same event in
a new delivery, as after an answer that was lost, is taken and changes nothing.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Request, status
from pydantic import BaseModel, Field, ValidationError

from app.database import Database, get_database, upsert
from app.plans import PlanName
from app.problems import describe_problem
from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

log = logging.getLogger("app.webhooks")

TOLERANCE_S = 300  # as in Stripe's own libraries
KEPT_S = 2 * TOLERANCE_S  # a moment may lie that far ahead, and then holds for that long
SIGNED_AT = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"[0-9a-f]{64}")
MOST_SIGNATURES = 8  # while a secret is changed there are two
PLAN_CHANGED = "subscription.changed"


class SignatureRefused(Exception):
    """A delivery that is not signed as it should be; the message is for the log, and its sender is told nothing."""


class Subscription(BaseModel):
    """What a key is paid for."""

    key_id: str = Field(max_length=16, pattern=r"^[0-9a-f]{16}$")
    plan: PlanName


class Event(BaseModel):
    """An event: of a type that is not known here only the head is read."""

    id: str = Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
    type: str = Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")
    created: int = Field(ge=0, le=253_402_300_799, description="When it happened, in seconds since 1970.")
    data: dict[str, Any] = {}


class Heard(BaseModel):
    """The event was heard; `again` where it was heard before."""

    again: bool


@dataclass(frozen=True)
class Signed:
    """The moment at which a delivery says it was signed, and its signatures."""

    at: int
    signatures: Sequence[str]


def read_header(header: str) -> Signed:
    """Read `t=…,v1=…`; parts of other schemes are passed over.

    Raises:
        SignatureRefused: there is not one moment, or no signature of version 1, or too many.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(moments) != 1 or not SIGNED_AT.fullmatch(moments[0]):
        raise SignatureRefused("no moment")
    if not 1 <= len(signatures) <= MOST_SIGNATURES or not all(map(SIGNATURE.fullmatch, signatures)):
        raise SignatureRefused("no signature")
    return Signed(int(moments[0]), signatures)


def sign(secret: str, at: int, body: bytes) -> str:
    """Give the signature of version 1."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def check_signature(secret: str, header: str, body: bytes, now: float) -> str:
    """Give the signature that a delivery is proven by.

    Raises:
        SignatureRefused: none is right, or it was signed too long ago, or is yet to be.
    """
    signed = read_header(header)
    right = sign(secret, signed.at, body)
    if not any([hmac.compare_digest(right, sent) for sent in signed.signatures]):  # noqa: C419 - all are compared
        raise SignatureRefused("another signature")
    if abs(now - signed.at) > TOLERANCE_S:
        raise SignatureRefused("another time")
    return right


class Webhooks:
    """What was heard, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hear(self, event: Event, signature: str, now: datetime) -> bool | None:
        """Keep an event and do what it says, both or neither.

        Give True where it is new, False where it was heard in another delivery, None for the same delivery again.

        Raises:
            Unavailable: the database does not answer.
            ValidationError: what it says is not what its type asks for.
        """
        from app.tables import webhook_events, webhook_signatures

        digest = bytes.fromhex(signature)
        too_old = webhook_signatures.c.received_at < now - timedelta(seconds=KEPT_S)
        async with self._database.begin() as connection:
            insert = upsert(connection)
            kept = insert(webhook_signatures).values(digest=digest, received_at=now).on_conflict_do_nothing()
            if not (await connection.execute(kept)).rowcount:
                return None
            await connection.execute(webhook_signatures.delete().where(too_old))
            head = {"id": event.id, "type": event.type, "received_at": now}
            new = (await connection.execute(insert(webhook_events).values(**head).on_conflict_do_nothing())).rowcount
            if new and event.type == PLAN_CHANGED:
                await change_plan(connection, Subscription.model_validate(event.data), event.created)
        return bool(new)


async def change_plan(connection: "AsyncConnection", paid: Subscription, at: int) -> None:
    """Put a key on the plan that is paid for, unless it knows better since: events come in any order."""
    from app.tables import api_keys

    known = api_keys.update().where(api_keys.c.id == paid.key_id, api_keys.c.plan_at <= at)
    await connection.execute(known.values(plan=paid.plan, plan_at=at))


router = APIRouter(tags=["webhooks"])


@router.post(
    "/webhooks/payments",
    responses={**describe_problem(400), **describe_problem(404), **describe_problem(409)},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Event.model_json_schema()}}}
    },
)
async def hear_payment(
    request: Request,
    database: Annotated[Database, Depends(get_database)],
    stripe_signature: Annotated[str, Header()] = "",
) -> Heard:
    """Hear what the payment service tells; 400 for what it did not sign, 409 for what was heard already."""
    settings: Settings = request.app.state.settings
    if settings.webhook_secret is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This service hears no webhooks: WEBHOOK_SECRET is not set.")
    body, now = await request.body(), datetime.now(UTC)
    try:
        signature = check_signature(settings.webhook_secret.get_secret_value(), stripe_signature, body, now.timestamp())
        new = await Webhooks(database).hear(Event.model_validate_json(body), signature, now)
    except SignatureRefused as error:
        log.warning("a delivery was refused: %s", error)
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The signature does not hold.") from None
    except ValidationError:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The body is no event.") from None
    if new is None:
        raise HTTPException(status.HTTP_409_CONFLICT, "This delivery was heard already.")
    return Heard(again=not new)

"""How much of its monthly quota a key has used: a number in the database, counted with what it counts or not at all.

It is not in Redis: what is paid for must survive a restart of it, and be taken back with the work that failed.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field

from app.callers import NEEDS_KEY, Admitted, Caller
from app.database import Database, get_database
from app.limits import Allowance, LimitExceeded

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Usage(BaseModel):
    """What a key has used of what its plan allows."""

    plan: str = Field(examples=["free"])
    month: date = Field(description="Its first day, in UTC.")
    quotes_used: int = Field(examples=[17])
    quotes_allowed: int = Field(examples=[100])
    renews_at: AwareDatetime
    requests_per_minute: int = Field(examples=[60])


def first_of_month(now: datetime) -> datetime:
    """Give the moment at which a moment's month began, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(now: datetime) -> datetime:
    """Give the moment at which a moment's month ends, in UTC."""
    return first_of_month(first_of_month(now) + timedelta(days=32))


async def take_one(connection: "AsyncConnection", caller: Caller, now: datetime) -> Allowance:
    """Count one more quote, in the transaction of the connection; another of the same key waits until that ends.

    Raises:
        LimitExceeded: the plan allows no more this month, and nothing was counted.
    """
    from app.database import upsert
    from app.tables import usage

    month, most = first_of_month(now).date(), caller.plan.quotes_per_month
    statement = upsert(connection)(usage).values(key_id=caller.key_id, month=month, used=1)
    counted = statement.on_conflict_do_update(
        index_elements=[usage.c.key_id, usage.c.month], set_={"used": usage.c.used + 1}, where=usage.c.used < most
    ).returning(usage.c.used)
    used: int | None = (await connection.execute(counted)).scalar()
    allowance = _allow(caller, most + 1 if used is None else used, now)
    if used is None:
        raise LimitExceeded([caller.minute, allowance])
    return allowance


def _allow(caller: Caller, used: int, now: datetime) -> Allowance:
    begins, ends = first_of_month(now), next_month(now)
    window_s = int((ends - begins).total_seconds())
    return Allowance("month", caller.plan.quotes_per_month, used, window_s, (ends - now).total_seconds())


async def read_usage(connection: "AsyncConnection", key_id: str, month: date) -> int:
    """Give how many quotes a key has made in a month."""
    from sqlalchemy import select

    from app.tables import usage

    wanted = select(usage.c.used).where(usage.c.key_id == key_id, usage.c.month == month)
    return (await connection.execute(wanted)).scalar() or 0


router = APIRouter(prefix="/api/usage", tags=["quotes"], responses=NEEDS_KEY)


@router.get("")
async def show_usage(caller: Admitted, database: Annotated[Database, Depends(get_database)]) -> Usage:
    """Say how much of its plan the key that asks has used."""
    now = datetime.now(UTC)
    month = first_of_month(now).date()
    async with database.connect() as connection:
        used = await read_usage(connection, caller.key_id, month)
    return Usage(
        plan=caller.plan.name,
        month=month,
        quotes_used=used,
        quotes_allowed=caller.plan.quotes_per_month,
        renews_at=next_month(now),
        requests_per_minute=caller.plan.requests_per_minute,
    )

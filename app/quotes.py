"""Quotes: prices that hold, in the owner's currency. They are what a plan counts."""

import logging
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response, status
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.baskets import Basket, Line, add_up, price
from app.callers import NEEDS_KEY, Admitted, Caller
from app.database import Database
from app.items import LARGEST
from app.limits import Allowance, tell_limits
from app.problems import REFUSED, WrongContent, describe_problem
from app.rates import HOME, Currency, NoRates, Rates, RateTooLate, RateWrong
from app.usage import take_one

if TYPE_CHECKING:
    from sqlalchemy import Row

log = logging.getLogger("app.quotes")


class NewQuote(Basket):
    """What somebody wants, and the currency of the price."""

    currency: Currency = HOME


class Quote(BaseModel):
    """A price that holds."""

    model_config = ConfigDict(frozen=True)

    id: int = Field(examples=[1])
    created_at: AwareDatetime
    currency: Currency
    total_cents: int = Field(description="In hundredths of the currency.", examples=[9900])
    lines: list[Line]


class QuotePage(BaseModel):
    """A part of the list; `next` is the `after` of the next part, null at the end."""

    quotes: list[Quote]
    next: int | None = Field(examples=[20])


class Quotes:
    """The quotes of the database, each of them seen by its owner alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, caller: Caller, new: NewQuote, rate: Decimal) -> tuple[Quote, Allowance]:
        """Keep a quote and count it, both or neither; give what is left of the month, too.

        Raises:
            LimitExceeded: the plan allows no more this month.
            Unavailable: the database does not answer.
            WrongContent: there is no such item.
        """
        from app.tables import quotes

        now = datetime.now(UTC)
        async with self._database.begin() as connection:
            month = await take_one(connection, caller, now)  # first: what writes later finds a file of SQLite locked
            lines = await price(connection, new.lines)
            total = int((add_up(lines) * rate).to_integral_value(ROUND_HALF_UP))
            kept = {"created_at": now, "currency": new.currency, "total_cents": total}
            told = [line.model_dump() for line in lines]
            added = quotes.insert().values(key_id=caller.key_id, lines=told, **kept).returning(quotes.c.id)
            number: int = (await connection.execute(added)).scalar_one()
        return Quote.model_validate({"id": number, "lines": lines, **kept}), month

    async def find(self, key_id: str, number: int) -> Quote | None:
        """Find a quote of this owner.

        Raises:
            Unavailable: the database does not answer.
        """
        from app.tables import quotes

        wanted = quotes.select().where(quotes.c.key_id == key_id, quotes.c.id == number)
        async with self._database.connect() as connection:
            row = (await connection.execute(wanted)).first()
        return _read(row) if row else None

    async def page(self, key_id: str, limit: int, after: int) -> QuotePage:
        """List this owner's quotes, those after the number `after`, the oldest first.

        Raises:
            Unavailable: the database does not answer.
        """
        from app.tables import quotes

        wanted = quotes.select().where(quotes.c.key_id == key_id, quotes.c.id > after).order_by(quotes.c.id)
        async with self._database.connect() as connection:
            found = [_read(row) for row in await connection.execute(wanted.limit(limit + 1))]
        return QuotePage(quotes=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


def _read(row: "Row[Any]") -> Quote:
    told = row._asdict()
    # SQLite keeps no zone; what was written is UTC.
    return Quote.model_validate(told | {"created_at": told["created_at"].replace(tzinfo=UTC)})


async def get_quotes(request: Request) -> Quotes:
    """Give the quotes of the application's database."""
    return Quotes(request.app.state.database)


async def get_rates(request: Request) -> Rates:
    """Give the application's client of the upstream."""
    rates: Rates = request.app.state.rates
    return rates


Store = Annotated[Quotes, Depends(get_quotes)]
router = APIRouter(prefix="/api/quotes", tags=["quotes"], responses={**NEEDS_KEY, **REFUSED})


@router.post("", status_code=status.HTTP_201_CREATED, responses={**describe_problem(502), **describe_problem(504)})
async def create_quote(
    caller: Admitted,
    store: Store,
    rates: Annotated[Rates, Depends(get_rates)],
    new: NewQuote,
    request: Request,
    response: Response,
) -> Quote:
    """Make a quote; the Location header says where it is. Where none is made, none is counted."""
    rate = await _ask(rates, new.currency)  # before the transaction: nobody waits for an upstream with a connection
    quote, month = await store.create(caller, new, rate)
    tell_limits(request, response, [caller.minute, month])
    response.headers["Location"] = f"{router.prefix}/{quote.id}"
    return quote


@router.get("")
async def list_quotes(
    caller: Admitted,
    store: Store,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
) -> QuotePage:
    """List the quotes of the key that asks, a page at a time."""
    return await store.page(caller.key_id, limit, after)


@router.get("/{number}", responses=describe_problem(404))
async def read_quote(caller: Admitted, store: Store, number: Annotated[int, Path(ge=1, le=LARGEST)]) -> Quote:
    """Read one quote of the key that asks."""
    quote = await store.find(caller.key_id, number)
    if quote is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no quote {number}.")
    return quote


async def _ask(rates: Rates, currency: Currency) -> Decimal:
    try:
        return await rates.ask(currency)
    except NoRates:
        raise WrongContent({"body.currency": f"This service has no rates (RATES_URL): {HOME} alone."}) from None
    except RateTooLate as error:
        log.warning("no rate in time: %s", type(error.__cause__).__name__)
        raise HTTPException(status.HTTP_504_GATEWAY_TIMEOUT, "The rates did not come in time.") from None
    except RateWrong as error:
        log.warning("no rate: %s", type(error.__cause__ or error).__name__)
        raise HTTPException(status.HTTP_502_BAD_GATEWAY, "There are no rates at the moment.") from None

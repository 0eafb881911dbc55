"""What somebody wants to buy, and what it costs in euros: for everybody to ask, and nothing is kept of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from app.database import Database, get_database
from app.items import LARGEST
from app.problems import REFUSED, WrongContent

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST_LINES = 50


class Wish(BaseModel):
    """How many of an item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: Annotated[int, Field(strict=True, ge=1, le=LARGEST, examples=[5])]
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000, examples=[2])]


class Line(BaseModel):
    """A wish with the item's name and price."""

    model_config = ConfigDict(frozen=True)

    item_id: int = Field(examples=[5])
    name: str = Field(examples=["Brass lantern"])
    quantity: int = Field(examples=[2])
    price_cents: int = Field(description="For one.", examples=[4950])


class Basket(BaseModel):
    """What somebody wants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lines: Annotated[tuple[Wish, ...], Field(min_length=1, max_length=MOST_LINES)]


class PricedBasket(BaseModel):
    """What it costs."""

    lines: list[Line]
    total_cents: int = Field(description="In euros.", examples=[9900])


async def price(connection: "AsyncConnection", wishes: Sequence[Wish]) -> list[Line]:
    """Look up what each wish is called and costs, by one statement.

    Raises:
        WrongContent: there is no such item.
    """
    from app.tables import items

    wanted = items.select().where(items.c.id.in_({wish.item_id for wish in wishes}))
    found = {row.id: row for row in await connection.execute(wanted)}
    missing = [(place, wish.item_id) for place, wish in enumerate(wishes) if wish.item_id not in found]
    if missing:
        raise WrongContent({f"body.lines.{place}.item_id": f"There is no item {number}." for place, number in missing})
    return [
        Line(
            item_id=wish.item_id,
            name=found[wish.item_id].name,
            quantity=wish.quantity,
            price_cents=found[wish.item_id].price_cents,
        )
        for wish in wishes
    ]


def add_up(lines: Sequence[Line]) -> int:
    """Give the sum in cents."""
    return sum(line.quantity * line.price_cents for line in lines)


Data = Annotated[Database, Depends(get_database)]

router = APIRouter(prefix="/api/prices", tags=["items"], responses=REFUSED)


@router.post("")
async def price_basket(database: Data, basket: Basket) -> PricedBasket:
    """Say what a basket costs; for a price that holds ask for a quote."""
    async with database.connect() as connection:
        lines = await price(connection, basket.lines)
    return PricedBasket(lines=lines, total_cents=add_up(lines))

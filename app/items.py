"""What is sold: the goods of a ship chandler, for everybody to read."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.database import Database
from app.problems import InvalidRequest, describe_problem

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), Field(examples=["Brass lantern"])
]
PriceCents = Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[4950])]


class Item(BaseModel):
    """What the service keeps and answers."""

    model_config = ConfigDict(frozen=True)

    id: int = Field(ge=1, examples=[1])
    name: Name
    price_cents: PriceCents


class ItemPage(BaseModel):
    """A part of the list, and how long all of it is."""

    items: list[Item]
    total: int
    limit: int
    offset: int


LARGEST = 2**53 - 1  # beyond it JSON's numbers are no longer exact for every reader


class Items:
    """The items of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, item_id: int) -> Item | None:
        """Find an item by its id.

        Raises:
            Unavailable: the database does not answer.
        """
        from app.tables import items

        async with self._database.connect() as connection:
            row = (await connection.execute(items.select().where(items.c.id == item_id))).first()
        return Item.model_validate(row._asdict()) if row else None

    async def page(self, limit: int, offset: int) -> ItemPage:
        """List the items from `offset` on, the oldest first.

        Raises:
            Unavailable: the database does not answer.
        """
        from sqlalchemy import func, select

        from app.tables import items

        async with self._database.connect() as connection:
            rows = await connection.execute(items.select().order_by(items.c.id).limit(limit).offset(offset))
            total = (await connection.execute(select(func.count()).select_from(items))).scalar_one()
        found = [Item.model_validate(row._asdict()) for row in rows]
        return ItemPage(items=found, total=total, limit=limit, offset=offset)


async def get_items(request: Request) -> Items:
    """Give the items of the application's database."""
    return Items(request.app.state.database)


Store = Annotated[Items, Depends(get_items)]

router = APIRouter(prefix="/api/items", tags=["items"], responses=describe_problem(422, InvalidRequest))


@router.get("")
async def list_items(
    store: Store,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
) -> ItemPage:
    """List the items, a page at a time."""
    return await store.page(limit, offset)


@router.get("/{item_id}", responses=describe_problem(404))
async def read_item(store: Store, item_id: Annotated[int, Path(ge=1, le=LARGEST)]) -> Item:
    """Read one item."""
    item = await store.find(item_id)
    if item is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no item {item_id}.")
    return item

"""One resource, to have something to serve: the goods of a ship chandler, in memory.

The state is the process's own and bounded: a restart, a second worker or a second instance has another one. What must
outlive a release belongs outside the process.
"""

from collections.abc import Iterable
from itertools import count
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.problems import InvalidRequest, describe_problem

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), Field(examples=["Brass lantern"])
]
PriceCents = Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[4950])]


class NewItem(BaseModel):
    """What a client sends; a misspelt field is refused rather than dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    price_cents: PriceCents


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


SEEDS = (
    NewItem(name="Anchor, 10 kg", price_cents=8900),
    NewItem(name="Anchor chain, 20 m", price_cents=12900),
    NewItem(name="Binnacle compass", price_cents=34500),
    NewItem(name="Boat hook", price_cents=2450),
    NewItem(name="Brass lantern", price_cents=4950),
    NewItem(name="Bronze propeller", price_cents=41000),
    NewItem(name="Caulking iron", price_cents=1890),
    NewItem(name="Chart of the strait", price_cents=3200),
    NewItem(name="Fender", price_cents=1750),
    NewItem(name="Hemp rope, 50 m", price_cents=6400),
    NewItem(name="Life buoy", price_cents=5600),
    NewItem(name="Signal flags", price_cents=7300),
)


class ItemStore:
    """The seeded items, which stay, and the created ones, of which only the newest are kept."""

    def __init__(self, seeds: Iterable[NewItem] = SEEDS, max_created: int = 1_000) -> None:
        self._ids = count(1)
        self._max_created = max_created
        self._seeded = {item.id: item for item in map(self._number, seeds)}
        self._created: dict[int, Item] = {}

    def find(self, item_id: int) -> Item | None:
        """Find an item by its id."""
        return self._seeded.get(item_id) or self._created.get(item_id)

    def page(self, limit: int, offset: int) -> ItemPage:
        """List the items from `offset` on, the oldest first."""
        items = [*self._seeded.values(), *self._created.values()]
        return ItemPage(items=items[offset : offset + limit], total=len(items), limit=limit, offset=offset)

    def create(self, new: NewItem) -> Item:
        """Keep a new item; the oldest created one goes where there would be too many."""
        item = self._number(new)
        self._created[item.id] = item
        if len(self._created) > self._max_created:
            del self._created[next(iter(self._created))]
        return item

    def _number(self, new: NewItem) -> Item:
        return Item(id=next(self._ids), name=new.name, price_cents=new.price_cents)


async def get_store(request: Request) -> ItemStore:
    """Give the store that the application was made with."""
    store: ItemStore = request.app.state.items
    return store


Store = Annotated[ItemStore, Depends(get_store)]

router = APIRouter(prefix="/api/items", tags=["items"], responses=describe_problem(422, InvalidRequest))


@router.get("")
async def list_items(
    store: Store,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> ItemPage:
    """List the items, a page at a time."""
    return store.page(limit, offset)


@router.get("/{item_id}", responses=describe_problem(404))
async def read_item(store: Store, item_id: Annotated[int, Path(ge=1)]) -> Item:
    """Read one item."""
    item = store.find(item_id)
    if item is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no item {item_id}.")
    return item


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_item(store: Store, new: NewItem, response: Response) -> Item:
    """Create an item; the Location header says where it is."""
    item = store.create(new)
    response.headers["Location"] = f"{router.prefix}/{item.id}"
    return item

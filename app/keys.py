"""API keys: issued and revoked by whoever holds ADMIN_TOKEN, shown once, kept as a hash.

A key is `slip_<id>_<secret>`: the id finds its row, the secret proves it. The secret has 256 bits of chance, so that a
plain hash is enough: a slow one is for what people choose. Each request asks the database, so that a revoked key is
refused at once.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response, status
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.admin import admit_admin
from app.database import Database
from app.plans import Plan, PlanName, find_plan
from app.problems import REFUSED, describe_problem

if TYPE_CHECKING:
    from sqlalchemy import Row

KEY = re.compile(r"slip_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$"), Field(examples=["0123456789abcdef"])]


class NewKey(BaseModel):
    """For whom a key is, and what it allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] = Field(
        examples=["Harbour office"]
    )
    plan: PlanName = "free"


class Key(BaseModel):
    """A key, without what proves it."""

    model_config = ConfigDict(frozen=True)

    id: KeyId
    owner: str
    plan: str = Field(examples=["free"])
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None


class IssuedKey(Key):
    """A key on the one occasion when it is shown."""

    key: str = Field(examples=["slip_0123456789abcdef_" + "s" * 43])


class KeyPage(BaseModel):
    """A part of the list; `next` is the `after` of the next part, null at the end."""

    keys: list[Key]
    next: KeyId | None


class Keys:
    """The keys of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, new: NewKey) -> IssuedKey:
        """Make a key, and keep the hash of its secret.

        Raises:
            Unavailable: the database does not answer.
        """
        from app.tables import api_keys

        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        key = Key(id=key_id, owner=new.owner, plan=new.plan, created_at=datetime.now(UTC))
        async with self._database.begin() as connection:
            await connection.execute(api_keys.insert().values(**key.model_dump(), plan_at=0, secret_hash=_hash(secret)))
        return IssuedKey(**key.model_dump(), key=f"slip_{key_id}_{secret}")

    async def page(self, limit: int, after: str) -> KeyPage:
        """List keys by their ids, those after `after`.

        Raises:
            Unavailable: the database does not answer.
        """
        from app.tables import api_keys

        wanted = api_keys.select().where(api_keys.c.id > after).order_by(api_keys.c.id).limit(limit + 1)
        async with self._database.connect() as connection:
            found = [_read(row) for row in await connection.execute(wanted)]
        return KeyPage(keys=found[:limit], next=found[limit - 1].id if len(found) > limit else None)

    async def revoke(self, key_id: str) -> bool:
        """Refuse a key from now on; False where there is no such key. Asked again it changes nothing.

        Raises:
            Unavailable: the database does not answer.
        """
        from sqlalchemy import func

        from app.tables import api_keys

        now = datetime.now(UTC)
        revoked = api_keys.update().where(api_keys.c.id == key_id)
        async with self._database.begin() as connection:
            done = await connection.execute(revoked.values(revoked_at=func.coalesce(api_keys.c.revoked_at, now)))
        return bool(done.rowcount)

    async def find_plan(self, key: str) -> tuple[str, Plan] | None:
        """Give the id and the plan of a key that is good, None for any other.

        Raises:
            Unavailable: the database does not answer.
        """
        from sqlalchemy import select

        from app.tables import api_keys

        parts = KEY.fullmatch(key)
        if not parts:
            return None
        key_id, secret = parts.groups()
        wanted = select(api_keys.c.secret_hash, api_keys.c.plan, api_keys.c.revoked_at).where(api_keys.c.id == key_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(wanted)).first()
        if row is None or not hmac.compare_digest(row.secret_hash, _hash(secret)) or row.revoked_at is not None:
            return None
        return key_id, find_plan(row.plan)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _read(row: "Row[tuple[object, ...]]") -> Key:
    told = row._asdict()
    # SQLite keeps no zone; what was written is UTC.
    moments = {name: told[name] and told[name].replace(tzinfo=UTC) for name in ("created_at", "revoked_at")}
    return Key.model_validate(told | moments)


async def get_keys(request: Request) -> Keys:
    """Give the keys of the application's database."""
    return Keys(request.app.state.database)


Store = Annotated[Keys, Depends(get_keys)]

router = APIRouter(
    prefix="/api/keys",
    tags=["keys"],
    dependencies=[Depends(admit_admin)],
    responses={**describe_problem(401), **describe_problem(403), **REFUSED},
)


@router.post("", status_code=status.HTTP_201_CREATED)
async def issue_key(store: Store, new: NewKey, response: Response) -> IssuedKey:
    """Issue a key: it is shown this once."""
    issued = await store.issue(new)
    response.headers["Cache-Control"] = "no-store"
    return issued


@router.get("")
async def list_keys(
    store: Store,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str, Query(pattern=r"^([0-9a-f]{16})?$")] = "",
) -> KeyPage:
    """List the keys, a page at a time."""
    return await store.page(limit, after)


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT, responses=describe_problem(404))
async def revoke_key(store: Store, key_id: Annotated[KeyId, Path()]) -> None:
    """Revoke a key: it is refused from now on."""
    if not await store.revoke(key_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no key {key_id}.")

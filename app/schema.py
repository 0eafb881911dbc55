"""The schema of the database: which revision it is at, which one this release needs, and how it gets there.

Revisions are counted (0001, 0002, …) in one line, and only ever forward. A migration *expands* first (a new table, a
column that may be empty) and *contracts* in a later release, once nothing that may be rolled back to uses what goes.
So each release works with a newer schema too, and a rollback leaves the database as it is.
"""

import asyncio
import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

FOLDER = Path(__file__).parent / "migrations"
REVISIONS = sorted(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))
NEWEST = REVISIONS[-1]
LOCK = 7_471_966  # any number that all who migrate agree on
LOCK_LIMIT = "5s"  # a change of a table that is in use waits no longer, and holds nobody up that comes after it


def is_enough(found: str | None) -> bool:
    """Whether a schema at this revision, or a newer one that this release does not know, is what the release needs."""
    return found is not None and found >= NEWEST


async def read_revision(connection: "AsyncConnection") -> str | None:
    """Give the revision that the database is at, None where it has never been migrated."""
    from sqlalchemy import inspect, text

    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    revision: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    return revision


def bring_up_to_date(settings: Settings) -> str | None:
    """Migrate to the newest revision, and give the one before; to be called where no event loop runs.

    Several at once do it one after the other. A database that is newer than this release is left alone.
    """
    return asyncio.run(_bring_up_to_date(settings))


async def _bring_up_to_date(settings: Settings) -> str | None:
    from app.database import make_engine

    engine = make_engine(settings, statement_s=None)  # a migration takes as long as it takes
    try:
        with _alone(settings):
            async with engine.connect() as connection:
                before = await read_revision(connection)
            if not is_enough(before):
                async with engine.begin() as connection:
                    await connection.run_sync(_upgrade)
        return before
    finally:
        await engine.dispose()


def _upgrade(connection: "Connection") -> None:
    """Run what is missing, in the transaction that is open: all of it, or nothing."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'"))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER))
    command.upgrade(config, "head")


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Keep other processes of this machine from migrating the same file; PostgreSQL has a lock of its own."""
    if not settings.embedded:
        yield
        return
    file = Path(settings.database.partition(":///")[2])
    with file.with_name(f"{file.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield

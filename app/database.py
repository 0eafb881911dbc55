"""The database: a pool for each process, opened at the start; every wait has a limit, what fails is `Unavailable`.

Where instances come and go with requests (Vercel) there is no pool: each of them would hold connections that nobody
uses. There the URL names a pooler, such as PgBouncer, and a connection lasts for one request. SQLAlchemy is imported
when the database is first used: a function that only answers `/version` does not need it.
"""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # and not all of FastAPI, which the migrations would wait for

from app import schema
from app.checks import CheckFailed
from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Insert = Callable[..., postgresql.Insert] | Callable[..., sqlite.Insert]

log = logging.getLogger("app.database")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.8
KEEP_S = 1800  # then a pooled connection is made anew: proxies on the way drop what is older without a word
# Read-only after a failover; a conflict of transactions; out of memory or connections; a lock not had; a limit or an
# administrator ended it: https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = ("25006", "40", "53", "55P03", "57")
SQLITE = ("PRAGMA journal_mode=WAL", "PRAGMA busy_timeout=5000", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON")


class Unavailable(Exception):
    """The database did not answer, or had no connection to give, within its limits; asking again later may help."""


class Database:
    """The database of one process. `connect` reads, `begin` writes; both give a connection back whatever happens."""

    name = "database"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Bring an embedded schema up to date, make the pool, and fill it; on Vercel that is left to the first use.

        Raises:
            Unavailable: it cannot be reached.
        """
        if self._settings.serverless:
            return  # the first request that needs it makes it
        async with contextlib.AsyncExitStack() as held:
            for _ in range(1 if self._settings.embedded else self._settings.database_pool_size):
                await held.enter_async_context(self.connect())

    async def close(self) -> None:
        """Close every connection."""
        if self._engine:
            await self._engine.dispose()
            self._engine = None

    def connect(self) -> "AbstractAsyncContextManager[AsyncConnection]":
        """Give a connection for reading.

        Raises:
            Unavailable: there was none within the limit, or it was lost.
        """
        return self._lend(lambda engine: engine.connect())

    def begin(self) -> "AbstractAsyncContextManager[AsyncConnection]":
        """Give a connection with a transaction, which is committed at the end of the block, or undone.

        Raises:
            Unavailable: there was none within the limit, or it was lost.
        """
        return self._lend(lambda engine: engine.begin())

    async def check(self) -> None:
        """Ask whether it answers, and whether its schema is at least the one that this release needs.

        Raises:
            CheckFailed: it does not, or the schema is behind.
        """
        if self._engine is None and not self._settings.serverless:
            raise CheckFailed("not open yet")
        try:
            async with self.connect() as connection:
                found = await schema.read_revision(connection)
        except Unavailable:
            raise CheckFailed("unreachable") from None
        if not schema.is_enough(found):
            raise CheckFailed(f"its schema is at {found or 'nothing'}, this release needs {schema.NEWEST}")

    @contextlib.asynccontextmanager
    async def _lend(
        self, take: "Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncConnection]]"
    ) -> "AsyncIterator[AsyncConnection]":
        from sqlalchemy import exc

        engine = await self._get_engine()
        try:
            async with take(engine) as connection:
                yield connection
        except exc.TimeoutError as error:
            raise Unavailable(f"no connection was free within {self._settings.database_wait_s:g} s") from error
        except exc.DBAPIError as error:
            if passes(error):
                raise Unavailable(f"it cannot do that now: {type(error.orig).__name__}") from error
            raise
        except TimeoutError as error:
            raise Unavailable("no answer within a limit") from error
        except _raised_on_connect(self._settings.embedded) as error:
            raise Unavailable(f"no connection: {type(error).__name__}") from error

    async def _get_engine(self) -> "AsyncEngine":
        if self._engine is None:
            async with self._opening:
                if self._engine is None:
                    self._engine = await self._make_engine()
        return self._engine

    async def _make_engine(self) -> "AsyncEngine":
        if self._settings.migrates_on_start:
            try:
                await asyncio.to_thread(schema.bring_up_to_date, self._settings)
            except Exception as error:  # whatever a driver raises
                raise Unavailable(f"the schema is not up to date: {type(error).__name__}") from error
        return make_engine(self._settings, self._settings.database_statement_s)


async def get_database(request: Request) -> Database:
    """Give the application's database."""
    database: Database = request.app.state.database
    return database


def make_engine(settings: Settings, statement_s: float | None) -> "AsyncEngine":
    """Make the engine that the settings ask for; nothing is connected yet. A statement may take `statement_s` seconds.

    An error of it tells the statement, and not with what it was asked: that may be what a client sent.
    """
    from sqlalchemy import event
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    if settings.embedded:
        engine = create_async_engine(
            settings.database,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_wait_s,
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    connect = {"connect_args": connect_arguments(settings, statement_s), "hide_parameters": True}
    if settings.serverless:
        return create_async_engine(settings.database, poolclass=NullPool, **connect)
    return create_async_engine(
        settings.database,
        pool_size=settings.database_pool_size,
        max_overflow=0,  # what is promised to the database is never more
        pool_timeout=settings.database_wait_s,
        pool_pre_ping=True,  # else each connection that a restart of the database cut fails one request
        pool_recycle=KEEP_S,
        pool_use_lifo=True,  # so that what a burst needed can grow old and be closed
        **connect,
    )


def passes(error: "DBAPIError") -> bool:
    """Whether the same may work later: the connection was lost, or the server is in a state that ends."""
    from sqlalchemy import exc

    state = getattr(error.orig, "sqlstate", None) or ""
    return (
        error.connection_invalidated
        or isinstance(error, exc.OperationalError | exc.InterfaceError)
        or state.startswith(PASSING)
    )


def upsert(connection: "AsyncConnection") -> "Insert":
    """Give the `INSERT … ON CONFLICT` of the connection's database, which is not in the standard."""
    from sqlalchemy.dialects import postgresql, sqlite

    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def connect_arguments(settings: Settings, statement_s: float | None) -> dict[str, Any]:
    """Give what each new connection is made with.

    A pooler hands a connection to another client after each transaction, so that nothing may be prepared on it:
    https://docs.sqlalchemy.org/en/20/dialects/postgresql.html#prepared-statement-name-with-pgbouncer
    """
    import asyncpg

    arguments: dict[str, Any] = {
        "async_creator_fn": retrying(asyncpg.connect, settings.database_wait_s),
        "timeout": settings.database_wait_s,
        "command_timeout": statement_s,
    }
    if settings.database_ssl:
        arguments["ssl"] = settings.database_ssl
    if settings.serverless:
        return arguments | {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"__asyncpg_{uuid.uuid4()}__",
        }
    return arguments | {"server_settings": {"application_name": "slipway"}}


def retrying(connect: Callable[..., Awaitable[Any]], limit_s: float) -> Callable[..., Awaitable[Any]]:
    """Let a connection be tried again until `limit_s` seconds have passed, with growing pauses that differ by chance.

    Without the chance all instances come back to a database that has just restarted at the same moments: "full jitter"
    of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """

    async def connect_in_the_end(*args: Any, **words: Any) -> Any:
        async with asyncio.timeout(limit_s):
            for pause_s in pauses():
                try:
                    return await connect(*args, **words)
                except _passing() as error:
                    log.debug("no connection: %s", type(error).__name__)
                    await asyncio.sleep(pause_s)
        raise AssertionError("pauses have no end")

    return connect_in_the_end


def pauses() -> Iterator[float]:
    """Give pauses in seconds without an end: each by chance, below a bound that doubles up to the longest."""
    bound = FIRST_PAUSE_S
    while True:
        yield random.uniform(0, bound)  # noqa: S311 - no secret
        bound = min(bound * 2, LONGEST_PAUSE_S)


def _passing() -> tuple[type[Exception], ...]:
    """Give what a server raises that is not there yet, or has no room now; a wrong password does not pass by itself."""
    import asyncpg

    return (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.PostgresConnectionError)


def _raised_on_connect(embedded: bool) -> tuple[type[Exception], ...]:
    if embedded:
        return (OSError,)
    import asyncpg

    return (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for statement in SQLITE:
        cursor.execute(statement)
    cursor.close()

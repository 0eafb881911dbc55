"""The service on a real PostgreSQL: migrations, a database that goes away, a pool that is too small."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from app.database import Database, Unavailable
from app.schema import NEWEST
from app.settings import Settings
from tests.integration.servers import ADMIN, ROOT, Service, issue_key, migrate, running_service, status, wait_for
from tests.services import GivenPostgres, Postgres

Server = Postgres | GivenPostgres

WITHIN_S = 2.0
POOL = 5  # connections, by default
LONGEST_S = 8.0  # the pool's wait, a new connection's and a statement's limit, one after the other


@pytest.fixture
def service(url: str) -> Iterator[Service]:
    """Run the service on a database that is up to date."""
    migrate(url)
    with running_service(DATABASE_URL=url, ADMIN_TOKEN=ADMIN) as service:
        yield service


def test_a_new_database_is_not_enough(url: str, postgres: Server) -> None:
    """A service on a schema that is behind is alive and not ready, says why, and turns ready once it was migrated."""
    with running_service(until="/health/live", DATABASE_URL=url) as service:
        told = httpx.get(f"{service.url}/health/ready")
        assert (told.status_code, status(service, "/health/live")) == (503, 200)
        wait_for(lambda: "its schema is at nothing" in httpx.get(f"{service.url}/health/ready").text)
        assert f"The schema is at {NEWEST}: migrated, from nothing." in migrate(url)
        assert wait_for(lambda: status(service, "/health/ready") == 200) < WITHIN_S
        assert httpx.get(f"{service.url}/api/items").json()["total"] == 12
    assert "as it was" in migrate(url)


@pytest.mark.slow
def test_migrations_at_the_same_time(url: str, postgres: Server) -> None:
    """Two deploys that migrate at once do it once."""
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(migrate, [url] * 4))
    assert postgres.ask("SELECT count(*) FROM items", url.rpartition("/")[2]) == "12"
    assert len([line for line in told if "from nothing" in line]) >= 1


def test_the_previous_release_works_on_a_newer_schema(url: str, service: Service, postgres: Server) -> None:
    """After a rollback the database is at a revision that the release does not know: it is ready, and serves."""
    name = url.rpartition("/")[2]
    postgres.ask("ALTER TABLE items ADD COLUMN stock integer; UPDATE alembic_version SET version_num = '9999'", name)
    time.sleep(1.1)  # the answer before was shared for a second
    assert status(service, "/health/ready") == 200
    key = issue_key(service.url)
    made = httpx.post(f"{service.url}/api/quotes", json={"lines": [{"item_id": 1, "quantity": 3}]}, headers=key)
    assert made.status_code == 201
    assert httpx.get(service.url + made.headers["Location"], headers=key).json()["total_cents"] == 3 * 8900
    assert "The schema is at 9999: as it was." in migrate(url)


@contextmanager
def gone(postgres: Postgres, how: str) -> Iterator[None]:
    """Let the database be gone for as long as the block."""
    if how == "frozen":
        with postgres.frozen():
            yield
        return
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


class Users:
    """Eight users who ask one after the other, for as long as the block: what they got, and how long they waited."""

    def __init__(self, service: Service) -> None:
        self.statuses: Counter[int] = Counter()
        self.slowest_s = 0.0
        self._url = service.url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._use) for _ in range(8)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _use(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as client:
            while not self._over.wait(0.01):
                began = time.monotonic()
                status = client.get("/api/items/1").status_code
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.statuses[status] += 1


@pytest.mark.parametrize("how", ["stopped", pytest.param("frozen", marks=pytest.mark.slow)])
def test_a_database_that_goes_away(url: str, service: Service, own_postgres: Postgres, how: str) -> None:
    """Gone for 5 s under load: alive all the time, unready within 2 s, ready again within 2 s, no request hangs."""
    with Users(service) as users:
        time.sleep(0.5)
        with gone(own_postgres, how):
            unready_s = wait_for(lambda: status(service, "/health/ready") == 503)
            alive = status(service, "/health/live")
            time.sleep(5 - unready_s)
            alive_at_the_end = status(service, "/health/live")
        ready_s = wait_for(lambda: status(service, "/health/ready") == 200)
        time.sleep(0.5)
    assert (alive, alive_at_the_end) == (200, 200)
    assert unready_s < WITHIN_S
    assert ready_s < WITHIN_S
    assert {200, 503} == users.statuses.keys()
    assert users.slowest_s < LONGEST_S
    assert wait_for(lambda: backends(url, own_postgres) <= POOL) < WITHIN_S
    assert status(service, "/api/items/1") == 200


def lent(database: Database) -> int:
    """How many connections of the pool are in use."""
    engine = database._engine
    assert engine
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def backends(url: str, postgres: Server) -> int:
    """How many connections the database has from the service."""
    return int(
        postgres.ask(
            "SELECT numbackends - 1 FROM pg_stat_database WHERE datname = current_database()", url.rpartition("/")[2]
        )
    )


def test_a_pool_that_is_exhausted_says_so(url: str, postgres: Server) -> None:
    """With every connection lent out a request waits for its limit, is told, and leaves nothing behind."""
    migrate(url)
    settings = Settings(database_url=SecretStr(url), database_pool_size=2, database_wait_s=0.3)

    async def play() -> tuple[float, int, int]:
        database = Database(settings)
        await database.open()
        async with database.connect(), database.begin():
            began = time.monotonic()
            with pytest.raises(Unavailable, match="no connection was free"):
                async with database.connect():
                    pass
            waited_s = time.monotonic() - began
            full = lent(database)
        empty = lent(database)
        async with database.connect():
            pass
        await database.close()
        return waited_s, full, empty

    waited_s, full, empty = asyncio.run(play())
    assert 0.25 < waited_s < 1.5
    assert (full, empty) == (2, 0)


def test_who_gives_up_leaves_no_connection(url: str, postgres: Server) -> None:
    """A request that is cancelled in the middle of a statement gives its connection back."""
    migrate(url)
    settings = Settings(database_url=SecretStr(url), database_pool_size=2)

    async def play() -> int:
        database = Database(settings)
        await database.open()

        async def sleep() -> None:
            async with database.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(60)"))

        tasks = [asyncio.create_task(sleep()) for _ in range(2)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = lent(database)
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1
        await database.close()
        return left

    assert asyncio.run(play()) == 0


def test_without_a_pool_nothing_is_kept(url: str, postgres: Server) -> None:
    """On Vercel a connection lasts for one use, and nothing is prepared on it, as a pooler needs it."""
    migrate(url)
    settings = Settings(database_url=SecretStr(url), vercel=True)

    async def play() -> int:
        database = Database(settings)
        await database.open()
        for _ in range(3):
            async with database.connect() as connection:
                prepared = "SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE '\\_\\_asyncpg\\_%-%'"
                assert (await connection.execute(text(prepared))).scalar() == 0
        left = await asyncio.to_thread(backends, url, postgres)
        await database.close()
        return left

    assert asyncio.run(play()) == 0


def test_a_migration_that_fails_stops_the_deploy() -> None:
    """Where nothing answers the pre-deploy command ends with 1, and tells no address."""
    ran = subprocess.run(
        [sys.executable, "-m", "app.migrate"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/x", "DATABASE_WAIT_S": "0.2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "The database was not migrated" in ran.stderr
    assert "hunter2" not in ran.stderr + ran.stdout

"""Services that several tests share: our own, from the machine's binaries, else those that the environment names.

Where there is neither a test is skipped and says so, and under CI it fails.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.services import (
    GivenPostgres,
    NotHereError,
    Postgres,
    Redis,
    running_pgbouncer,
    running_postgres,
    running_redis,
)


@contextmanager
def running[Server](server: AbstractContextManager[Server]) -> Iterator[Server | NotHereError]:
    """Run a server, or give the reason why there is none."""
    try:
        entered = server.__enter__()
    except NotHereError as error:
        yield error
        return
    try:
        yield entered
    finally:
        server.__exit__(None, None, None)


def missing(error: NotHereError) -> None:
    """End a test that has nothing to run on."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_here() -> Iterator[Postgres | NotHereError]:
    """Run a PostgreSQL server for this run of the tests, where its programs are."""
    with running(running_postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_here() -> Iterator[Redis | NotHereError]:
    """Run a Redis server for this run of the tests, where its program is."""
    with running(running_redis()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(postgres_here: Postgres | NotHereError) -> Postgres | GivenPostgres:
    """Give a PostgreSQL server that can be asked."""
    if isinstance(postgres_here, Postgres):
        return postgres_here
    if not os.environ.get("DATABASE_URL"):
        missing(postgres_here)
    return GivenPostgres(os.environ["DATABASE_URL"])


@pytest.fixture
def url(postgres: Postgres | GivenPostgres) -> Iterator[str]:
    """Give the URL of a new, empty database, which goes again."""
    name = f"slipway_{uuid.uuid4().hex[:12]}"
    postgres.ask(f"CREATE DATABASE {name}")
    yield urlsplit(postgres.url)._replace(path=f"/{name}").geturl()
    postgres.ask(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_postgres(postgres_here: Postgres | NotHereError) -> Postgres:
    """Give a PostgreSQL server that can be stopped and frozen."""
    if not isinstance(postgres_here, Postgres):
        pytest.skip(f"it stops the server, so it needs one of its own: {postgres_here}")
    return postgres_here


@pytest.fixture(scope="session")
def redis_url(redis_here: Redis | NotHereError) -> str:
    """Give the URL of a Redis server."""
    if isinstance(redis_here, Redis):
        return redis_here.url
    if not os.environ.get("REDIS_URL"):
        missing(redis_here)
    return os.environ["REDIS_URL"]


@pytest.fixture
def own_redis(redis_here: Redis | NotHereError) -> Redis:
    """Give a Redis server that can be stopped and frozen."""
    if not isinstance(redis_here, Redis):
        pytest.skip(f"it stops the server, so it needs one of its own: {redis_here}")
    return redis_here


@pytest.fixture(scope="session")
def pooler(postgres_here: Postgres | NotHereError) -> Iterator[str]:
    """Run a pooler with two connections before our own PostgreSQL; give its URL, without a database."""
    if not isinstance(postgres_here, Postgres):
        pytest.skip(f"it needs a server of its own: {postgres_here}")
    with running(running_pgbouncer(postgres_here, connections=2)) as url:
        if isinstance(url, NotHereError):
            pytest.skip(str(url))
        yield url

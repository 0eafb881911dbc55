"""Services that several tests share; where one is not here the test is skipped and says so, under CI it fails."""

import os
from collections.abc import Iterator

import pytest

from tests.services import NotHereError, Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server for this run of the tests."""
    try:
        with running_postgres() as server:
            yield server
    except NotHereError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))

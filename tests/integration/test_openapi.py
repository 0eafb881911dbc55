"""The OpenAPI document against the service, by schemathesis: what it promises holds, and nothing breaks it.

https://schemathesis.readthedocs.io/en/stable/reference/checks/
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.servers import ADMIN, ROOT, Service, forget_rates, issue_key, migrate, running_service
from tests.upstream import running_upstream

SECRET = "webhook-secret-of-the-tests"
# What a request has to be beyond its schema cannot be made up: the number of an item that there is, a signature.
CONFIG = """
[auth.openapi."API key"]
bearer = "${{KEY}}"

[auth.openapi."Admin token"]
bearer = "${{ADMIN}}"

[[operations]]
include-path-regex = "^/(api/prices|api/quotes|webhooks/payments)$"
include-method = "POST"
checks.positive_data_acceptance.enabled = false
"""


@contextmanager
def new_minutes(service: Service) -> Iterator[None]:
    """Begin a new minute every second, so that the limit of a plan does not answer in the service's place."""
    over = threading.Event()

    def forget() -> None:
        while not over.wait(1):
            forget_rates(service)

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(("examples", "cases"), [(30, 500), pytest.param(300, 2_000, marks=pytest.mark.slow)])
def test_the_document_holds(url: str, redis_url: str, tmp_path: Path, examples: int, cases: int) -> None:
    """Right and wrong requests by the thousand: no server error, and no answer that the document does not promise."""
    migrate(url)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format())
    with (
        running_upstream() as rates,
        running_service(
            DATABASE_URL=url, REDIS_URL=redis_url, ADMIN_TOKEN=ADMIN, WEBHOOK_SECRET=SECRET, RATES_URL=rates
        ) as service,
        new_minutes(service),
    ):
        key = issue_key(service.url, "pro")["Authorization"].removeprefix("Bearer ")
        words = ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", "20"]
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run"),
                *(f"{service.url}/openapi.json", "--generation-database", "none", *words),
            ],
            cwd=tmp_path,
            env={"KEY": key, "ADMIN": ADMIN, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]
        generated = re.search(r"(\d+) generated", ran.stdout)
        assert generated, ran.stdout[-1000:]
        sys.stderr.write(f"\n{generated[1]} cases\n")  # seen with -s
        assert int(generated[1]) >= cases
        assert "traceback" not in service.log.read_text()

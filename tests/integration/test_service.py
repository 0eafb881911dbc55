"""The service as Render runs it: a real process, started by the command in render.yaml."""

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.servers import Service, find_listeners, running_service

SHA = "89abcdef0123456789abcdef0123456789abcdef"
STOP_LIMIT_S = 3.0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Run one service for the tests that only ask it."""
    with running_service(RENDER_GIT_COMMIT=SHA, RENDER_INSTANCE_ID="srv-9-abc") as service:
        yield service


def test_the_service_says_which_commit_render_started(service: Service) -> None:
    """The running service reports the commit and the instance that Render gave it, to be stored by nobody."""
    answer = httpx.get(f"{service.url}/version")
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"commit": SHA, "instance": "srv-9-abc"}.items() <= answer.json().items()


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live", "/api/items"])
def test_the_service_answers(service: Service, path: str) -> None:
    """A service that takes connections is ready, and serves."""
    assert httpx.get(service.url + path).status_code == 200


def test_behind_renders_proxy_browsers_are_told_to_stay_with_https(service: Service) -> None:
    """Where the proxy was asked over HTTPS, the answer says that it shall always be so; over HTTP it does not."""
    told = httpx.get(f"{service.url}/version", headers={"X-Forwarded-Proto": "https"})
    assert told.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in httpx.get(f"{service.url}/version").headers


def test_a_cold_function_is_healthy_once_it_answers() -> None:
    """On Vercel the first request makes the database: that takes longer than a check elsewhere, and is no failure."""
    with running_service(until="/health/live", VERCEL="1", RENDER="") as service, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda path: httpx.get(service.url + path, timeout=20), ["/health", "/api/items"] * 4))
    assert {answer.status_code for answer in told} == {200}


def test_another_start_is_another_instance() -> None:
    """Without the platform's instance id, two starts cannot be taken for one."""
    instances = set()
    for _ in range(2):
        with running_service() as service:
            instances.add(httpx.get(f"{service.url}/version").json()["instance"])
    assert len(instances) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's list of listeners is read from /proc")
def test_nothing_listens_beyond_the_machine(service: Service) -> None:
    """With HOST set to the loopback address, the service listens there and nowhere else."""
    tables = {name: Path("/proc/net", name).read_text() for name in ("tcp", "tcp6")}
    assert find_listeners(service.port, tables) == {"127.0.0.1"}


def test_a_service_on_every_address_is_noticed() -> None:
    """The list of listeners has those on every address, of either family, and leaves other ports and states out."""
    head = "  sl  local_address rem_address   st\n"
    every, client, other = "00000000:1F90 0 0A", "0100007F:1F90 0 01", "00000000:1F91 0 0A"
    tables = {"tcp": f"{head}0: {every}\n1: {client}\n2: {other}\n", "tcp6": f"{head}0: {'0' * 32}:1F90 0 0A\n"}
    assert find_listeners(8080, tables) == {"0.0.0.0", "0" * 32}  # noqa: S104 - read here, not bound


def test_the_service_stops_when_told() -> None:
    """SIGTERM ends an idle service within 3 s by its own shutdown, although a client keeps a connection open."""
    with running_service() as service, httpx.Client(base_url=service.url) as client:
        client.get("/version").raise_for_status()
        service.terminate()
        service.process.wait(STOP_LIMIT_S)
        assert ended_by_itself(service)


def ended_by_itself(service: Service) -> bool:
    """Tell whether shutdown ran to its end, after which uvicorn raises the signal that it caught once more."""
    return (
        service.process.returncode in {0, -signal.SIGTERM}
        and "Application shutdown complete." in service.log.read_text()
    )

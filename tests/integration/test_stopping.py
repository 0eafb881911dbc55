"""The service's end, as a real process with one worker and with several: what is in flight, and who waits for it."""

import json
import os
import signal
import socket
import time
from contextlib import closing, suppress

import httpx
import psutil
import pytest

from tests.integration.servers import Service, running_service

STOP_LIMIT_S = 5.0
BODY = b'{"lines": [{"item_id": 5, "quantity": 2}]}'
WORKERS = ["1", "2", pytest.param("4", marks=pytest.mark.slow)]


def begin_request(service: Service) -> socket.socket:
    """Send the head of a request, and read the word that the application waits for its body."""
    client = socket.create_connection(("127.0.0.1", service.port), timeout=STOP_LIMIT_S)
    head = (
        f"POST /api/prices HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
    )
    client.sendall(f"{head}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert client.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return client


def read_to_the_end(client: socket.socket) -> bytes:
    """Read until the service closes the connection."""
    return b"".join(iter(lambda: client.recv(4096), b""))


def family(service: Service) -> list[psutil.Process]:
    """Give every process of the service."""
    parent = psutil.Process(service.process.pid)
    return [parent, *parent.children(recursive=True)]


@pytest.mark.parametrize("workers", WORKERS)
def test_what_is_in_flight_is_finished(workers: str) -> None:
    """At SIGTERM a request that is being served gets its answer, no new one is taken, and no process is left."""
    with running_service(WEB_CONCURRENCY=workers) as service:
        processes = family(service)
        with closing(begin_request(service)) as client:
            service.terminate()
            service.wait_until_closed(STOP_LIMIT_S)
            client.sendall(BODY)
            assert read_to_the_end(client).startswith(b"HTTP/1.1 200 OK\r\n")
        service.process.wait(STOP_LIMIT_S)
        assert psutil.wait_procs(processes, STOP_LIMIT_S)[1] == []
        assert "Application shutdown complete." in service.log.read_text()


@pytest.mark.parametrize("workers", WORKERS)
def test_what_does_not_end_is_given_up(workers: str) -> None:
    """A client that never ends its request holds the service up for the limit, and no longer."""
    with running_service(WEB_CONCURRENCY=workers, SHUTDOWN_LIMIT_S="1") as service, closing(begin_request(service)):
        began = time.monotonic()
        service.terminate()
        service.process.wait(STOP_LIMIT_S)
        assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("workers", WORKERS)
def test_a_second_signal_ends_it(workers: str) -> None:
    """Who asks twice does not wait for what is in flight."""
    with running_service(WEB_CONCURRENCY=workers, SHUTDOWN_LIMIT_S="60") as service, closing(begin_request(service)):
        processes = family(service)
        service.terminate()
        service.wait_until_closed(STOP_LIMIT_S)
        time.sleep(0.3)  # the first one has been dealt with
        service.terminate()
        service.process.wait(STOP_LIMIT_S)
        assert psutil.wait_procs(processes, STOP_LIMIT_S)[1] == []


def test_a_worker_that_dies_is_replaced() -> None:
    """One of two workers may die: the other one serves, and soon there are two again."""
    with running_service(WEB_CONCURRENCY="2") as service:
        before = find_workers(service)
        assert len(before) == 2
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(find_workers(service) - {victim}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert before < find_workers(service)
        assert httpx.get(f"{service.url}/health/live").status_code == 200


def find_workers(service: Service) -> set[int]:
    """Find the processes that answer: not their parent, and not the tracker that Python starts beside them."""
    found = set()
    for process in family(service)[1:]:
        with suppress(psutil.Error):  # it has just ended
            if "spawn_main" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def test_workers_that_cannot_start_are_told_once() -> None:
    """A wrong setting ends the service with its name before a worker is started, and without a traceback."""
    with (
        pytest.raises(RuntimeError, match="did not start") as caught,
        running_service(PORT="none", WEB_CONCURRENCY="2"),
    ):
        pass
    assert "PORT: " in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_at_the_keyboard_leaves_no_traceback(workers: str) -> None:
    """Ctrl-C ends an idle service in order, as a person expects it."""
    with running_service(WEB_CONCURRENCY=workers) as service:
        service.process.send_signal(signal.SIGINT)
        service.process.wait(STOP_LIMIT_S)
        assert "Traceback" not in service.log.read_text()


def test_every_line_of_the_log_is_json() -> None:
    """What the service and its server say is one JSON object a line, from the first to the last."""
    with running_service() as service:
        httpx.get(f"{service.url}/api/items/1", headers={"X-Request-ID": "from-a-proxy-1"})
        service.terminate()
        service.process.wait(STOP_LIMIT_S)
        told = [json.loads(line) for line in service.log.read_text().splitlines()]
    requests = [line for line in told if line["logger"] == "access"]
    assert requests[-1]["request_id"] == "from-a-proxy-1"
    assert {"uvicorn.error", "access"} <= {line["logger"] for line in told}

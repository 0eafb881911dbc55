"""Start the real service as Render does: by the command in render.yaml, in a shell, on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from redis import Redis

from scripts.rehearsal.blueprint import read_blueprint
from tests.services import find_free_port

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
START_LIMIT_S = 30.0
ADMIN = "admin-token-of-the-tests"
LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it


@dataclass(frozen=True)
class Service:
    """A running service: its process, where it listens and where its log is."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    variables: Mapping[str, str]

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    def accepts(self) -> bool:
        """Tell whether a new connection is taken."""
        with socket.socket() as client:
            return client.connect_ex((LOOPBACK, self.port)) == 0

    def terminate(self) -> None:
        """Send the signal that Render sends."""
        self.process.send_signal(signal.SIGTERM)

    def wait_until_closed(self, limit_s: float) -> None:
        """Wait until no new connection is taken."""
        deadline = time.monotonic() + limit_s
        while self.accepts():
            if time.monotonic() > deadline:
                raise TimeoutError(f"port {self.port} was still open after {limit_s} s: {self.log.read_text()}")
            time.sleep(0.02)


def read_web_service() -> Any:
    """Read the web service of render.yaml: the first one, which the rehearsal runs too."""
    services = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    return next(service for service in services if service["type"] == "web")


@contextmanager
def running_service(*, until: str = "/health/ready", **variables: str) -> Iterator[Service]:
    """Run the service with Render's variables and those given, once `until` answers 200; nothing outlives the block.

    Without a DATABASE_URL it has a database of its own.
    """
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", read_web_service()["startCommand"]],
            cwd=ROOT,
            env={
                **make_environment(port),
                "TMPDIR": folder,
                "DATABASE_URL": f"sqlite:///{folder}/it.db",
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        service = Service(process, port, Path(log.name), variables)
        try:
            _wait_until(service, until)
            yield service
        finally:
            _end(process)


def issue_key(url: str, plan: str = "free") -> dict[str, str]:
    """Issue an API key of a service whose ADMIN_TOKEN is ADMIN; give the header that shows it."""
    told = httpx.post(
        f"{url}/api/keys", json={"owner": "A test", "plan": plan}, headers={"Authorization": f"Bearer {ADMIN}"}
    )
    return {"Authorization": f"Bearer {told.raise_for_status().json()['key']}"}


def migrate(url: str) -> str:
    """Run what Render runs before a deploy; give what it says."""
    return subprocess.run(
        [sys.executable, "-m", "app.migrate"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def status(service: Service, path: str) -> int:
    """Ask, over a connection of its own; how it is answered."""
    return httpx.get(service.url + path, timeout=10).status_code


def wait_for(holds: Callable[[], bool], limit_s: float = 10.0) -> float:
    """Wait until something holds; give the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit_s
        time.sleep(0.02)
    return time.monotonic() - began


def forget_rates(service: Service) -> None:
    """Begin a new minute: forget what Redis has counted."""
    client = Redis.from_url(service.variables["REDIS_URL"])
    for name in client.scan_iter("slipway:count:*"):
        client.delete(name)
    client.close()


def make_environment(port: int) -> dict[str, str]:
    """Make what Render sets, render.yaml adds and the rehearsal needs; nothing else of this process's environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    declared = read_blueprint((ROOT / "render.yaml").read_text()).variables
    # The coverage of a subprocess is measured only where it is told to.
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**declared, **coverage, "PATH": path, "RENDER": "true", "HOST": LOOPBACK, "PORT": str(port)}


def find_listeners(port: int, tables: Mapping[str, str]) -> set[str]:
    """Find the addresses that listen on a port, in the kernel's tables of IPv4 and IPv6 sockets as text."""
    found = set()
    for name, table in tables.items():
        for line in table.splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, local_port = local.rpartition(":")
            if state == LISTENING and int(local_port, 16) == port:
                found.add(_to_address(address) if name == "tcp" else address)
    return found


def _to_address(digits: str) -> str:
    return socket.inet_ntop(socket.AF_INET, int(digits, 16).to_bytes(4, sys.byteorder))


def _wait_until(service: Service, path: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and service.process.poll() is None:
        if service.accepts() and httpx.get(service.url + path, timeout=5).status_code == 200:
            return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start within {START_LIMIT_S} s: {service.log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    # The shell may have left a child behind, so the whole session goes.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)

"""A service of twenty lines in a git repository of its own, which starts in a tenth of a second."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.rehearsal.clouds.render import Deploy, Event, Faults, Kind, Overlap, RenderCloud, Times
from scripts.rehearsal.edge import Edge

API_KEY = "rnd_key"
HOOK_KEY = "hook-key"

SERVICE = """
import http.server, json, os, signal, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        status = 500 if self.path == "/health" and os.path.exists("unhealthy") else 200
        time.sleep(float(os.environ.get("DELAY_S", "0")))
        commit = os.environ["RENDER_GIT_COMMIT"]
        body = json.dumps({"commit": commit, "pid": os.getpid(), "env": dict(os.environ)}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

print("pid", os.getpid(), flush=True)

def stop(*_):
    print("SIGTERM", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answer)
server.daemon_threads = True
server.serve_forever()
"""

UNHEALTHY = SERVICE.replace("status = 500 if", "status = 503 if self.path == '/health' else 500 if")

RENDER_YAML = """
services:
  - type: web
    name: tiny
    runtime: python
    buildCommand: {build}
    startCommand: {start}
    preDeployCommand: {prepare}
    healthCheckPath: /health
    envVars:
      - key: PLAIN
        value: plain
      - key: PYTHON_VERSION
        value: 3.13.0
      - key: ASKED_FOR
        sync: false
      - key: DATABASE_URL
        fromDatabase:
          name: tiny
          property: connectionString
"""


@dataclass(frozen=True)
class TinyRepository:
    """A git repository whose commits are whole services."""

    folder: Path

    def commit(
        self,
        message: str,
        *,
        start: str = "python -I service.py",
        build: str = "'true'",
        prepare: str = "",
        requirements: str = "",
        service: str = SERVICE,
    ) -> str:
        """Write a version of the service, commit it and return the full SHA."""
        files = {
            "service.py": service,
            "render.yaml": RENDER_YAML.format(start=start, build=build, prepare=prepare),
            "requirements.txt": requirements,
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
        identity |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
        environment = {"PATH": os.environ["PATH"]} | identity
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def make_repository(folder: Path) -> TinyRepository:
    """Make an empty repository whose branch is main."""
    folder.mkdir()
    repository = TinyRepository(folder)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


QUICK = Times(
    build_overhead_s=0.05,
    build_limit_s=60.0,
    start_limit_s=20.0,
    health_interval_s=0.05,
    health_limit_s=2.0,
    no_traffic_after_s=0.3,
    restart_after_s=0.8,
    drain_s=0.3,
    shutdown_delay_s=0.6,
    wake_s=0.3,
)


@dataclass(frozen=True)
class Tiny:
    """A tiny service on an emulated Render, and what is needed to look at it."""

    repository: TinyRepository
    folder: Path
    edge: Edge
    cloud: RenderCloud
    faults: Faults
    client: httpx.AsyncClient

    async def hook(self, ref: str) -> httpx.Response:
        """Deploy by the hook."""
        return await self.client.post(f"{self.cloud.hook_url}&ref={ref}")

    async def api(self, method: str, path: str = "", **body: str) -> httpx.Response:
        """Call the API below the service."""
        url = f"{self.cloud.api_url}/services/{self.cloud.service_id}{path}"
        headers = {"authorization": f"Bearer {API_KEY}"}
        return await self.client.request(method, url, headers=headers, json=body or None)

    async def deploy(self, commit: str) -> Deploy:
        """Deploy by the hook and wait for the end."""
        return await self.cloud.ended((await self.hook(commit)).json()["deploy"]["id"])

    async def version(self) -> Any:
        """Ask the public URL what it serves."""
        return (await self.client.get(f"{self.edge.url}/version")).json()

    def kinds(self, commit: str | None = None) -> list[Kind]:
        """List the events, of one commit if given."""
        return [event.kind for event in self.cloud.events if commit in {None, event.commit}]

    def events(self, kind: Kind, commit: str) -> list[Event]:
        """List the events of one kind and commit."""
        return [event for event in self.cloud.events if event.kind is kind and event.commit == commit]

    async def until(self, holds: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Wait until something holds; raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not holds():  # noqa: ASYNC110  # what is waited for sets no event
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def tiny_cloud(
    folder: Path,
    *,
    times: Times = QUICK,
    requirements: str = "",
    keep_artifacts: int = 2,
    instances: int = 1,
    overlap: Overlap = Overlap.WAIT,
    reads_per_minute: int | None = None,
) -> AsyncIterator[Tiny]:
    """Serve an empty repository from an emulated Render, below a folder that may already hold the repository."""
    path = folder / "repository"
    repository = TinyRepository(path) if path.exists() else make_repository(path)
    faults = Faults()
    async with (
        Edge() as edge,
        RenderCloud(
            repository=repository.folder,
            folder=folder / "work",
            edge=edge,
            times=times,
            faults=faults,
            api_key=API_KEY,
            hook_key=HOOK_KEY,
            requirements=requirements,
            keep_artifacts=keep_artifacts,
            instances=instances,
            overlap=overlap,
            reads_per_minute=reads_per_minute,
        ) as cloud,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        yield Tiny(repository, folder / "work", edge, cloud, faults, client)


def groups_started(folder: Path) -> list[int]:
    """List the process groups of all instances that ever said their process id."""
    logs = (log.read_text() for log in folder.glob("srv-*.log"))
    return [int(line.split()[1]) for text in logs for line in text.splitlines() if line.startswith("pid ")]


def runs(group: int) -> bool:
    """Tell whether anything of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

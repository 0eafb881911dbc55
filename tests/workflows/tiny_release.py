"""A repository with our pipeline and a service of one file, on an emulated Render: what the workflows are run on.

`.github/`, `scripts/` and what configures the tools are ours, byte for byte. Service and tests are tiny, so that the
checks of a release do not run our whole suite inside itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomli_w

from scripts.rehearsal.changes import Change
from scripts.rehearsal.clone import AUTHOR
from scripts.rehearsal.clouds.render import Deploy, Faults, RenderCloud, Times, Trigger
from scripts.rehearsal.commits import git
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.world import SCALE, rehearsed

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".github", "scripts")
FILES = (
    *(".gitignore", ".python-version", "mypy.ini", "pytest.ini", "ruff.toml", "vercel.json"),
    *("requirements.in", "requirements.txt", "requirements-dev.in", "requirements-dev.txt"),
)
MADE = ("__pycache__", "node_modules")  # below those folders, and in no commit
HOOK_KEY = "hook-key-that-nobody-may-read"
API_KEY = "api-key-that-nobody-may-read"
TOKEN = "token_that_nobody_may_read"  # of the characters that the CLI takes
BYPASS = "bypass-that-nobody-may-read"
SECRETS = (HOOK_KEY, API_KEY, TOKEN, BYPASS)

SERVICE_FILE = "app/main.py"
TEST_FILE = "tests/unit/test_service.py"

# Shorter than a drill's: what is tried here is that the stages follow one another.
SETTINGS = {
    "baseline": {"duration_s": 2.0},
    "bake": {"least_s": 4.0, "most_s": 20.0},
    "probe": {"rate_per_s": 50.0},
    "load": {"users": 5, "duration_s": 3.0, "warmup_s": 1.0},
}

SERVICE = '''"""A service just large enough to be released."""

import asyncio
import itertools
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

BAKED = Path(__file__).with_name("baked_commit.txt")
COMMIT = BAKED.read_text().strip() if BAKED.is_file() else os.environ.get("RENDER_GIT_COMMIT")
WHO = {"commit": COMMIT, "instance": os.environ.get("RENDER_INSTANCE_ID")}
REQUESTS = itertools.count()


def choose_status(path: str, number: int) -> int:
    """Choose how to answer a request."""
    return 200


async def answer(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer every request alike."""
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.002)  # as for a database: an answer in no time would measure the users, not the service
    status = choose_status(scope["path"], next(REQUESTS))
    body = json.dumps({"status": "ready", **WHO}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


app = answer
'''

TEST = '''"""The service."""

import asyncio
from typing import Any

from app.main import answer, choose_status


def test_answers_well() -> None:
    """Every other service would need more than this."""
    assert choose_status("/health/ready", 4) == 200


def test_answers_requests_only() -> None:
    """What is not a request gets no answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(answer({"type": "lifespan"}, receive, send))
    asyncio.run(answer({"type": "http", "path": "/health/ready"}, receive, send))
    assert [message.get("status") for message in sent] == [200, None]
'''

IT_TEST_FILE = "tests/integration/test_service.py"
IT_TEST = '''"""The service and the platform's file."""

from pathlib import Path

from app.main import WHO


def test_is_started_as_the_platform_does() -> None:
    """The file that the platform reads names the service."""
    assert "app.main:app" in Path("render.yaml").read_text()
    assert set(WHO) == {"commit", "instance"}
'''

LOAD_FILE = "tests/load/locustfile.py"
LOAD = '''"""Users of the tiny service."""

from locust import FastHttpUser, constant, task


class Reader(FastHttpUser):
    """Reads, again and again."""

    wait_time = constant(0.05)

    @task
    def read(self) -> None:
        """Read the items."""
        self.client.get("/api/items?limit=5", name="/api/items")
'''

# A user's own would name checks, limits and commands that the tiny service does not keep or have.
SLIPWAY_TOML = """
version = 1
[[checks]]
name = "ready"
path = "/health/ready"
expect = { status = "ready" }
[[checks]]
name = "items"
path = "/api/items?limit=5"
"""
RENDER_YAML = """
services:
  - type: web
    name: tiny
    runtime: python
    plan: free
    region: frankfurt
    autoDeployTrigger: "off"
    buildCommand: "pip install --require-hashes --only-binary :all: -r requirements.txt"
    startCommand: >-
      exec uvicorn app.main:app --host "${HOST:-0.0.0.0}" --port "$PORT"
      --timeout-graceful-shutdown 20 --timeout-keep-alive 120
    healthCheckPath: /health/ready
    envVars:
      - key: PYTHON_VERSION
        value: 3.13.14
      - key: WEB_CONCURRENCY
        value: "1"
"""

PACKAGE = '"""The service."""\n'
COVERAGE = "[run]\nsource = app\nbranch = true\n"
WRITTEN = {
    "app/__init__.py": PACKAGE,
    SERVICE_FILE: SERVICE,
    TEST_FILE: TEST,
    IT_TEST_FILE: IT_TEST,
    LOAD_FILE: LOAD,
    ".coveragerc": COVERAGE,
    "render.yaml": RENDER_YAML,
    "slipway.toml": SLIPWAY_TOML,
}


@dataclass(frozen=True)
class Tiny:
    """The repository, the platform that it is connected to, and the commit that serves."""

    folder: Path
    edge: Edge
    cloud: RenderCloud
    baseline: str

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that the workflows ask for."""
        return {"RENDER_DEPLOY_HOOK_URL": self.cloud.hook_url, "RENDER_API_KEY": API_KEY}

    @property
    def asked_for(self) -> list[tuple[Trigger, str]]:
        """What made the platform deploy, and which commit, since the baseline."""
        deploys: tuple[Deploy, ...] = self.cloud.deploys[1:]
        return [(deploy.trigger, deploy.commit.sha) for deploy in deploys]

    async def commit(self, name: str, change: Change) -> str:
        """Commit a changed file on top; give the full SHA."""
        path = self.folder / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return await _commit(self.folder, "A change")

    async def blobs(self, commit: str) -> dict[str, str]:
        """Give the id of each file's content below the folders that are ours, in a commit."""
        listed = await git("-C", str(self.folder), "ls-tree", "-r", commit, *FOLDERS)
        rows = [line.split("\t") for line in listed.splitlines()]
        return {path: told.split()[2] for told, path in rows}


@contextlib.asynccontextmanager
async def tiny_release(folder: Path, more: Mapping[str, Any] = MappingProxyType({})) -> AsyncIterator[Tiny]:
    """Make the repository below a folder, and bring its first commit up; `more` is for its slipway.toml."""
    repository = folder / "repository"
    _write(repository)
    async with (
        Edge() as edge,
        RenderCloud(
            repository=repository,
            folder=folder / "render",
            edge=edge,
            times=Times().scaled(SCALE),
            faults=Faults(),
            api_key=API_KEY,
            hook_key=HOOK_KEY,
            requirements=(ROOT / "requirements.txt").read_text(encoding="utf-8"),
        ) as cloud,
    ):
        path = repository / "slipway.toml"
        table = {**rehearsed(path, edge.url, cloud.api_url, SETTINGS), **more}
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        await git("init", "--quiet", "--initial-branch=main", str(repository))
        await git("-C", str(repository), "config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub allows it
        baseline = await _commit(repository, "The tiny service")
        await cloud.first_deploy(baseline)
        yield Tiny(repository, edge, cloud, baseline)


def _write(repository: Path) -> None:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns(*MADE))
    for name in FILES:
        shutil.copy(ROOT / name, repository / name)
    for name, text in WRITTEN.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")


async def _commit(repository: Path, message: str) -> str:
    await git("-C", str(repository), "add", "--all")
    await git("-C", str(repository), *AUTHOR, "commit", "--quiet", "--message", message)
    return (await git("-C", str(repository), "rev-parse", "HEAD")).strip()


def our_blobs() -> dict[str, str]:
    """Give what `Tiny.blobs` must be."""
    return {str(path.relative_to(ROOT)): _blob(path) for name in FOLDERS for path in _files(ROOT / name)}


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in folder.walk():
        folders[:] = [name for name in folders if name not in MADE]
        yield from (parent / name for name in names if name not in MADE)  # a link to such a folder is no folder


def _blob(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

"""A deployment of one static file on an emulated Vercel, by its API or by the real CLI behind the guard."""

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.errors import ConfigError
from scripts.platforms.vercel_cli import Ended, cli_environment, find_cli, run_cli
from scripts.rehearsal.clouds.vercel import Deployment, Kind, Plan, VercelCloud, VercelFaults, VercelTimes
from scripts.rehearsal.edge import Edge

ROOT = Path(__file__).parents[2]
GUARD = ROOT / "scripts" / "rehearsal" / "loopback_only.cjs"
TOKEN = "vtok"
BYPASS = "bypass-secret"
OLD, NEW = "a" * 40, "b" * 40

QUICK = VercelTimes(
    queued_s=0.02,
    build_s=0.05,
    job_pending_s=0.02,
    job_s=0.1,
    function_start_limit_s=20.0,
    function_answer_limit_s=20.0,
    function_idle_s=60.0,
)


def write_output(folder: Path, commit: str, **config: Any) -> Path:
    """Write a `.vercel/output` with one static file, `version`, and return it."""
    output = folder / ".vercel" / "output"
    (output / "static").mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(json.dumps({"version": 3, **config}))
    (output / "static" / "version").write_text(json.dumps({"commit": commit}))
    return output


@dataclass(frozen=True)
class TinyVercel:
    """An emulated Vercel, and what is needed to look at it."""

    folder: Path
    edge: Edge
    cloud: VercelCloud
    client: httpx.AsyncClient

    async def api(
        self, method: str, path: str, *, team: str | None = None, token: str = TOKEN, **given: Any
    ) -> httpx.Response:
        """Call the API."""
        query = {"teamId": self.cloud.settings.org_id if team is None else team, **given.pop("params", {})}
        headers = {"authorization": f"Bearer {token}", **given.pop("headers", {})}
        url = f"{self.cloud.api_url}{path}"
        return await self.client.request(method, url, params=query, headers=headers, **given)

    async def upload(self, content: bytes, *, sha1: str = "", size: int | None = None) -> httpx.Response:
        """Upload a file."""
        size = len(content) if size is None else size
        headers = {"x-now-digest": sha1 or sha1_of(content), "x-now-size": str(size)}
        return await self.api("POST", "/v2/files", headers=headers, content=content)

    async def create(self, files: Mapping[str, bytes], commit: str = NEW, **body: Any) -> httpx.Response:
        """Ask for a deployment of files that are uploaded, or not yet."""
        listed = [{"file": name, "sha": sha1_of(data), "size": len(data)} for name, data in files.items()]
        wanted = {
            "name": "rehearsal",
            "target": "production",
            "autoAssignCustomDomains": False,
            "files": listed,
            "meta": {"slipwayCommit": commit},
            **body,
        }
        return await self.api("POST", "/v13/deployments", params={"prebuilt": "1"}, json=wanted)

    async def deploy(self, commit: str = NEW, **body: Any) -> Deployment:
        """Upload and deploy one static file, and wait for the end."""
        output = write_output(self.folder / commit[:8], commit)
        root = output.parents[1]
        files = {str(path.relative_to(root)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
        for content in files.values():
            assert (await self.upload(content)).status_code == 200
        created = await self.create(files, commit, **body)
        assert created.status_code == 200, created.text
        ended = await self.cloud.ended(created.json()["id"])
        await self.until(lambda: self.find(ended.id).aliased_at is not None or self.cloud.faults != VercelFaults())
        return self.find(ended.id)

    async def move(self, verb: str, deployment: Deployment) -> httpx.Response:
        """Promote or roll back, and wait for the end of the job if one was begun."""
        version = "v10" if verb == "promote" else "v9"
        path = f"/{version}/projects/{self.cloud.settings.project_id}/{verb}/{deployment.id}"
        before = len(self.cloud.jobs)
        answer = await self.api("POST", path, json={})
        if len(self.cloud.jobs) > before:
            await self.until(lambda: self.cloud.jobs[-1].ended_s is not None)
        return answer

    async def first(self, commit: str = OLD) -> Deployment:
        """Bring the first release up."""
        return await self.cloud.first_deploy(write_output(self.folder / "first", commit), commit)

    def find(self, deployment_id: str) -> Deployment:
        """Find a deployment as it is now."""
        return next(row for row in self.cloud.deployments if row.id == deployment_id)

    async def project(self) -> Any:
        """Ask the API for the project."""
        return (await self.api("GET", f"/v9/projects/{self.cloud.settings.project_id}")).json()

    async def version(self, host: str = "", **headers: str) -> Any:
        """Ask a host, by default the production domain, which commit it serves."""
        url = f"http://{host}" if host else self.edge.url
        return (await self.client.get(f"{url}/version", headers=headers)).json()["commit"]

    def kinds(self, commit: str) -> list[Kind]:
        """List the kinds of the events of a commit."""
        return [event.kind for event in self.cloud.events if event.commit == commit]

    async def until(self, holds: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Wait until something holds; raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not holds():  # noqa: ASYNC110  # what is waited for sets no event
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def tiny_vercel(
    folder: Path,
    *,
    faults: VercelFaults | None = None,
    plan: Plan = Plan.PRO,
    bypass: str | None = None,
    times: VercelTimes = QUICK,
    most_functions: int = 6,
) -> AsyncIterator[TinyVercel]:
    """Serve an empty project from an emulated Vercel."""
    async with (
        Edge() as edge,
        VercelCloud(
            folder=folder / "cloud",
            edge=edge,
            times=times,
            faults=faults or VercelFaults(),
            token=TOKEN,
            plan=plan,
            bypass=bypass,
            most_functions=most_functions,
        ) as cloud,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        yield TinyVercel(folder, edge, cloud, client)


@dataclass(frozen=True)
class Cli:
    """The real CLI, pointed at an emulated Vercel and held back by the guard."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    team: str

    async def run(self, *words: str, limit_s: float = 60.0) -> Ended:
        """Run one command in the folder that holds the deployment."""
        given = (*words, "--scope", self.team)
        return await asyncio.to_thread(
            run_cli, self.command, given, folder=self.folder, environment=self.environment, limit_s=limit_s
        )

    async def deploy(self, *more: str, limit_s: float = 60.0) -> Ended:
        """Deploy what is in the folder, without the production domain."""
        meta = ("--meta", f"slipwayCommit={NEW}")
        words = ("deploy", "--prebuilt", "--prod", "--skip-domain", "--archive=tgz", *meta)
        return await self.run(*words, *more, limit_s=limit_s)


def real_cli(tiny: TinyVercel, *, token: str = TOKEN, api_url: str = "") -> Cli:
    """Find the pinned CLI and set it up for a cloud; skips the test where it is not installed."""
    settings = tiny.cloud.settings
    home, work = tiny.folder / "home", tiny.folder / "work"
    home.mkdir()
    environment = cli_environment(os.environ, home, api_url or tiny.cloud.api_url)
    write_output(work, NEW)
    return Cli(
        command(),
        environment
        | {"NODE_OPTIONS": f"--require={GUARD}", "VERCEL_TOKEN": token}
        | {"VERCEL_ORG_ID": settings.org_id, "VERCEL_PROJECT_ID": settings.project_id},
        work,
        settings.team,
    )


def command() -> tuple[str, ...]:
    """Give Node and the pinned CLI; skips the test where they are not installed."""
    try:
        return find_cli(ROOT / ".github" / "vercel-cli", os.environ)
    except ConfigError as error:
        pytest.skip(error.what)


def sha1_of(content: bytes) -> str:
    """Name a content as the CLI does."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()

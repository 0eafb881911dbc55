"""A small Vercel for the adapter's tests: a project whose domain moves as a test says, and a CLI that does as told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scripts.platforms.vercel_cli import Ended
from scripts.release import Sha
from tests.unit.fakes import FakeClock

TOKEN, BYPASS = "vtok_aB3xYz9Q", "byp_5Zq8wKx1"
OLDER, OLD, NEW = Sha("c" * 40), Sha("b" * 40), Sha("a" * 40)
DOMAIN = "api.example.com"
PROJECT = "/v9/projects/prj_1"
CREATED_MS = 1_772_600_767_000
OK = Ended(0, "", "Vercel CLI 60.1.3 (Node.js 20)\n")
REFUSED = Ended(1, "", "Vercel CLI 60.1.3 (Node.js 20)\n> Fetching it\nFetching it\nError: cannot now (409)\n")
KILLED = Ended(None, "", "")

Answer = Callable[[httpx.Request], httpx.Response | None]


def row(name: str = "dpl_new", commit: str = NEW, **keys: object) -> dict[str, object]:
    """Make a deployment as `GET /v13/deployments/<id>` gives it."""
    return {
        "id": name,
        "url": f"{name.replace('_', '-')}.vercel.app",
        "readyState": "READY",
        "readySubstate": "STAGED",
        "createdAt": CREATED_MS,
        "meta": {"slipwayCommit": commit, "slipwayBytes": "4096"},
        "projectId": "prj_1",
        "target": "production",
        **keys,
    }


def served(name: str, commit: str, created_ms: int) -> dict[str, object]:
    """Make a deployment that has had production traffic."""
    return row(name, commit, readySubstate="PROMOTED", createdAt=created_ms)


def job(to_id: str, status: str = "succeeded", kind: str = "promote", **keys: object) -> dict[str, object]:
    """Make the last move of a project's domains."""
    return {"toDeploymentId": to_id, "jobStatus": status, "type": kind, "requestedAt": CREATED_MS, **keys}


@dataclass
class Cloud:
    """What the API answers from: deployments newest first, where the domain points, and the project's settings.

    `before` sees every request first and may answer it; `moving` are the steps of time, one for each time that the
    project is read.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    serving: str | None = None
    project: dict[str, object] = field(default_factory=dict)
    before: Answer | None = None
    moving: list[Callable[[], None]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """Method and path of every request, in order."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    @property
    def transport(self) -> httpx.MockTransport:
        """The transport that a client takes."""
        return httpx.MockTransport(self)

    def move(self, **keys: object) -> None:
        """Change the project's last move."""
        last = self.project.get("lastAliasRequest")
        self.project["lastAliasRequest"] = {**(last if isinstance(last, dict) else {}), **keys}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        answer = self.before(request) if self.before else None
        return answer or self._answer(request.url.path)

    def _answer(self, path: str) -> httpx.Response:
        if path == PROJECT:
            if self.moving:
                self.moving.pop(0)()
            return httpx.Response(200, json={"id": "prj_1", "name": "api", **self.project})
        if path == f"/v4/aliases/{DOMAIN}":
            known = self.serving is not None
            return httpx.Response(200, json={"deploymentId": self.serving}) if known else httpx.Response(404, json={})
        if path == "/v6/deployments":
            return httpx.Response(200, json={"deployments": [_listed(each) for each in self.rows]})
        if found := re.fullmatch(r"/v13/deployments/(.+)", path):
            rows = [each for each in self.rows if found[1] in {each["id"], each["url"]}]
            return httpx.Response(200, json=rows[0]) if rows else httpx.Response(404, json={})
        if path.endswith("/aliases"):
            return httpx.Response(200, json={"aliases": [{"alias": {"alias": "www.example.com"}, "status": "failed"}]})
        return httpx.Response(200, json={})


def _listed(deployment: Mapping[str, object]) -> dict[str, object]:
    """Give a deployment as a row of the list: its id and its moment have other names there."""
    others = {name: value for name, value in deployment.items() if name not in {"id", "createdAt"}}
    return {**others, "uid": deployment["id"], "created": deployment.get("createdAt")}


@dataclass(frozen=True)
class Call:
    """One run of the CLI; `files` are what its folder held."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    added: Mapping[str, str]
    limit_s: float


@dataclass
class Cli:
    """A CLI that takes time, does what a test says to the cloud, and ends as it says, true or not."""

    clock: FakeClock
    ended: Ended = OK
    act: Callable[[], None] = lambda: None
    takes_s: float = 2.0
    calls: list[Call] = field(default_factory=list)

    def __call__(self, words: Sequence[str], folder: Path, added: Mapping[str, str], limit_s: float) -> Ended:
        """Run, for as long as it takes or may."""
        files = tuple(sorted(path.name for path in folder.iterdir()))
        self.calls.append(Call(tuple(words), files, dict(added), limit_s))
        self.clock.advance(min(self.takes_s, limit_s))
        self.act()
        return self.ended


@dataclass(frozen=True)
class Bundle:
    """What was built: one file."""

    archive_bytes: int = 4096

    def unpack(self, into: Path) -> None:
        """Write it."""
        (into / "output.txt").write_text("built", encoding="utf-8")

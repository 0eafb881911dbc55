"""Accounts on Render, Vercel and GitHub with the services behind them: all is well until a test changes something."""

from __future__ import annotations

import io
import json
import re
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from scripts.client import Client
from scripts.config import parse
from scripts.console import Console
from scripts.doctor import Doctor, run
from scripts.doctoring.finding import Subject
from scripts.redaction import Redactor, Secret, keys_in_url
from scripts.wiring import Given
from tests.unit.fakes import FakeClock

LIVE = "a" * 40
HOOK_KEY = "hookKey_7Qx"
SECRETS = {
    "RENDER_DEPLOY_HOOK_URL": f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}",
    "RENDER_API_KEY": "rnd_s3cret*Key",
    "VERCEL_TOKEN": "vtok_aB3xYz9Q",
    "VERCEL_AUTOMATION_BYPASS_SECRET": "byp_5Zq8wKx1",
    "GITHUB_TOKEN": "ghs_Tok_en_1",
    "CHECK_TOKEN": "chk_S3cretValue",
}
HIDDEN = (*SECRETS.values(), HOOK_KEY)
RENDER_YAML = """services:
  - type: web
    region: frankfurt # fixed
    healthCheckPath: "/health/ready" # why
"""
SERVICE: dict[str, Any] = {
    "id": "srv-abc123",
    "name": "shop",
    "type": "web_service",
    "repo": "https://github.com/acme/shop",
    "branch": "main",
    "autoDeploy": "no",
    "autoDeployTrigger": "off",
    "suspended": "not_suspended",
    "serviceDetails": {
        "url": "https://shop.onrender.com",
        "healthCheckPath": "/health/ready",
        "numInstances": 1,
        "runtime": "python",
        "plan": "starter",
        "region": "frankfurt",
    },
}
PROJECT: dict[str, Any] = {
    "id": "prj_1",
    "name": "shop",
    "accountId": "team_1",
    "framework": "fastapi",
    "autoAssignCustomDomains": True,
    "paused": False,
    "ssoProtection": {"deploymentType": "prod_deployment_urls_and_all_previews"},
    "protectionBypass": {SECRETS["VERCEL_AUTOMATION_BYPASS_SECRET"]: {"scope": "automation-bypass"}},
}
ENVIRONMENT: dict[str, Any] = {
    "protection_rules": [{"id": 1, "type": "branch_policy"}],
    "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
}
CHECKS: list[dict[str, Any]] = [
    {"name": "ready", "path": "/health/ready", "expect": {"status": "ready"}},
    {"name": "items", "path": "/api/items?limit=5", "critical": False},
    {"name": "orders", "path": "/api/orders", "headers": {"Authorization": "Bearer ${CHECK_TOKEN}"}},
]
Reaction = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _pattern(name: str = "main", kind: str = "branch") -> dict[str, Any]:
    return {"id": 7, "name": name, "type": kind}


def _patterns() -> dict[str, Any]:
    return {"total_count": 1, "branch_policies": [_pattern()]}


@dataclass
class World:
    """All that `doctor` can look at. `faults` answer first, for requests whose `host/path` matches their pattern."""

    service: Any = field(default_factory=lambda: _copy(SERVICE))
    deploys: Any = field(
        default_factory=lambda: [{"deploy": {"id": "dep-1", "status": "live", "commit": {"id": LIVE}}, "cursor": "c"}]
    )
    user: Any = field(default_factory=lambda: {"user": {"id": "usr_1", "username": "ann", "billing": {"plan": "pro"}}})
    team: Any = field(default_factory=lambda: {"id": "team_1", "slug": "acme", "billing": {"plan": "pro"}})
    project: Any = field(default_factory=lambda: _copy(PROJECT))
    domain: Any = field(
        default_factory=lambda: {"name": "web.example.com", "projectId": "prj_1", "verified": True, "redirect": None}
    )
    alias: Any = field(default_factory=lambda: {"deploymentId": "dpl_1"})
    rows: Any = field(
        default_factory=lambda: {
            "deployments": [
                {
                    "uid": "dpl_1",
                    "url": "shop-1.vercel.app",
                    "state": "READY",
                    "readySubstate": "PROMOTED",
                    "meta": {"slipwayCommit": LIVE},
                }
            ]
        }
    )
    repository: Any = field(default_factory=lambda: {"full_name": "acme/shop"})
    environments: Any = field(
        default_factory=lambda: {
            "total_count": 2,
            "environments": [
                {"name": "production", **_copy(ENVIRONMENT)},
                {"name": "production-rollback", **_copy(ENVIRONMENT)},
            ],
        }
    )
    policies: dict[str, Any] = field(
        default_factory=lambda: {"production": _patterns(), "production-rollback": _patterns()}
    )
    rules: Any = field(
        default_factory=lambda: [
            {
                "type": "required_status_checks",
                "parameters": {"required_status_checks": [{"context": "checks / required", "integration_id": 15368}]},
            }
        ]
    )
    branch: Any = field(default_factory=lambda: {"name": "main", "protected": True})
    version: Any = field(default_factory=lambda: {"commit": LIVE, "instance": "i-1"})
    version_headers: dict[str, str] = field(default_factory=lambda: {"cache-control": "no-store"})
    secrets: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "GITHUB_REPOSITORY": "acme/shop",
            "SLIPWAY_TARGETS": "render,vercel",
            "SLIPWAY_ENVIRONMENT": "production",
            "GITHUB_ACTIONS": "true",
        }
    )
    config: dict[str, Any] = field(
        default_factory=lambda: {
            "version": 1,
            "release": {"targets": ["render", "vercel"]},
            "render": {"url": "https://shop.onrender.com"},
            "vercel": {
                "url": "https://web.example.com",
                "team": "acme",
                "org_id": "team_1",
                "project_id": "prj_1",
            },
            "checks": _copy(CHECKS),
        }
    )
    render_yaml: str = RENDER_YAML
    vercel_json: str = '{"framework": "fastapi", "git": {"deploymentEnabled": false}}'
    faults: list[tuple[str, Reaction]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    cli: Path = Path("/nonexistent")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; anything but a GET is refused."""
        self.requests.append(request)
        asked = f"{request.url.host}{request.url.path}"
        if request.method != "GET":
            return httpx.Response(405)
        for pattern, reaction in self.faults:
            if re.fullmatch(pattern, asked):
                return self._react(reaction, request)
        if token := TOKENS.get(request.url.host):
            if request.headers.get("authorization") != f"Bearer {SECRETS[token]}":
                return httpx.Response(401, json={"message": f"who is {request.headers.get('authorization')}?"})
            return self._answer_api(asked)
        return self._answer_site(request)

    @staticmethod
    def _react(reaction: Reaction, request: httpx.Request) -> httpx.Response:
        if isinstance(reaction, Exception):
            raise reaction
        if isinstance(reaction, httpx.Response):
            return httpx.Response(reaction.status_code, headers=reaction.headers, content=reaction.content)
        return reaction(request)

    def _answer_api(self, asked: str) -> httpx.Response:
        bodies = {
            "api.render.com/v1/services/srv-abc123": self.service,
            "api.render.com/v1/services/srv-abc123/deploys": self.deploys,
            "api.vercel.com/v2/user": self.user,
            "api.vercel.com/teams/team_1": self.team,
            "api.vercel.com/v9/projects/prj_1": self.project,
            "api.vercel.com/v9/projects/prj_1/domains/web.example.com": self.domain,
            "api.vercel.com/v4/aliases/web.example.com": self.alias,
            "api.vercel.com/v6/deployments": self.rows,
            "api.github.com/repos/acme/shop": self.repository,
            "api.github.com/repos/acme/shop/environments": self.environments,
            "api.github.com/repos/acme/shop/rules/branches/main": self.rules,
            "api.github.com/repos/acme/shop/branches/main": self.branch,
        }
        if found := re.fullmatch(r"api.github.com/repos/acme/shop/environments/(.+)/deployment-branch-policies", asked):
            bodies[asked] = self.policies.get(found[1])
        body = bodies.get(asked)
        if body is None:
            return httpx.Response(404, json={"message": "Not Found"})
        return httpx.Response(200, content=json.dumps(body).encode(errors="surrogatepass"))

    def _answer_site(self, request: httpx.Request) -> httpx.Response:
        """Answer as the service: /orders wants its token, a deployment's own URL the bypass."""
        bypass, own = SECRETS["VERCEL_AUTOMATION_BYPASS_SECRET"], request.url.host.endswith(".vercel.app")
        if own and request.headers.get("x-vercel-protection-bypass") != bypass:
            return httpx.Response(401)
        match request.url.path:
            case "/version":
                return httpx.Response(200, content=json.dumps(self.version), headers=self.version_headers)
            case "/health/ready":
                return httpx.Response(200, json={"status": "ready"})
            case "/api/orders" if request.headers.get("authorization") != f"Bearer {SECRETS['CHECK_TOKEN']}":
                return httpx.Response(401)
            case _:
                return httpx.Response(200, json=[])

    def narrowed(self, area: str) -> World:
        """Leave out what an area has nothing to do with: a run over everything takes its time."""
        self.config["release"]["targets"] = ["vercel" if area == "vercel" else "render"]
        if area != "github":
            self.secrets.pop("GITHUB_TOKEN", None)
        return self

    @property
    def asked(self) -> list[str]:
        """Host and path of every request."""
        return [f"{request.url.host}{request.url.path}" for request in self.requests]


TOKENS = {"api.render.com": "RENDER_API_KEY", "api.vercel.com": "VERCEL_TOKEN", "api.github.com": "GITHUB_TOKEN"}


@dataclass(frozen=True)
class Visit:
    """What one run of `doctor` said."""

    code: int
    findings: dict[str, dict[str, str]]
    out: str
    err: str
    summary: str

    @property
    def unwell(self) -> dict[str, str]:
        """The findings that are not ok, as `area name` and level."""
        return {name: row["level"] for name, row in self.findings.items() if row["level"] != "ok"}

    def unwell_in(self, area: str) -> dict[str, str]:
        """The same, of one area."""
        return only(area, self.unwell)

    @property
    def everything(self) -> str:
        """All that was written anywhere."""
        return self.out + self.err + self.summary


def only(area: str, unwell: dict[str, str]) -> dict[str, str]:
    """Give the findings of one area."""
    return {name: level for name, level in unwell.items() if name.startswith(f"{area} ")}


def visit(world: World, folder: Path, *, as_json: bool = True) -> Visit:
    """Run `doctor` on a world, with its files in a folder."""
    for name, text in (("render.yaml", world.render_yaml), ("vercel.json", world.vercel_json)):
        (folder / name).write_text(text, encoding="utf-8")
    summary = folder / "summary.md"
    summary.write_text("", encoding="utf-8")
    secrets = {name: Secret(value) for name, value in world.secrets.items()}
    out, err = io.StringIO(), io.StringIO()
    given = Given(
        Namespace(json=as_json, config=folder / "slipway.toml"),
        {"GITHUB_STEP_SUMMARY": str(summary), **world.environment},
        parse(world.config),
        secrets,
        Console(Redactor(secrets.values()), actions=True, err=err, out=out),
        Client(world.clock, httpx.MockTransport(world)),
    )
    code = run(Doctor(given, world.clock, world.cli))
    findings = _read(out.getvalue()) if as_json else {}
    seen = Visit(code, findings, out.getvalue(), err.getvalue(), summary.read_text(encoding="utf-8"))
    assert {request.method for request in world.requests} <= {"GET"}
    assert not [key for value in HIDDEN for key in (value, *keys_in_url(value)) if key in seen.everything]
    return seen


def _read(text: str) -> dict[str, dict[str, str]]:
    told = json.loads(text)
    assert told["version"] == 1
    assert told["ok"] is all(row["level"] != "fail" for row in told["findings"])
    rows = {f"{row['area']} {row['name']}": row for row in told["findings"]}
    assert len(rows) == len(told["findings"]), "two findings have one name"
    return rows


@dataclass(frozen=True)
class Change:
    """One thing that is changed in a world where all is well, and what alone is then not ok."""

    name: str
    act: Callable[[World], object]
    unwell: dict[str, str]


def names(subjects: tuple[Subject, ...], area: str) -> set[str]:
    """Give the names of subjects as findings have them; the checks are those of the world."""
    plain = {f"{area} {subject.name}" for subject in subjects if subject.name != "check"}
    checks = {f"{area} check {check['name']}" for check in CHECKS} if len(plain) != len(subjects) else set()
    return plain | checks


def forget(*wanted: str) -> Callable[[World], None]:
    """Take secrets away."""

    def act(world: World) -> None:
        for name in wanted:
            del world.secrets[name]

    return act


def put(field_name: str, *path: str | int, to: Any) -> Callable[[World], None]:
    """Change a value somewhere in a field of the world."""

    def act(world: World) -> None:
        if not path:
            setattr(world, field_name, to)
            return
        inner = getattr(world, field_name)
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to

    return act


def drop(field_name: str, *path: str | int) -> Callable[[World], None]:
    """Take a value out of a field of the world."""

    def act(world: World) -> None:
        inner = getattr(world, field_name)
        for part in path[:-1]:
            inner = inner[part]
        del inner[path[-1]]

    return act


def fault(pattern: str, reaction: Reaction) -> Callable[[World], None]:
    """Let requests be answered otherwise."""
    return lambda world: world.faults.append((pattern, reaction))


def all_of(*acts: Callable[[World], object]) -> Callable[[World], None]:
    """Do several things."""

    def act(world: World) -> None:
        for each in acts:
            each(world)

    return act

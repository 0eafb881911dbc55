"""`doctor` on a Vercel account: every finding, well and not well, and by nothing else."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.doctoring import machine, service, vercel
from tests.unit.fake_accounts import Change, World, all_of, drop, fault, forget, names, only, put, visit

AREA = "vercel"
HOST = "api.vercel.com"
PROJECT = f"{HOST}/v9/projects/prj_1"
SITE = "web.example.com"
TOKEN, BYPASS = "VERCEL_TOKEN", "VERCEL_AUTOMATION_BYPASS_SECRET"
UNASKED = {"vercel platform": "warn"}
NO_FILE = put("vercel_json", to="{}")
OPEN = put("project", "ssoProtection", to=None)
NEW = "b" * 40


def linked(**link: str) -> Any:
    """Connect the project to a repository."""
    return put("project", "link", to={"type": "github", "org": "acme", "repo": "shop", **link})


def first_release(world: World) -> None:
    """Let the production domain point to nothing, and nothing answer."""
    world.alias = None
    world.faults.append((f"{SITE}/.*", httpx.Response(404, json={"error": {"code": "DEPLOYMENT_NOT_FOUND"}})))


def personal(world: World) -> None:
    """Let a person's own account take the place of the team."""
    put("config", "vercel", "org_id", to="usr_1")(world)
    put("config", "vercel", "team", to="ann")(world)
    put("project", "accountId", to="usr_1")(world)


CHANGES = (
    Change("no token", forget(TOKEN), {"vercel token": "fail", **UNASKED}),
    Change("a wrong token", put("secrets", TOKEN, to="vtok_other"), {"vercel token": "fail", **UNASKED}),
    Change("a token of nobody", put("user", to={"user": {}}), {"vercel token": "warn"}),
    Change("Vercel is down", fault(f"{HOST}/.*", httpx.Response(503)), {"vercel api": "fail", **UNASKED}),
    Change("Vercel is silent", fault(f"{HOST}/.*", httpx.ReadTimeout("x")), {"vercel api": "fail", **UNASKED}),
    Change("too many requests", fault(PROJECT, httpx.Response(429)), {"vercel api": "fail", **UNASKED}),
    Change("another slug", put("team", "slug", to="other"), {"vercel team": "fail"}),
    Change("another team", put("team", "id", to="team_2"), {"vercel team": "fail"}),
    Change("no slug", drop("team", "slug"), {"vercel team": "warn"}),
    Change(
        "the team is refused",
        fault(f"{HOST}/teams/.*", httpx.Response(403)),
        {"vercel team": "warn", "vercel plan": "warn"},
    ),
    Change("another person", all_of(personal, put("user", "user", "id", to="usr_2")), {"vercel team": "fail"}),
    Change("hobby", put("team", "billing", "plan", to="hobby"), {"vercel plan": "warn"}),
    Change("another plan", put("team", "billing", "plan", to="free"), {"vercel plan": "warn"}),
    Change("no plan told", drop("team", "billing"), {"vercel plan": "warn"}),
    Change("no project", fault(PROJECT, httpx.Response(404)), {"vercel project": "fail"}),
    Change("a project of others", fault(PROJECT, httpx.Response(403)), {"vercel project": "fail"}),
    Change("another project", put("project", "id", to="prj_2"), {"vercel project": "fail"}),
    Change("another owner", put("project", "accountId", to="team_2"), {"vercel project": "fail"}),
    Change("no owner", drop("project", "accountId"), {"vercel project": "warn"}),
    Change(
        "no framework",
        all_of(put("vercel_json", to='{"git": {"deploymentEnabled": false}}'), put("project", "framework", to=None)),
        {"vercel framework": "fail"},
    ),
    Change(
        "the file wins",
        put("vercel_json", to='{"framework": null, "git": {"deploymentEnabled": false}}'),
        {"vercel framework": "fail"},
    ),
    Change("a connected repository", all_of(NO_FILE, linked()), {"vercel git": "fail"}),
    Change(
        "previews are turned off alone",
        all_of(linked(), put("vercel_json", to='{"git": {"deploymentEnabled": {"dev": false}}}')),
        {"vercel git": "fail"},
    ),
    Change("a broken vercel.json", all_of(put("vercel_json", to="{"), linked()), {"vercel git": "fail"}),
    Change("a strange link", all_of(NO_FILE, put("project", "link", to="acme")), {"vercel git": "warn"}),
    Change(
        "rolling", put("project", "rollingRelease", to={"target": "production"}), {"vercel rolling-releases": "fail"}
    ),
    Change("paused", put("project", "paused", to=True), {"vercel state": "fail"}),
    Change("pinned", put("project", "autoAssignCustomDomains", to=False), {"vercel pin": "warn"}),
    Change("no bypass", forget(BYPASS), {"vercel protection": "fail", "vercel own-url": "fail"}),
    Change(
        "a password and no bypass",
        all_of(OPEN, put("project", "passwordProtection", to={}), forget(BYPASS)),
        {"vercel protection": "fail", "vercel own-url": "fail"},
    ),
    Change(
        "previews are protected alone",
        all_of(
            put("project", "ssoProtection", to={"deploymentType": "preview"}),
            forget(BYPASS),
            fault("shop-1.vercel.app/.*", httpx.Response(200, json={"commit": "a" * 40})),
        ),
        {"vercel protection": "warn"},
    ),
    Change(
        "a bypass of another project",
        put("project", "protectionBypass", to={"someone-elses": {}}),
        {"vercel protection": "fail"},
    ),
    Change("no bypass left", put("project", "protectionBypass", to={}), {"vercel protection": "fail"}),
    Change("bypasses are hidden", drop("project", "protectionBypass"), {"vercel protection": "warn"}),
    Change(
        "users must log in",
        put("project", "ssoProtection", to={"deploymentType": "all"}),
        {"vercel protection": "warn"},
    ),
    Change(
        "a wrong bypass",
        put("secrets", BYPASS, to="byp_other"),
        {"vercel protection": "fail", "vercel own-url": "fail"},
    ),
    Change(
        "an adopted project",
        fault("shop-1.vercel.app/.*", httpx.Response(404)),
        {"vercel own-url": "warn"},
    ),
    Change(
        "a login page",
        fault("shop-1.vercel.app/.*", httpx.Response(302, headers={"location": "https://vercel.com/sso-api"})),
        {"vercel own-url": "fail"},
    ),
    Change("no own url", drop("rows", "deployments", 0, "url"), {"vercel own-url": "warn"}),
    Change("not a domain of it", put("domain", to=None), {"vercel domain": "warn"}),
    Change("unverified", put("domain", "verified", to=False), {"vercel domain": "fail"}),
    Change("redirected", put("domain", "redirect", to="www.example.com"), {"vercel domain": "fail"}),
    Change("of a branch", put("domain", "gitBranch", to="dev"), {"vercel domain": "fail"}),
    Change("of an environment", put("domain", "customEnvironmentId", to="env_1"), {"vercel domain": "fail"}),
    Change("of no project", drop("domain", "projectId"), {"vercel domain": "warn"}),
    Change(
        "a first release",
        first_release,
        {
            "vercel way-back": "warn",
            "vercel version": "warn",
            "vercel check ready": "warn",
            "vercel check items": "warn",
            "vercel check orders": "warn",
        },
    ),
    Change(
        "a domain of others",
        all_of(first_release, put("domain", to=None)),
        {
            "vercel way-back": "warn",
            "vercel domain": "fail",
            "vercel version": "warn",
            "vercel check ready": "warn",
            "vercel check items": "warn",
            "vercel check orders": "warn",
        },
    ),
    Change(
        "deployments are refused",
        fault(f"{HOST}/v6/deployments", httpx.Response(403)),
        {"vercel way-back": "warn", "vercel substate": "warn", **UNASKED},
    ),
    Change(
        "an unknown state",
        put("rows", "deployments", 0, "state", to="MELTING"),
        {"vercel way-back": "warn", "vercel substate": "warn", **UNASKED},
    ),
    Change("no commit told", drop("rows", "deployments", 0, "meta"), {"vercel way-back": "warn", **UNASKED}),
    Change("no substate", drop("rows", "deployments", 0, "readySubstate"), {"vercel substate": "warn"}),
    Change(
        "another commit",
        put("rows", "deployments", 0, "meta", "slipwayCommit", to=NEW),
        {"vercel platform": "fail"},
    ),
    Change("the service is silent", fault(f"{SITE}/version", httpx.Response(500)), {"vercel version": "fail"}),
    Change(
        "no instance ids",
        fault(f"{SITE}/version", httpx.Response(200, json={"commit": "a" * 40}, headers={"cache-control": "no-store"})),
        {"vercel instance-ids": "warn"},
    ),
    Change(
        "cacheable",
        fault(f"{SITE}/version", httpx.Response(200, json={"commit": "a" * 40, "instance": "i"})),
        {"vercel no-store": "warn"},
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the files of every world here."""
    return tmp_path_factory.mktemp("doctor")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_change_is_found(change: Change, folder: Path) -> None:
    """One thing that is wrong is one finding that is not ok, and the exit code follows the worst."""
    world = World().narrowed(AREA)
    change.act(world)
    seen = visit(world, folder)
    assert seen.unwell_in(AREA) == only(AREA, change.unwell)
    assert seen.code == (10 if "fail" in seen.unwell.values() else 0)


def test_every_finding_is_seen_both_ways(folder: Path) -> None:
    """No finding exists that is never well, or that nothing can make unwell; the CLI has tests of its own."""
    known = names(vercel.SUBJECTS, "vercel") | names(service.SUBJECTS, "vercel")
    good = visit(World(), folder)
    assert good.unwell == {}
    assert {name for name in good.findings if name.startswith("vercel ")} == known
    assert {name for change in CHANGES for name in change.unwell if name.startswith("vercel ")} == known


WELL = (
    Change("open, with a bypass that is not needed", OPEN, {}),
    Change("open", all_of(OPEN, forget(BYPASS), fault("shop-1.*", httpx.Response(200, json={"commit": "a" * 40}))), {}),
    Change("never set", all_of(drop("project", "paused"), drop("project", "autoAssignCustomDomains")), {}),
    Change("rolling releases set up, and off", put("project", "rollingRelease", to={"enabled": False}), {}),
    Change("connected, and off in the file", linked(), {}),
    Change(
        "connected, and off for main",
        all_of(
            linked(),
            put("vercel_json", to='{"framework": "fastapi", "git": {"deploymentEnabled": {"main": false}}}'),
        ),
        {},
    ),
    Change(
        "connected, and off in the project",
        all_of(NO_FILE, linked(), put("project", "gitProviderOptions", to={"createDeployments": "disabled"})),
        {},
    ),
    Change("not connected, and no file", NO_FILE, {}),
    Change("a person's own account", personal, {}),
    Change("serving since a hundred deployments", lambda world: aged(world), {}),
)


def aged(world: World) -> None:
    """Let what serves be older than the newest page of deployments."""
    (serving,) = world.rows["deployments"]
    world.rows = {"deployments": [{**serving, "uid": "dpl_2", "readySubstate": "STAGED"}]}
    world.faults.append((f"{HOST}/v13/deployments/dpl_1", httpx.Response(200, json={**serving, "id": "dpl_1"})))


@pytest.mark.parametrize("change", WELL, ids=lambda change: change.name)
def test_what_is_well_another_way(change: Change, folder: Path) -> None:
    """The other ways to set a project up well are well too."""
    world = World().narrowed(AREA)
    change.act(world)
    assert visit(world, folder).unwell_in(AREA) == {}


STRANGE: tuple[Any, ...] = (7, "☃", ["x"], True, False, {"x": 1})
FIELDS: dict[str, tuple[tuple[str | int, ...], frozenset[str]]] = {
    "vercel project": (("project", "id"), frozenset()),
    "vercel framework": (("project", "framework"), frozenset()),
    "vercel rolling-releases": (("project", "rollingRelease"), frozenset()),
    "vercel state": (("project", "paused"), frozenset({"False"})),
    "vercel pin": (("project", "autoAssignCustomDomains"), frozenset({"True"})),
    "vercel git": (("project", "link"), frozenset()),
    "vercel team": (("team", "slug"), frozenset()),
    "vercel domain": (("domain", "projectId"), frozenset()),
    "vercel way-back": (("alias", "deploymentId"), frozenset()),
    "vercel substate": (("rows", "deployments"), frozenset()),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("values", [STRANGE[:2], pytest.param(STRANGE[2:], marks=pytest.mark.slow)], ids=len)
def test_a_strange_value_is_never_well(name: str, values: tuple[Any, ...], folder: Path) -> None:
    """A field of another type than documented is unwell, and nothing breaks."""
    (field_name, *path), fine = FIELDS[name]
    for value in values:
        if repr(value) in fine:
            continue
        world = World(vercel_json="{}").narrowed(AREA)
        put(str(field_name), *path, to=value)(world)
        seen = visit(world, folder)
        assert name in seen.unwell or name not in seen.findings, (name, value)


def test_the_bypass_goes_to_vercel_alone(folder: Path) -> None:
    """The bypass is sent to the project's domain and to the deployment's own URL, and to no other host."""
    world = World()
    visit(world, folder)
    hosts = {request.url.host for request in world.requests if "x-vercel-protection-bypass" in request.headers}
    assert hosts == {SITE, "shop-1.vercel.app"}


def node(folder: Path, version: str) -> str:
    """Make a Node that tells a version, and give the PATH to it."""
    program = folder / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(folder)


def pin(folder: Path, *, installed: str) -> Path:
    """Pin a CLI, and install another version of it or the same."""
    package = folder / "node_modules" / "vercel"
    package.mkdir(parents=True)
    (folder / "package.json").write_text('{"dependencies": {"vercel": "60.1.3"}}')
    (package / "package.json").write_text(f'{{"version": "{installed}", "bin": {{"vercel": "cli.js"}}}}')
    (package / "cli.js").touch()
    return folder


@pytest.mark.parametrize(
    ("version", "installed", "level"),
    [("v20.0.0", "60.1.3", "ok"), ("v19.9.9", "60.1.3", "warn"), ("v22.1.0", "60.1.2", "warn"), ("", "60.1.3", "warn")],
)
def test_the_cli_of_this_machine(version: str, installed: str, level: str, tmp_path: Path) -> None:
    """On a laptop the pinned CLI and a Node that runs it are looked for; without them a warning is all."""
    world = World(cli=pin(tmp_path, installed=installed))
    del world.environment["GITHUB_ACTIONS"]
    world.environment["PATH"] = node(tmp_path, version)
    seen = visit(world.narrowed(AREA), tmp_path)
    assert (seen.findings["vercel cli"]["level"], seen.code) == (level, 0)
    assert [subject.name for subject in machine.SUBJECTS] == ["cli"]


def test_no_node_at_all(tmp_path: Path) -> None:
    """Without Node it is said how to get it."""
    world = World(cli=pin(tmp_path, installed="60.1.3"))
    del world.environment["GITHUB_ACTIONS"]
    world.environment["PATH"] = str(tmp_path / "empty")
    assert "Node" in visit(world.narrowed(AREA), tmp_path).findings["vercel cli"]["says"]
    assert os.environ["PATH"]

"""`doctor` on a Render account and on the service behind it: every finding, well and not well, and by nothing else."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scripts.config import parse
from scripts.doctoring import render, service
from scripts.doctoring.files import find_value, read_blueprint
from scripts.doctoring.reading import host_of
from tests.unit.fake_accounts import (
    HOOK_KEY,
    SERVICE,
    Change,
    World,
    all_of,
    drop,
    fault,
    forget,
    names,
    only,
    put,
    visit,
)

AREA = "render"
API = "api.render.com/v1/services/srv-abc123"
SITE = "shop.onrender.com"
DETAILS = "serviceDetails"
HOOK = "RENDER_DEPLOY_HOOK_URL"
NEW = "b" * 40


def hook(value: str) -> Any:
    """Give another hook."""
    return put("secrets", HOOK, to=value)


def nothing_answers(*, live: bool | None) -> Any:
    """Let the service be silent, where the platform says that something is live, that nothing is, or is not asked."""
    silent = fault(f"{SITE}/.*", httpx.Response(502))
    known = {None: forget("RENDER_API_KEY"), False: put("deploys", to=[]), True: lambda _: None}
    return all_of(silent, known[live])


def answering(*commits: str) -> httpx.Response | Any:
    """Answer /version with one commit after the other, the last one again and again."""
    left = list(commits)

    def react(_: httpx.Request) -> httpx.Response:
        commit = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, json={"commit": commit, "instance": "i"}, headers={"cache-control": "no-store"})

    return react


CHANGES = (
    Change(
        "no hook",
        forget(HOOK),
        {"render hook": "fail", "render key": "warn", "render platform": "warn"},
    ),
    Change(
        "a Blueprint's hook",
        hook(f"https://api.render.com/deploy/exs-abc?key={HOOK_KEY}"),
        {"render hook": "fail", "render key": "warn", "render platform": "warn"},
    ),
    Change(
        "a hook of another host",
        hook(f"https://user:{HOOK_KEY}@evil.example/deploy/srv-abc123?key={HOOK_KEY}"),
        {"render hook": "warn"},
    ),
    Change("no key", forget("RENDER_API_KEY"), {"render key": "warn", "render platform": "warn"}),
    Change(
        "a wrong key",
        put("secrets", "RENDER_API_KEY", to="rnd_other"),
        {"render key": "fail", "render platform": "warn"},
    ),
    Change("a key of another team", put("service", to=None), {"render key": "fail", "render platform": "warn"}),
    Change(
        "another service",
        put("service", "id", to="srv-other"),
        {"render key": "fail", "render platform": "warn"},
    ),
    Change("Render is down", fault(f"{API}.*", httpx.Response(503)), {"render api": "fail", "render platform": "warn"}),
    Change("no answer", fault(f"{API}.*", httpx.ConnectError("no")), {"render api": "fail", "render platform": "warn"}),
    Change(
        "the deploys are down",
        fault(f"{API}/deploys", httpx.Response(500)),
        {"render api": "fail", "render platform": "warn"},
    ),
    Change(
        "the deploys are refused",
        fault(f"{API}/deploys", httpx.Response(403)),
        {"render way-back": "warn", "render platform": "warn"},
    ),
    Change("a worker", put("service", "type", to="background_worker"), {"render type": "fail"}),
    Change("no runtime", drop("service", DETAILS, "runtime"), {"render type": "warn"}),
    Change("a static site", put("service", "type", to="static_site"), {"render type": "fail"}),
    Change("an image service", put("service", DETAILS, "runtime", to="image"), {"render type": "fail"}),
    Change("an image path", put("service", "imagePath", to="docker.io/x"), {"render type": "fail"}),
    Change("suspended", put("service", "suspended", to="suspended"), {"render service": "fail"}),
    Change("suspended or not", put("service", "suspended", to=True), {"render service": "warn"}),
    Change("auto-deploy yes", put("service", "autoDeploy", to="yes"), {"render auto-deploy": "fail"}),
    Change(
        "auto-deploy checksPass", put("service", "autoDeployTrigger", to="checksPass"), {"render auto-deploy": "fail"}
    ),
    Change(
        "auto-deploy not told",
        all_of(drop("service", "autoDeploy"), drop("service", "autoDeployTrigger")),
        {"render auto-deploy": "warn"},
    ),
    Change("no health path", put("service", DETAILS, "healthCheckPath", to=""), {"render health-check": "fail"}),
    Change("no health key", drop("service", DETAILS, "healthCheckPath"), {"render health-check": "warn"}),
    Change("other health path", put("service", DETAILS, "healthCheckPath", to="/up"), {"render health-check": "warn"}),
    Change(
        "a health path that no critical check asks",
        all_of(put("render_yaml", to="region: frankfurt"), put("service", DETAILS, "healthCheckPath", to="/api/items")),
        {"render health-check": "warn"},
    ),
    Change("another region", put("service", DETAILS, "region", to="oregon"), {"render region": "warn"}),
    Change("no render.yaml", put("render_yaml", to=""), {"render region": "warn"}),
    Change("a custom domain", put("service", DETAILS, "url", to="https://x.onrender.com"), {"render url": "warn"}),
    Change("no url", put("service", DETAILS, "url", to="https://["), {"render url": "warn"}),
    Change("free", put("service", DETAILS, "plan", to="free"), {"render plan": "warn"}),
    Change("no plan", drop("service", DETAILS, "plan"), {"render plan": "warn"}),
    Change("two instances", put("service", DETAILS, "numInstances", to=2), {"render instances": "warn"}),
    Change("true instances", put("service", DETAILS, "numInstances", to=True), {"render instances": "warn"}),
    Change("autoscaling", put("service", DETAILS, "autoscaling", to={"enabled": True}), {"render instances": "warn"}),
    Change("another repository", put("service", "repo", to="https://github.com/acme/x"), {"render repository": "fail"}),
    Change("another forge", put("service", "repo", to="https://gitlab.com/acme/shop"), {"render repository": "fail"}),
    Change("no repository", drop("service", "repo"), {"render repository": "warn"}),
    Change(
        "on a laptop",
        drop("environment", "GITHUB_REPOSITORY"),
        {"render repository": "warn", "github token": "warn"},
    ),
    Change("another branch", put("service", "branch", to="develop"), {"render branch": "fail"}),
    Change("no branch", put("service", "branch", to=None), {"render branch": "warn"}),
    Change(
        "nothing live",
        put("deploys", 0, "deploy", "status", to="build_failed"),
        {"render way-back": "warn", "render platform": "warn"},
    ),
    Change(
        "an unknown status",
        put("deploys", 0, "deploy", "status", to="paused"),
        {"render way-back": "warn", "render platform": "warn"},
    ),
    Change(
        "a live image",
        put("deploys", 0, "deploy", "commit", to=None),
        {"render way-back": "warn", "render platform": "warn"},
    ),
    Change("another commit", fault(f"{SITE}/version", answering(NEW)), {"render platform": "fail"}),
    Change(
        "two commits",
        fault(f"{SITE}/version", answering("a" * 40, NEW)),
        {"render platform": "fail", "render version": "warn"},
    ),
    Change(
        "an adopted service",
        fault(f"{SITE}/version", httpx.Response(404)),
        {"render version": "warn"},
    ),
    Change(
        "a short commit",
        fault(f"{SITE}/version", httpx.Response(200, json={"commit": "aaaaaaa"})),
        {"render version": "warn"},
    ),
    Change(
        "a cached answer",
        fault(f"{SITE}/version", httpx.Response(200, json={"commit": "a" * 40}, headers={"age": "60"})),
        {"render version": "fail"},
    ),
    Change(
        "live, and silent",
        nothing_answers(live=True),
        {
            "render version": "fail",
            "render check ready": "fail",
            "render check items": "warn",
            "render check orders": "fail",
        },
    ),
    Change(
        "a first release",
        nothing_answers(live=False),
        {
            "render version": "warn",
            "render way-back": "warn",
            "render check ready": "warn",
            "render check items": "warn",
            "render check orders": "warn",
        },
    ),
    Change(
        "a first release, where the platform itself answers 404",
        all_of(put("deploys", to=[]), fault(f"{SITE}/.*", httpx.Response(404))),
        {
            "render version": "warn",
            "render way-back": "warn",
            "render check ready": "warn",
            "render check items": "warn",
            "render check orders": "warn",
        },
    ),
    Change(
        "a service without /version, and no key",
        all_of(forget("RENDER_API_KEY"), fault(f"{SITE}/(version|health/ready)", httpx.Response(404))),
        {"render key": "warn", "render version": "warn", "render check ready": "fail"},
    ),
    Change(
        "perhaps a first release",
        nothing_answers(live=None),
        {
            "render key": "warn",
            "render version": "warn",
            "render check ready": "warn",
            "render check items": "warn",
            "render check orders": "warn",
        },
    ),
    Change(
        "no instance ids",
        put("version", to={"commit": "a" * 40}),
        {"render instance-ids": "warn", "vercel instance-ids": "warn"},
    ),
    Change("cacheable", put("version_headers", to={}), {"render no-store": "warn", "vercel no-store": "warn"}),
    Change(
        "nearly no-store",
        put("version_headers", to={"cache-control": "no-store-at-all, max-age=0"}),
        {"render no-store": "warn", "vercel no-store": "warn"},
    ),
    Change("a critical check", fault(f"{SITE}/health/ready", httpx.Response(500)), {"render check ready": "fail"}),
    Change(
        "a critical check's body",
        fault(f"{SITE}/health/ready", httpx.Response(200, json={"status": "starting"})),
        {"render check ready": "fail"},
    ),
    Change("another check", fault(f"{SITE}/api/items", httpx.ReadTimeout("slow")), {"render check items": "warn"}),
    Change(
        "a check's secret",
        forget("CHECK_TOKEN"),
        {"render check orders": "fail", "vercel check orders": "fail"},
    ),
    Change(
        "a check that changes something",
        put("config", "checks", 2, "method", to="POST"),
        {"render check orders": "warn", "vercel check orders": "warn"},
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
    for name in seen.unwell:
        assert seen.findings[name]["why"], name
        assert seen.findings[name]["mend"], name


def test_every_finding_is_seen_both_ways(folder: Path) -> None:
    """No finding exists that is never well, or that nothing can make unwell."""
    known = names(render.SUBJECTS, "render") | names(service.SUBJECTS, "render")
    good = visit(World(), folder)
    assert good.unwell == {}
    assert {name for name in good.findings if name.startswith("render ")} == known
    assert {name for change in CHANGES for name in change.unwell if name.startswith("render ")} == known


STRANGE: tuple[Any, ...] = (None, True, 7, 0.5, "☃", "", [], ["x"], {}, {"x": 1})
FIELDS: dict[str, tuple[Any, ...]] = {
    "render type": ("service", "type"),
    "render service": ("service", "suspended"),
    "render health-check": ("service", DETAILS, "healthCheckPath"),
    "render region": ("service", DETAILS, "region"),
    "render url": ("service", DETAILS, "url"),
    "render instances": ("service", DETAILS, "numInstances"),
    "render repository": ("service", "repo"),
    "render branch": ("service", "branch"),
    "render way-back": ("deploys", 0, "deploy"),
    "render key": ("service", "id"),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("values", [STRANGE[:2], pytest.param(STRANGE[2:], marks=pytest.mark.slow)], ids=len)
def test_a_strange_value_is_never_well(name: str, values: tuple[Any, ...], folder: Path) -> None:
    """A field of any other type or value than the expected ones is unwell, and nothing breaks."""
    field_name, *path = FIELDS[name]
    for value in values:
        world = World().narrowed(AREA)
        put(field_name, *path, to=value)(world)
        seen = visit(world, folder)
        assert name in seen.unwell, (name, value)


@pytest.mark.parametrize("value", [None, 7, "x", [], True])
def test_details_of_another_form_are_never_well(value: object, folder: Path) -> None:
    """Where the details are no object, all that is read from them cannot be seen."""
    seen = visit(World(service={**SERVICE, DETAILS: value}).narrowed(AREA), folder)
    unseen = {"render health-check", "render region", "render url", "render plan", "render instances", "render type"}
    assert seen.unwell_in(AREA) == dict.fromkeys(unseen, "warn")


def test_the_service_is_given_time_to_wake(folder: Path) -> None:
    """A service that sleeps may take twenty seconds for its first answer, not the five of a check."""
    world = World()
    limits: list[float] = []

    def react(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=world.version, headers=world.version_headers)

    fault(f"{SITE}/version", react)(world)
    assert visit(world, folder).unwell == {}
    assert limits == [20.0, 20.0, 20.0, 5.0]


def test_fresh_connections_past_every_cache(folder: Path) -> None:
    """/version is asked with a mark of its own each time, so that no cache can have the answer."""
    world = World()
    visit(world, folder)
    marks = [request.url.query for request in world.requests if request.url.host == SITE and request.url.query]
    assert len(set(marks)) == len(marks) >= 3


@pytest.mark.parametrize(
    ("repo", "level"),
    [
        ("https://github.com/acme/shop", "ok"),
        ("https://github.com/Acme/Shop.git", "ok"),
        ("https://github.com/acme/shop/", "ok"),
        ("https://github.com/acme/shopping", "fail"),
        ("https://github.com.evil.example/acme/shop", "fail"),
        ("git@github.com:acme/shop.git", "fail"),
    ],
)
def test_repositories_are_compared_whole(repo: str, level: str, folder: Path) -> None:
    """The same repository in another spelling is the same, and one that only begins alike is not."""
    seen = visit(World(service={**SERVICE, "repo": repo}).narrowed(AREA), folder)
    assert seen.findings["render repository"]["level"] == level


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("region: frankfurt", "frankfurt"),
        ("    region: 'oregon'  # moved", "oregon"),
        ("  - region: ohio", "ohio"),
        ("# region: ohio", ""),
        ("regions: ohio", ""),
        ("region:", ""),
        ("region: ohio\nregion: ohio", "ohio"),
        ("region: ohio\nregion: oregon", ""),
        ("", ""),
    ],
)
def test_render_yaml_by_lines(lines: str, value: str) -> None:
    """A value is found on a line of its own; two different ones are none."""
    assert find_value(lines.splitlines(), "region") == value


def test_the_blueprint_of_this_repository() -> None:
    """The search finds in this repository's render.yaml what YAML finds there, where it says one thing only."""
    root = Path(__file__).parents[2]
    read, found = yaml.safe_load((root / "render.yaml").read_text()), read_blueprint(root)
    rows = [*read["services"], *read.get("databases", [])]
    for value, key in ((found.region, "region"), (found.health_path, "healthCheckPath")):
        said = {row[key] for row in rows if key in row}
        assert value == (said.pop() if len(said) == 1 else "")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Api.Example.com/x", "api.example.com"),
        ("https://user:secret@example.com:8443", "example.com:8443"),
        ("http://[", ""),
        ("https://example.com:99999", ""),
        ("", ""),
    ],
)
def test_hosts_are_told_without_passwords(url: str, host: str) -> None:
    """A host is comparable, and holds neither a password nor an error."""
    assert host_of(url) == host


def test_render_alone(folder: Path) -> None:
    """Where Vercel is no target, it is neither asked nor spoken of."""
    world = World()
    put("config", "release", "targets", to=["render"])(world)
    seen = visit(world, folder)
    assert seen.code == 0
    assert not [name for name in seen.findings if name.startswith("vercel")]
    assert "api.vercel.com" not in {request.url.host for request in world.requests}
    assert parse(world.config).vercel is not None

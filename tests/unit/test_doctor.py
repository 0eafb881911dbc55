"""`doctor` as a whole: what it says and where, that it changes nothing, ends in time, and calls nothing well unseen."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.cli import main
from scripts.doctoring.finding import Finding, Level, Subject, as_json, count, is_well
from scripts.doctoring.reading import ACCOUNT_S, CALL_S
from scripts.doctoring.telling import render_lines, render_markdown, tidy
from scripts.foreign import LONGEST, plain
from scripts.platforms.render import HOOK, KEY
from scripts.platforms.vercel import BYPASS
from scripts.platforms.vercel_api import TOKEN
from scripts.redaction import Redactor, Secret
from tests.rehearsal.contract.beside import beside
from tests.rehearsal.tiny_service import API_KEY, HOOK_KEY, tiny_cloud
from tests.rehearsal.tiny_vercel import TOKEN as TINY_TOKEN
from tests.rehearsal.tiny_vercel import tiny_vercel
from tests.unit.fake_accounts import SECRETS, World, fault, put, visit

RENDER = "api.render.com/v1/services/srv-abc123"
VERCEL = "api.vercel.com"
GITHUB = "api.github.com/repos/acme/shop"
SERVICE = "key type service auto-deploy health-check region url plan instances repository branch way-back platform"
PROJECT = "project framework git rolling-releases state pin protection"
ROWS = "production production-branches production-rollback production-rollback-rules production-rollback-branches"
# What is read from each address, and so cannot be well where it answers anything else.
READ = {
    RENDER: ("render", SERVICE),
    f"{RENDER}/deploys": ("render", "way-back platform"),
    "shop.onrender.com/version": ("render", "version instance-ids no-store platform"),
    "shop.onrender.com/health/ready": ("render", "check_ready"),
    f"{VERCEL}/v2/user": ("vercel", "token"),
    f"{VERCEL}/teams/team_1": ("vercel", "team plan"),
    f"{VERCEL}/v9/projects/prj_1": ("vercel", PROJECT),
    f"{VERCEL}/v9/projects/prj_1/domains/web.example.com": ("vercel", "domain"),
    f"{VERCEL}/v4/aliases/web.example.com": ("vercel", "way-back substate platform own-url"),
    f"{VERCEL}/v6/deployments": ("vercel", "way-back substate platform own-url"),
    "shop-1.vercel.app/version": ("vercel", "own-url"),
    GITHUB: ("github", "token"),
    f"{GITHUB}/environments": ("github", ROWS),
    f"{GITHUB}/environments/production/deployment-branch-policies": ("github", "production-branches"),
    f"{GITHUB}/rules/branches/main": ("github", "required-check"),
}
FAULTS: dict[str, httpx.Response | Exception] = {
    **{str(status): httpx.Response(status, json={"message": "no"}) for status in (302, 400, 401, 403, 404, 429, 500)},
    "silent": httpx.ReadTimeout("slow"),
    "cut off": httpx.RemoteProtocolError("cut"),
    "a page": httpx.Response(200, content=b"<html>maintenance</html>"),
    "empty": httpx.Response(200),
    "null": httpx.Response(200, content=b"null"),
    "a number": httpx.Response(200, content=b"1e999"),
    "a list": httpx.Response(200, content=b"[[], null, 7]"),
    "an object": httpx.Response(200, content=b"{}"),
    "deep": httpx.Response(200, content=b"[" * 100_000),
    "no text": httpx.Response(200, content=b"\xff\xfe{"),
    "huge": httpx.Response(200, content=b" " * (4 * 1024 * 1024 + 1)),
}
QUICK = {"403", "a page", "an object"}


def _cases() -> Iterator[Any]:
    for address in READ:
        for name in FAULTS:
            marks = () if name in QUICK else (pytest.mark.slow,)
            yield pytest.param(address, name, marks=marks, id=f"{address}: {name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the files of every world here."""
    return tmp_path_factory.mktemp("doctor")


@pytest.mark.parametrize(("address", "name"), list(_cases()))
def test_what_cannot_be_seen_is_never_well(address: str, name: str, folder: Path) -> None:
    """Whatever an address answers instead, nothing that is read from it is ok, nothing breaks, and it ends in time."""
    area, read = READ[address]
    world = World().narrowed(area)
    fault(re.escape(address), FAULTS[name])(world)
    seen = visit(world, folder)
    well = {row["name"] for row in seen.findings.values() if row["level"] == "ok" and row["area"] == area}
    assert well.isdisjoint(each.replace("_", " ") for each in read.split())
    assert world.clock.passed_s <= 2 * ACCOUNT_S


def test_all_is_well(folder: Path) -> None:
    """Where everything is set up, there is nothing to mend or to look at, in any of the outputs."""
    seen = visit(World(), folder)
    assert (seen.code, seen.unwell) == (0, {})
    assert "ok     doctor: 0 of 52 must be mended, 0 to look at" in seen.err
    assert "::error" not in seen.err
    assert seen.summary.count("\n| **ok** |") == len(seen.findings) == 52


def test_without_any_secret(folder: Path) -> None:
    """Every secret that is missing is named with the environment that lacks it, and what needs none is looked at."""
    seen = visit(World(secrets={}), folder)
    assert seen.code == 10
    for name in set(SECRETS) - {BYPASS, "GITHUB_TOKEN"}:
        assert [row for row in seen.findings.values() if f"{name} is not set" in row["says"]], name
    told = [row["says"] for row in seen.findings.values() if "is not set" in row["says"]]
    assert all(
        text.endswith("in the environment production") or "in the environment production:" in text for text in told
    )
    assert seen.findings["render version"]["level"] == "ok"
    assert "doctor: render, vercel, in the environment production" in seen.err


def test_without_an_environment(folder: Path) -> None:
    """On a laptop no environment is named."""
    world = World(secrets={})
    del world.environment["SLIPWAY_ENVIRONMENT"]
    seen = visit(world, folder)
    assert "in the environment" not in seen.everything
    assert "doctor: render, vercel\n" in seen.err


def test_one_platform_down_leaves_the_others(folder: Path) -> None:
    """A platform that cannot be reached is one failure, and the other accounts are looked at as ever."""
    good = visit(World(), folder)
    world = World()
    fault(r"api\.render\.com/.*", httpx.ConnectError("no route"))(world)
    seen = visit(world, folder)
    assert seen.unwell == {"render api": "fail", "render platform": "warn"}
    assert "could not be reached" in seen.findings["render api"]["says"]
    others = {name: row for name, row in good.findings.items() if not name.startswith("render ")}
    assert {name: row for name, row in seen.findings.items() if not name.startswith("render ")} == others


@pytest.mark.parametrize("answered", [True, False])
def test_the_time_is_bounded(folder: Path, *, answered: bool) -> None:
    """Where every question takes all the time it may, each account ends within its own."""
    world = World()

    def slow(request: httpx.Request) -> httpx.Response:
        limit_s: float = request.extensions["timeout"]["read"]
        world.clock.advance(limit_s)
        if answered:
            return httpx.Response(503, json={"message": "wait"}, headers={"retry-after": "3600"})
        raise httpx.ReadTimeout("slow")

    fault(".*", slow)(world)
    seen = visit(world, folder)
    assert seen.code == 10
    assert world.clock.passed_s <= 5 * ACCOUNT_S + CALL_S


def test_the_answers_repeat_secrets(folder: Path) -> None:
    """A platform or a service that repeats every secret in its answers gets none of them into any output."""
    leaks = " ".join(SECRETS.values())
    world = World()
    for part in (world.service, world.service["serviceDetails"], world.team, world.project, world.domain):
        part.update({name: f"{'x' * 350}{leaks}" for name, value in part.items() if isinstance(value, str)})
    world.service["id"], world.project["id"] = "srv-abc123", "prj_1"
    world.faults.append((f"{re.escape(GITHUB)}/rules.*", httpx.Response(403, json={"message": "n" * 190 + leaks})))
    world.faults.append((".*/health/ready", httpx.Response(200, json={"status": "s" * 50 + leaks})))
    for wanted in (True, False):
        assert "[redacted]" in visit(replace(world, requests=[]), folder, as_json=wanted).everything


SENT = {
    "api.render.com": ("render", SECRETS[HOOK], SECRETS[KEY]),
    "api.vercel.com": ("vercel", SECRETS[TOKEN], SECRETS[BYPASS]),
    "api.github.com": ("github", SECRETS["GITHUB_TOKEN"]),
    "shop.onrender.com": ("render", SECRETS["CHECK_TOKEN"]),
}


@pytest.mark.parametrize(
    ("status", "step"),
    [(403, 23), *(pytest.param(status, 3, marks=pytest.mark.slow) for status in (200, 401, 403, 503))],
)
def test_no_part_of_a_secret_is_told(status: int, step: int, folder: Path) -> None:
    """What is told of an answer is cut after the secrets that the platform knows are hidden, never inside one."""
    for host, (area, *sent) in SENT.items():
        for length in range(40, 205, step):
            words = "w" * length + " ".join(sent)
            body = {"message": words, "error": {"message": words}, "status": words, "commit": words}
            world = World(faults=[(f"{re.escape(host)}/.*", httpx.Response(status, json=body))])
            told = visit(world.narrowed(area), folder).everything
            assert "www" in told or status == 200 or not host.startswith("api.")
            parts = [value.partition("?key=")[2] or value for value in sent]
            assert not [part for part in parts if part[:6] in told], (host, length)


EVIL = "a|b\n::error::x\r##[error]y `code` **bold** <script>z</script> [l](https://evil.example) @all #1 \x1b[31m\u202e"


def test_foreign_text_is_harmless(folder: Path) -> None:
    """Names that platforms tell can neither break a line or a table, nor command the runner or the terminal."""
    world = World()
    put("service", "branch", to=EVIL)(world)
    put("team", "slug", to=EVIL)(world)
    put("user", "user", "username", to=EVIL)(world)
    put("environment", "SLIPWAY_ENVIRONMENT", to=EVIL)(world)
    seen = visit(world, folder, as_json=False)
    for line in (*seen.out.splitlines(), *seen.err.splitlines()):
        assert not line.lstrip().startswith("::") or line.startswith("::error title=doctor%3A fail::")
    assert not {"\x1b", "\u202e", "\r", "##["} & set(seen.out)
    assert "##[" not in seen.out + seen.err
    rows = [line for line in seen.summary.splitlines() if line.startswith("| **")]
    assert len(rows) == 52
    for row in (*rows, seen.summary.splitlines()[0]):
        assert len(re.findall(r"(?<!\\)\|", row)) in {0, 5}
        assert not re.search(r"(?<!\\)[<>`\[\]@#]", row.removeprefix("## "))


def test_lines_for_a_person(folder: Path) -> None:
    """A finding is one line, and two more say why and how to mend it where it is not well."""
    world = World()
    put("service", "serviceDetails", "plan", to="free")(world)
    put("service", "suspended", to="suspended")(world)
    seen = visit(world, folder, as_json=False)
    lines = seen.out.splitlines()
    assert lines[0] == "ok   render  hook is a deploy hook of srv-abc123"
    at = lines.index("fail render  service is suspended")
    assert lines[at + 1 : at + 3] == [
        f"{'':13}Nothing can be deployed to it.",
        f"{'':13}mend: resume it in the dashboard",
    ]
    assert "warn render  plan is free" in lines
    assert len(lines) == 52 + 2 * 2
    assert re.search(r"^fail   doctor: 1 of 52 must be mended, 1 to look at \(\d", seen.err, re.MULTILINE)
    assert seen.err.count("::error") == 1


def test_a_summary_that_cannot_be_written(folder: Path) -> None:
    """Where the run's summary cannot be written, the findings and the exit code stay as they are."""
    world = World()
    world.environment["GITHUB_STEP_SUMMARY"] = str(folder)
    seen = visit(world, folder)
    assert (seen.code, seen.unwell) == (0, {})
    assert "the summary could not be written" in seen.err


SUBJECT = Subject("render", "plan", "why it matters", "how to mend it")


@pytest.mark.parametrize(
    ("levels", "well"),
    [((), False), (("ok",), True), (("ok", "warn"), True), (("warn", "fail"), False), (("fail",), False)],
)
def test_what_is_well(levels: tuple[str, ...], well: bool) -> None:
    """One failure is enough, a warning is not; where nothing was looked at, nothing is well."""
    findings = [Finding("render", "plan", Level(level), "is so") for level in levels]
    assert is_well(findings) is well
    assert as_json(findings)["ok"] is well
    assert (
        count(findings) == f"{levels.count('fail')} of {len(levels)} must be mended, {levels.count('warn')} to look at"
    )


def test_the_summary_tells_the_worst_first() -> None:
    """What must be mended stands on top of the table."""
    table = render_markdown([SUBJECT.ok("is a"), SUBJECT.warn("is b"), SUBJECT.fail("is c")], "doctor")
    assert re.findall(r"\*\*(\w+)\*\*", table) == ["fail", "warn", "ok"]


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    """Any text at all is one line of bounded length in the terminal, and one row of five bars in the table."""
    finding = tidy(SUBJECT.fail(text), Redactor([Secret("never-there")]))
    assert len(plain(text)) <= LONGEST
    assert len(render_lines([finding]).splitlines()) == 3
    row = render_markdown([finding], text).splitlines()[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = ["service", "deploys", "user", "team", "project", "domain", "alias", "rows", "repository"]
BODIES += ["environments", "rules", "branch", "version"]


def _paths(value: Any, *before: str | int) -> Iterator[tuple[str | int, ...]]:
    """Give the path to everything inside a JSON value, itself included."""
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from _paths(part, *before, name)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_any_answer_at_all(folder: Path, data: st.DataObject) -> None:
    """Whatever JSON stands anywhere in an answer, every finding has a level, and nothing breaks."""
    world = World()
    for name in data.draw(st.sets(st.sampled_from(BODIES), min_size=1, max_size=4)):
        path = data.draw(st.sampled_from(list(_paths(getattr(world, name)))))
        put(name, *path, to=data.draw(JSON))(world)
    seen = visit(world, folder)
    assert {row["level"] for row in seen.findings.values()} <= {"ok", "warn", "fail"}
    assert seen.code == (10 if "fail" in seen.unwell.values() else 0)


def _configuration(folder: Path, **sections: str) -> list[str]:
    """Write a slipway.toml, and give the words of the command line."""
    targets = json.dumps(list(sections))
    tables = "\n".join(f"[{name}]\n{text}" for name, text in sections.items())
    check = '[[checks]]\nname = "version"\npath = "/version"'
    file = folder / "slipway.toml"
    file.write_text(f"version = 1\n[release]\ntargets = {targets}\n{tables}\n{check}\n", encoding="utf-8")
    return ["doctor", "--json", "--config", str(file)]


@pytest.mark.slow
def test_on_the_emulated_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over real HTTP, the verb finds a service on the emulated Render fit for a release, and leaves it as it was."""
    with beside(tiny_cloud(tmp_path)) as there:
        tiny = there.value
        commit = tiny.repository.commit("one")
        there.call(tiny.cloud.first_deploy(commit))
        events = tiny.cloud.events
        words = _configuration(tmp_path, render=f'url = "{tiny.edge.url}"\napi_url = "{tiny.cloud.api_url}"')
        (tmp_path / "render.yaml").write_text("region: oregon\nhealthCheckPath: /health\n", encoding="utf-8")
        hook = f"{tiny.cloud.api_url.removesuffix('/v1')}/deploy/{tiny.cloud.service_id}?key={HOOK_KEY}"
        code = main(words, {HOOK: hook, KEY: API_KEY})
        assert tiny.cloud.events == events
    told = json.loads(capsys.readouterr().out)
    unwell = {row["name"]: row["level"] for row in told["findings"] if row["level"] != "ok"}
    assert unwell == {
        "auto-deploy": "fail",
        "repository": "warn",
        "instance-ids": "warn",
        "no-store": "warn",
        "token": "warn",
    }
    assert code == 10


@pytest.mark.slow
def test_on_the_emulated_vercel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over real HTTP, the verb finds a project on the emulated Vercel fit for a release, and asks nothing strange."""
    with beside(tiny_vercel(tmp_path, bypass="bypass-secret")) as there:
        tiny = there.value
        there.call(tiny.first())
        settings = tiny.cloud.settings
        text = f'url = "{tiny.edge.url}"\nteam = "{settings.team}"\norg_id = "{settings.org_id}"\n'
        text += f'project_id = "{settings.project_id}"\napi_url = "{tiny.cloud.api_url}"'
        secrets = {TOKEN: TINY_TOKEN, BYPASS: "bypass-secret", "GITHUB_ACTIONS": "true"}
        code = main(_configuration(tmp_path, vercel=text), secrets)
        assert tiny.cloud.unknown_requests == ()
    told = json.loads(capsys.readouterr().out)
    unwell = {row["name"]: row["level"] for row in told["findings"] if row["level"] != "ok"}
    assert (code, unwell) == (0, {"instance-ids": "warn", "no-store": "warn", "token": "warn"})

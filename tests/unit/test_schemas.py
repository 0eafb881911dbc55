"""What the pipeline relies on in render.yaml, vercel.json and slipway.toml: each slip is named, all else is theirs."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.gates.findings import Finding
from scripts.gates.places import compose, find_toml_line, find_yaml_line, read_json_path, read_toml_lines
from scripts.gates.settings_files import (
    SCHEMAS,
    SETTINGS_FILES,
    SettingsFile,
    judge_file,
    judge_render,
    judge_slipway,
    judge_vercel,
)

ROOT = Path(__file__).resolve().parents[2]
FILES = {file.name: file for file in SETTINGS_FILES}

# A user's own files, as much larger as theirs may be.
RENDER = """\
previews: {generation: "off"}
services:
  - type: worker
    name: mails
    runtime: node
    autoDeployTrigger: commit
  - type: web
    name: shop
    runtime: python
    plan: 0.5c-512mb
    branch: main
    autoDeployTrigger: "off"
    buildCommand: pip install --require-hashes -r requirements.txt && python -m compileall shop
    startCommand: exec uvicorn shop.main:app --port $PORT
    healthCheckPath: /ready
    preDeployCommand: alembic upgrade head
    envVars:
      - key: DATABASE_URL
        fromDatabase: {name: shop, property: connectionString}
      - key: SESSION_KEY
        generateValue: true
      - key: STRIPE_KEY
        sync: false
      - fromGroup: shop
      - key: WORKERS
        value: 2
      - key: PYTHON_VERSION
        value: 3.13.14
  - type: keyvalue
    name: cache
databases:
  - name: shop
"""
VERCEL = """\
{
\t"framework": "fastapi",
\t"git": {
\t\t"deploymentEnabled": false
\t},
\t"functions": {"shop/main.py": {"excludeFiles": "{.env*,tests/**}", "maxDuration": 30}},
\t"regions": ["fra1"],
\t"crons": [{"path": "/tick", "schedule": "0 * * * *"}]
}
"""
SLIPWAY = """\
version = 1

[render]
url = "https://CHANGE-ME.onrender.com"  # the public URL

[bake]
least_s = 30
most_s = 60

[[checks]]
name = "ready"
path = "/ready"

[[checks]]
name = "items"
path = "/items"
"""


def demands(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every schema within a schema that is not a mere condition of another one."""
    for name in ("properties", "$defs"):
        for inner in schema.get(name, {}).values():
            yield from ([] if name == "$defs" else [inner])
            yield from demands(inner)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield schema[name]
            yield from demands(schema[name])


def only(findings: list[Finding]) -> Finding:
    """Give the one finding."""
    (finding,) = findings
    return finding


@pytest.mark.parametrize("name", FILES)
def test_our_own_files_are_sound(name: str) -> None:
    """The template's files pass as they are, placeholders and all."""
    assert judge_file(FILES[name], ROOT) == []


def test_a_users_files_are_sound() -> None:
    """More services, databases, variables and keys are nobody else's business."""
    assert (judge_render(RENDER), judge_vercel(VERCEL), judge_slipway(SLIPWAY)) == ([], [], [])


@pytest.mark.parametrize("name", ["render", "vercel"])
def test_every_demand_has_its_words(name: str) -> None:
    """Each key that is asked for says what is expected, why it matters and what to do."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    found = [schema, *demands(schema)]
    assert len(found) > 5
    assert all({"expected", "why", "next"} <= {*demand} for demand in found)


@pytest.mark.parametrize(
    ("was", "becomes", "line", "words"),
    [
        ('autoDeployTrigger: "off"', "autoDeployTrigger: off", 12, 'autoDeployTrigger: false, expected "off"'),
        ('autoDeployTrigger: "off"', "autoDeployTrigger: checksPass", 12, '"checksPass", expected "off"'),
        ('    autoDeployTrigger: "off"\n', "", 7, "services[1].autoDeployTrigger: missing"),
        ("    branch: main", "    autoDeploy: true", 11, "services[1].autoDeploy: true, expected nothing"),
        ("runtime: python", "runtime: docker", 9, 'services[1].runtime: "docker", expected python'),
        ("    runtime: python\n", "    env: python\n", 7, "services[1].runtime: missing"),
        ("--require-hashes ", "", 13, "buildCommand: another value, expected a command with --require-hashes"),
        ("--require-hashes ", "--no-require-hashes ", 13, "services[1].buildCommand"),
        ("--require-hashes ", "--require-hashes-not ", 13, "services[1].buildCommand"),
        ("startCommand: exec", "command: exec", 7, "services[1].startCommand: missing"),
        ("exec uvicorn shop.main:app --port $PORT", '" "', 14, 'services[1].startCommand: " "'),
        ("exec uvicorn shop.main:app --port $PORT", "[uvicorn]", 14, "services[1].startCommand: a list"),
        ("healthCheckPath: /ready", "healthCheckPath: ready", 15, 'healthCheckPath: "ready", expected a path'),
        ("    healthCheckPath: /ready\n", "", 7, "services[1].healthCheckPath: missing"),
        ("value: 3.13.14", "value: 3.10", 28, "services[1].envVars[5].value: 3.1, expected a text"),
        ("- fromGroup: shop", "- shop", 24, 'services[1].envVars[3]: "shop", expected a mapping'),
        ("type: web", "type: pserv", 2, "services: a list, expected a list with a service of type web"),
        ("services:", "projects:", 1, "services: missing"),
    ],
)
def test_a_slip_in_render_yaml_is_red(was: str, becomes: str, line: int, words: str) -> None:
    """Each slip in render.yaml is one finding, on its key's line, with what is expected, why, and what to do."""
    assert was in RENDER
    finding = only(judge_render(RENDER.replace(was, becomes)))
    assert (finding.path, finding.line) == ("render.yaml", line)
    assert words in finding.message
    assert re.search(r"expected .+: .+; next: .+", finding.message)


@pytest.mark.parametrize(
    ("was", "becomes", "line", "words"),
    [
        ('"framework": "fastapi"', '"framework": null', 2, "framework: null, expected"),
        ('\t"framework": "fastapi",\n', "", 1, "framework: missing"),
        ('"deploymentEnabled": false', '"deploymentEnabled": true', 4, "git.deploymentEnabled: true, expected false"),
        ('"deploymentEnabled": false', '"deploymentEnabled": 0.5', 4, "git.deploymentEnabled: 0.5"),
        ('"deploymentEnabled": false', '"deploymentEnabled": {"dev": false}', 4, "git.deploymentEnabled: a mapping"),
        ('"deploymentEnabled": false', "", 3, "git.deploymentEnabled: missing"),
        ('"git"', '"got"', 1, "git: missing"),
        ('"{.env*,tests/**}"', '[".env*"]', 6, "functions.shop/main.py.excludeFiles: a list, expected one glob"),
        ('{"excludeFiles": "{.env*,tests/**}", "maxDuration": 30}', "3", 6, "functions.shop/main.py: 3"),
    ],
)
def test_a_slip_in_vercel_json_is_red(was: str, becomes: str, line: int, words: str) -> None:
    """Each slip in vercel.json is one finding, on its key's line, with what is expected, why, and what to do."""
    assert was in VERCEL
    finding = only(judge_vercel(VERCEL.replace(was, becomes)))
    assert (finding.path, finding.line) == ("vercel.json", line)
    assert words in finding.message
    assert re.search(r"expected .+: .+; next: .+", finding.message)


def test_deployments_may_be_off_for_main_alone() -> None:
    """Vercel may deploy branches that nobody releases."""
    assert judge_vercel(VERCEL.replace(": false", ': {"main": false}')) == []
    assert judge_vercel(VERCEL.replace(": false", ': {"main": true}')) != []


@pytest.mark.parametrize(
    ("was", "becomes", "line", "words"),
    [
        ("least_s = 30", "leest_s = 30", 7, "bake.leest_s: unknown key; did you mean 'least_s'?"),
        ("least_s = 30", "least_s = 90", 6, "bake: most_s (60) must not be under least_s (90)"),
        ('path = "/items"', 'path = "items"', 16, "checks[1].path = 'items'"),
        ('path = "/items"\n', "", 14, "checks[1].path: missing"),
        ('url = "https://CHANGE-ME.onrender.com"', 'url = "http://shop.test"', 4, "render.url = 'http://shop.test'"),
        ("[bake]", "[bakes]", 6, "bakes: unknown key"),
        ("version = 1", "version = 2", 1, "version = 2"),
        ("version = 1", 'version = 1\n[release]\ntargets = ["vercel"]', 1, "names 'vercel', but no [vercel] section"),
        ("version = 1", 'version = 1\nrelease = "now"', 2, "release"),
        ('name = "items"', 'name = "ready"', 1, "two checks are named 'ready'"),
    ],
)
def test_a_slip_in_slipway_toml_is_red(was: str, becomes: str, line: int, words: str) -> None:
    """Each slip in slipway.toml is one finding, on its key's line or its section's, and what is allowed is said."""
    assert was in SLIPWAY
    finding = only(judge_slipway(SLIPWAY.replace(was, becomes)))
    assert (finding.path, finding.line) == ("slipway.toml", line)
    assert words in finding.message


def test_every_slip_is_told() -> None:
    """Several slips in one file are several findings, each on its line."""
    slips = SLIPWAY.replace("least_s = 30", "leest_s = 30").replace('"/items"', '"items\\nslipway.toml: x"')
    assert [finding.line for finding in judge_slipway(slips)] == [7, 16]
    broken = RENDER.replace("runtime: python", "runtime: go").replace("/ready", "ready")
    assert [finding.line for finding in judge_render(broken)] == [9, 15]


def test_an_unreleased_section_may_be_half_filled_in() -> None:
    """As for the pipeline itself, a [vercel] that is not released to may keep its placeholders and gaps."""
    assert judge_slipway(SLIPWAY + '[vercel]\nurl = "https://CHANGE-ME.vercel.app"\n') == []
    released = SLIPWAY.replace("version = 1", 'version = 1\n[release]\ntargets = ["vercel"]')
    assert len(judge_slipway(released + '[vercel]\nurl = "https://CHANGE-ME.vercel.app"\n')) == 3


def test_no_credential_is_told() -> None:
    """A command that names an index with a password is not repeated."""
    command = "pip install --index-url https://me:s3cret@a.test"
    for told in (command, "me:s3cret@a"):
        text = RENDER.replace("pip install --require-hashes -r requirements.txt && python -m compileall shop", told)
        assert "s3cret" not in only(judge_render(text)).message


HUGE = "0x" + "f" * 9999
TORN = [
    *("", "\0", "[", "{", "- a", "3", "null", "~", "text", '"text"', "\t", "a: b: c", "{? [a] : b}", "a\n---\nb"),
    *("a: !!python/object:x {}", "&a [*a]", "[" * 600, "a: " * 2000, "{a: 2026-13-01}", "\ud7ff\u202e"),
    *("services: 3", "services: {}", "services: [3, [], null]", "services: &a [*a]", "services: [{type: web}]"),
    *(f"services: {HUGE}", f"services: [{{type: web, runtime: {HUGE}}}]", "services: [{type: web, envVars: [3]}]"),
    *('{"git": []}', '{"git": null, "functions": []}', '{"functions": {"a": null}}', "[" + "9" * 5000 + "]"),
    *("version = 1", "version = 1e999", "[release]\ntargets = 3", "[release]\ntargets = [[1]]", "release = 3"),
    *("[[render]]", "checks = 3"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", TORN, ids=range(len(TORN)))
def test_nonsense_is_red(tmp_path: Path, name: str, text: str) -> None:
    """Whatever the file holds, what is wrong is a finding on one of its lines, and never a traceback or a pass."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    findings = judge_file(FILES[name], tmp_path)
    assert findings
    for finding in findings:
        assert 1 <= finding.line <= max(1, len(text.splitlines()))
        assert len(finding.text) < 1000


def test_a_thousand_slips_take_no_longer_than_reading() -> None:
    """The time that it takes to name slips grows as their number does, not as its square."""
    services = "services: [{type: web, envVars: [" + "3,\n" * 500 + "]}]"
    start = time.process_time()
    assert len(judge_slipway("version = 1\n" + "[[checks]]\n" * 500)) == 1000
    assert len(judge_render(services)) == 505
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_text_is_red(tmp_path: Path, name: str) -> None:
    """A file that is not UTF-8, or is a folder, is a finding."""
    (tmp_path / name).write_bytes(b"\xff\xfe")
    assert "cannot be read" in only(judge_file(FILES[name], tmp_path)).message
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "cannot be read" in only(judge_file(FILES[name], tmp_path)).message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_red(tmp_path: Path, name: str) -> None:
    """A file that is not there is a finding that says what needs it."""
    assert re.fullmatch(r"missing: .+; next: .+", only(judge_file(FILES[name], tmp_path)).message)


@pytest.mark.parametrize(
    ("slipway", "needed"),
    [
        (SLIPWAY, False),
        (SLIPWAY + "[vercel]\n", True),
        (SLIPWAY.replace("version = 1", 'version = 1\n[release]\ntargets = ["render", "vercel"]'), True),
        ("[", True),
        (None, True),
    ],
)
def test_vercel_json_may_be_missing_without_vercel(tmp_path: Path, slipway: str | None, needed: bool) -> None:
    """Who releases nothing to Vercel needs no vercel.json; one that is there is judged all the same."""
    if slipway is not None:
        (tmp_path / "slipway.toml").write_text(slipway)
    file: SettingsFile = FILES["vercel.json"]
    assert bool(file.unneeded(tmp_path)) is not needed
    (tmp_path / "vercel.json").write_text("{}")
    assert file.unneeded(tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "keys", "line"),
    [
        ("a:\n  b:\n  - c: 1\n  - d: 2\n", ("a", "b", 1, "d"), 4),
        ("a:\n  b:\n  - c: 1\n", ("a", "b", 7, "d"), 2),
        ("# words\n\nb: 1\n", ("a",), 3),
        ("on:\n  push:\n", ("on", "push"), 2),
        ('{\n\t"a": {\n\t\t"b": 1}}', ("a", "b"), 3),
        ("a: &x\n  b: 1\nc: *x\n", ("c", "b"), 2),
        ("", ("a",), 1),
        ("a: [", ("a",), 1),
    ],
)
def test_a_key_of_yaml_has_its_line(text: str, keys: tuple[str | int, ...], line: int) -> None:
    """The line is that of the deepest key that is there, also in JSON, and the first where nothing can be read."""
    assert find_yaml_line(compose(text), keys) == line


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("version",), 1),
        (("render",), 3),
        (("render", "url"), 4),
        (("render", "instances"), 3),
        (("checks", 0, "path"), 12),
        (("checks", 1, "path"), 16),
        (("checks", 1, "expect", "status"), 14),
        (("checks", 2), 1),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_a_key_of_toml_has_its_line(keys: tuple[str | int, ...], line: int) -> None:
    """The line is that of the key, else of its section or its array's item, else the first."""
    assert find_toml_line(read_toml_lines(SLIPWAY), keys) == line


def test_a_json_path_is_read() -> None:
    """The steps of a path are names and numbers."""
    assert read_json_path("$.jobs['a b'].steps[12].run") == ("jobs", "a b", "steps", 12, "run")
    assert read_json_path("$") == ()


def test_these_tests_read_yaml_as_the_judge_does() -> None:
    """The user's file of these tests is one that Render's parser takes."""
    assert yaml.safe_load(RENDER)["services"][1]["autoDeployTrigger"] == "off"

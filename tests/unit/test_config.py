"""slipway.toml: what is accepted, and that each fault is told with file, key, value and what is allowed."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.config import PLACEHOLDER, TARGETS, Config, VercelSection, load, parse
from scripts.errors import ConfigError
from scripts.redaction import Secret, read_secrets
from scripts.verdict import Check

ROOT = Path(__file__).parents[2]
LEAST = """
version = 1
[render]
url = "https://api.example.com"
[[checks]]
name = "ready"
path = "/health/ready"
"""


def table(**sections: object) -> dict[str, Any]:
    """Give the least configuration with sections put over its own."""
    return {**tomllib.loads(LEAST), **sections}


def check(**keys: object) -> dict[str, object]:
    """Give one check with keys put over it."""
    return {"name": "ready", "path": "/", **keys}


def refused(given_table: Mapping[str, object], name: str = "slipway.toml") -> ConfigError:
    """Parse what must be refused, and give the error."""
    with pytest.raises(ConfigError) as caught:
        parse(given_table, name)
    assert caught.value.exit_code == 2
    assert caught.value.means == "Nothing was started."
    assert caught.value.next_step == f"mend {name}"
    return caught.value


def test_least_configuration_has_the_documented_defaults() -> None:
    """A URL and a check are enough; all else has the default that slipway.toml documents."""
    config = parse(table())
    assert config.release.targets == ("render",)
    assert config.release.on_unproven == "roll_back"
    assert config.render is not None
    assert (config.render.instances, config.render.api_url) == (1, "https://api.render.com/v1")
    assert (config.baseline.duration_s, config.deploy.deadline_s, config.deploy.poll_s) == (60, 1500, 5)
    assert (config.verify.deadline_s, config.bake.least_s, config.bake.most_s) == (180, 60, 120)
    assert (config.rollback.deadline_s, config.probe.rate_per_s, config.objectives.error_rate) == (900, 10, 0.001)
    assert (config.load.users, config.load.duration_s, config.load.warmup_s) == (20, 10, 2)
    assert (config.load.p95_ms, config.load.error_rate, config.load.least_per_s) == (500, 0.001, 20)


def test_the_file_lacks_at_most_what_its_placeholders_stand_for(tmp_path: Path) -> None:
    """As it was shipped and however it was filled in since, this repository's file is a configuration."""
    path = tmp_path / "slipway.toml"
    path.write_text((ROOT / "slipway.toml").read_text().replace(PLACEHOLDER, "api"))
    config = load(path)
    for target in TARGETS:
        assert getattr(config, target) is None or config.with_targets(target).release.targets == (target,)


def said_of(path: Path) -> list[str]:
    """Give what is wrong with a file, a line for each fault."""
    try:
        load(path)
    except ConfigError as error:
        return error.what.splitlines()
    return []


def test_the_shipped_file_needs_only_its_url(tmp_path: Path) -> None:
    """The file of the template is refused for its placeholder alone, and its commented defaults are the real ones."""
    missing = said_of(ROOT / "slipway.toml")
    if not missing:
        pytest.skip("filled in: what its comments say is its user's own")
    assert all("still the placeholder" in line for line in missing)
    filled = (ROOT / "slipway.toml").read_text().replace(PLACEHOLDER, "api")
    path = tmp_path / "slipway.toml"
    path.write_text(filled)
    config = load(path)
    path.write_text(re.sub(r"(?m)^# (\[\w+\]|\w+ = )", r"\1", filled))
    assert {*tomllib.loads(path.read_text())} >= {*Config.model_fields}
    uncommented = load(path)
    assert uncommented.model_dump(exclude={"checks", "vercel"}) == config.model_dump(exclude={"checks", "vercel"})
    assert uncommented.vercel is not None
    assert config.vercel or uncommented.vercel.include == VercelSection.model_fields["include"].default


@pytest.mark.parametrize(
    ("sections", "key", "near"),
    [
        ({"relase": {}}, "relase", "did you mean 'release'?"),
        ({"check": []}, "check", "did you mean 'checks'?"),
        ({"bake": {"leest_s": 60}}, "bake.leest_s", "did you mean 'least_s'?"),
        ({"render": {"url": "https://a.example", "instance": 2}}, "render.instance", "did you mean 'instances'?"),
        ({"checks": [check(), check(name="b", pth="/")]}, "checks[1].pth", "did you mean 'path'?"),
        ({"probe": {"zzzzzz": 1}}, "probe.zzzzzz", "allowed: rate_per_s"),
        ({"wwwwww": 1}, "wwwwww", "allowed: version, release, render, vercel, baseline"),
    ],
)
def test_an_unknown_key_names_the_nearest(sections: dict[str, object], key: str, near: str) -> None:
    """An unknown key is refused with the nearest one of its section, or with all that are allowed."""
    told = refused(table(**sections)).what
    assert told.startswith(f"slipway.toml: {key}: unknown key; {near}")


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"render": {"url": 5}}, "render.url = 5: input should be a valid string"),
        (
            {"render": {"url": "https://a.example", "instances": "2"}},
            "render.instances = '2': input should be a valid int",
        ),
        (
            {"render": {"url": "https://a.example", "instances": True}},
            "render.instances = True: input should be a valid",
        ),
        ({"bake": {"least_s": "60"}}, "bake.least_s = '60': input should be a valid number"),
        ({"bake": {"least_s": True}}, "bake.least_s = True: input should be a valid number"),
        ({"checks": [check(critical="yes")]}, "checks[0].critical = 'yes': input should be a valid boolean"),
        ({"checks": [check(critical=1)]}, "checks[0].critical = 1: input should be a valid boolean"),
        ({"checks": [check(status="200")]}, "checks[0].status = '200': input should be a valid integer"),
        ({"checks": [check(headers={"x-a": 5})]}, "checks[0].headers.x-a = 5: input should be a valid string"),
        ({"version": "1"}, "version = '1': input should be 1"),
    ],
)
def test_a_wrong_type_is_refused(sections: dict[str, object], expected: str) -> None:
    """A value of another type is refused and never converted, with the key, the value and what it should be."""
    assert refused(table(**sections)).what.startswith(f"slipway.toml: {expected}")


SECONDS = [
    ("baseline", "duration_s"),
    ("deploy", "deadline_s"),
    ("deploy", "poll_s"),
    ("verify", "deadline_s"),
    ("rollback", "deadline_s"),
    ("load", "duration_s"),
]


@pytest.mark.parametrize(
    ("section", "key", "accepted", "impossible"),
    [
        *((section, key, [0.001, 1, 7200], [0, -1, 7200.1, float("nan"), float("inf")]) for section, key in SECONDS),
        ("bake", "least_s", [0.001, 120], [0, -1, float("nan")]),
        ("bake", "most_s", [60, 7200], [0, 7200.1, float("inf")]),
        ("probe", "rate_per_s", [0.1, 100], [0, -1, 100.1, float("nan"), float("inf")]),
        ("objectives", "error_rate", [0.0001, 0.499], [0, -0.1, 0.5, 1, float("nan")]),
        ("load", "users", [1, 10_000], [0, -1, 10_001]),
        ("load", "warmup_s", [0, 0.5, 600], [-1, 601, float("nan"), float("inf")]),
        ("load", "p95_ms", [0.1, 60_000], [0, -1, 60_001, float("nan"), float("inf")]),
        ("load", "error_rate", [0, 0.499], [-0.001, 0.5, 1, float("nan"), float("inf")]),
        ("load", "least_per_s", [0.1, 1_000_000], [0, -1, 1_000_001, float("nan"), float("inf")]),
        ("release", "on_unproven", ["roll_back", "hold"], ["", "rollback", "Hold"]),
    ],
)
def test_impossible_values(section: str, key: str, accepted: list[object], impossible: list[object]) -> None:
    """A value is accepted up to its limit and refused beyond, with what is allowed."""
    for value in accepted:
        config = parse(table(**{section: {key: value}}))
        assert getattr(getattr(config, section), key) == value
    for value in impossible:
        assert (
            f"slipway.toml: {section}.{key} = {value!r}: input should be"
            in refused(table(**{section: {key: value}})).what
        )


@pytest.mark.parametrize(
    ("key", "accepted", "impossible"),
    [
        ("name", ["a", "9-lives", "a" * 40], ["", "-a", "A", "a b", "a_b", "a" * 41]),
        ("path", ["/", "/a?b=c&d=%20"], ["", "a", "https://x.example/", "/a b", "/a#b", "/a\n"]),
        ("method", ["GET", "DELETE"], ["get", "TRACE", ""]),
        ("status", [100, 599], [99, 600]),
        ("timeout_s", [0.001, 60], [0, 60.1, float("nan"), float("inf")]),
    ],
)
def test_impossible_checks(key: str, accepted: list[object], impossible: list[object]) -> None:
    """A check's values are accepted up to their limits and refused beyond."""
    for value in accepted:
        assert getattr(parse(table(checks=[check(**{key: value})])).checks[0], key) == value
    for value in impossible:
        assert f"slipway.toml: checks[0].{key} = {value!r}: " in refused(table(checks=[check(**{key: value})])).what


@pytest.mark.parametrize(("instances", "accepted"), [(0, False), (1, True), (100, True), (101, False)])
def test_instances(instances: int, accepted: bool) -> None:
    """Between one and a hundred instances answer behind a URL."""
    section = {"url": "https://a.example", "instances": instances}
    if accepted:
        config = parse(table(render=section))
        assert config.render is not None
        assert config.render.instances == instances
    else:
        assert f"render.instances = {instances}" in refused(table(render=section)).what


@pytest.mark.parametrize(("least_s", "most_s", "accepted"), [(60, 60, True), (60, 59.9, False), (121, 120, False)])
def test_bake_window_is_in_order(least_s: float, most_s: float, accepted: bool) -> None:
    """The longest bake must not be shorter than the shortest, and both numbers are told."""
    section = {"least_s": least_s, "most_s": most_s}
    if accepted:
        assert parse(table(bake=section)).bake.most_s == most_s
    else:
        told = refused(table(bake=section)).what
        assert told == f"slipway.toml: bake: most_s ({most_s:g}) must not be under least_s ({least_s:g})"


def test_check_names_are_unique() -> None:
    """Two checks of one name are refused, and the name is told."""
    told = refused(table(checks=[check(name="a"), check(name="b"), check(name="b")])).what
    assert "two checks are named 'b'" in told
    assert len(parse(table(checks=[check(name="a"), check(name="b")])).checks) == 2


@pytest.mark.parametrize("critical", [[], [False], [False, False]])
def test_some_check_is_critical(critical: list[bool]) -> None:
    """Without a critical check no release could ever fail, so that is refused; one is enough."""
    checks = [check(name=f"c{place}", critical=value) for place, value in enumerate(critical)]
    assert "no check is critical" in refused(table(checks=checks)).what
    assert parse(table(checks=[*checks, check(name="last")])).checks[-1].critical


@pytest.mark.parametrize("missing", ["version", "checks"])
def test_a_missing_key_is_named(missing: str) -> None:
    """A key that has no default is named when it is missing."""
    whole = table()
    del whole[missing]
    assert refused(whole).what == f"slipway.toml: {missing}: missing, and it has no default"


def test_a_target_needs_its_section() -> None:
    """A target without a section of its own is refused."""
    whole = table()
    del whole["render"]
    assert "release.targets names 'render', but no [render] section is filled in" in refused(whole).what


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com:8443/base/", "https://api.example.com:8443/base"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_urls_that_are_taken(url: str, taken: str) -> None:
    """A plain https URL is taken without its last slash, and plain http on loopback only."""
    config = parse(table(render={"url": url, "api_url": url}))
    assert config.render is not None
    assert (config.render.url, config.render.api_url) == (taken, taken)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://CHANGE-ME.onrender.com", "still the placeholder"),
        ("http://api.example.com", "only https URLs are allowed, except on loopback"),
        ("http://127.0.0.1.example.com", "only https URLs are allowed, except on loopback"),
        ("http://localhost.example.com", "only https URLs are allowed, except on loopback"),
        ("ftp://api.example.com", "only https URLs are allowed"),
        ("https://api.example.com/#a", "a plain URL is needed"),
        ("api.example.com", "a plain URL is needed"),
        ("https://", "a plain URL is needed"),
        ("", "a plain URL is needed"),
        ("https://[::1", "invalid IPv6 URL"),
    ],
)
@pytest.mark.parametrize("key", ["url", "api_url"])
def test_urls_that_are_refused(key: str, url: str, why: str) -> None:
    """Any other URL is refused with its value and with what is allowed."""
    section = {"url": "https://api.example.com", key: url}
    assert f"slipway.toml: render.{key} = {url!r}: {why}" in refused(table(render=section)).what


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com:99999",
        "https://api.example.com:http",
        "https://api example.com",
        " https://api.example.com",
        "https://api.example.com/\n",
        "https://api.example.com?",
        "https://api.example.com#",
        "https://:password@api.example.com",
        "ftp://localhost",
        "//localhost",
    ],
)
def test_urls_that_no_request_could_use(url: str) -> None:
    """A URL that cannot be asked, or whose paths would land in its query, is refused here and not in the release."""
    assert "render.url" in refused(table(render={"url": url})).what


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:s3cr3t-pw@api.example.com", "https://api.example.com/[redacted]"),
        ("https://s3cr3t-pw@api.example.com", "https://api.example.com/[redacted]"),
        ("https://x.example/deploy/srv-a?key=s3cr3t-pw", "https://x.example/[redacted]"),
        ("https://x.example/?s3cr3t-pw", "https://x.example/[redacted]"),
        ("https://user:s3cr3t-pw@", "[redacted]"),
        ("https://user:s3cr3t-pw@[::1", "[redacted]"),
        ("https://user:s3cr3t-pw@api℀.example.com", "[redacted]"),
    ],
)
@pytest.mark.parametrize("key", ["url", "api_url"])
def test_a_credential_in_a_url_is_not_printed(key: str, url: str, shown: str) -> None:
    """A URL with a user or a query, such as a hook's put there by mistake, is refused with scheme and host only."""
    error = refused(table(render={"url": "https://api.example.com", key: url}))
    assert f"slipway.toml: render.{key} = {shown!r}: a plain URL is needed" in error.what
    assert "s3cr3t-pw" not in str(error)


def test_a_hook_in_the_place_of_a_section_is_not_printed() -> None:
    """A hook's URL is shown without its key wherever it was put."""
    assert "s3cr3t-pw" not in str(refused(table(render="https://x.example/deploy/srv-a?key=s3cr3t-pw")))


@pytest.mark.parametrize("value", ["Bearer ${check_token}", "Bearer ${CHECK-TOKEN}", "Bearer ${}"])
def test_a_reference_that_names_no_secret_is_refused(value: str) -> None:
    """A header that would be sent with a `${…}` in it is refused: no silent fallback."""
    told = refused(table(checks=[check(headers={"authorization": value})])).what
    assert told.startswith("slipway.toml: checks[0].headers: authorization: a secret is named as ${NAME}")


def test_every_fault_is_told_at_once() -> None:
    """A file with several faults gives a line for each."""
    told = refused(table(bake={"least_s": 0}, probe={"rate_per_s": 0}, checks=[check(status=1, zzzz=1)])).what
    assert len(told.splitlines()) == 4


def test_a_fault_names_the_file_that_has_it(tmp_path: Path) -> None:
    """The name in a message is that of the file that was read."""
    path = tmp_path / "other.toml"
    path.write_text(LEAST + "\ntimeout_s = 0\n")
    with pytest.raises(ConfigError, match=r"^other\.toml: checks\[0\]\.timeout_s = 0: ") as caught:
        load(path)
    assert caught.value.next_step == "mend other.toml"


@pytest.mark.parametrize("content", [b"version = ", b"version = 1\nversion = 1", b"\xff\xfe"])
def test_what_is_not_toml_is_told(tmp_path: Path, content: bytes) -> None:
    """A file that is not TOML, or not text, is refused with its path."""
    path = tmp_path / "slipway.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not TOML") as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A file that cannot be read is refused with its path, the reason and what to do."""
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(path)
        assert str(path) in caught.value.what
        assert "--config" in caught.value.next_step


def test_a_file_is_read_as_it_is_parsed(tmp_path: Path) -> None:
    """What is loaded from a file is what its table says."""
    path = tmp_path / "slipway.toml"
    path.write_text(LEAST)
    assert load(path) == parse(tomllib.loads(LEAST))


@pytest.mark.parametrize("text", ["render", " render ", "render,", ",render"])
def test_targets_are_overridden(text: str) -> None:
    """A comma-separated list takes the place of the file's targets, and all else stays."""
    config = parse(table(bake={"least_s": 5, "most_s": 6}, checks=[check(expect={"a.b": True, "n": 1.5})]))
    assert config.with_targets(text) == config


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vercel", "release.targets names 'vercel', but no [vercel] section is filled in"),
        ("render,vercel", "release.targets names 'vercel', but no [vercel] section is filled in"),
        ("render,nowhere", "release.targets[1] = 'nowhere': input should be 'render' or 'vercel'"),
        ("render,render", "each target once"),
        (",", "at least 1 item"),
    ],
)
def test_targets_that_do_not_exist(text: str, why: str) -> None:
    """A target that does not exist, one named twice, and none at all are refused."""
    with pytest.raises(ConfigError) as caught:
        parse(table()).with_targets(text)
    assert why in caught.value.what
    assert caught.value.what.startswith("SLIPWAY_TARGETS: ")
    assert caught.value.next_step == "mend SLIPWAY_TARGETS"


VERCEL = {"url": "https://web.example.com", "team": "my-team", "org_id": "team_A1", "project_id": "prj_A1"}


def vercel(**keys: object) -> dict[str, Any]:
    """Give the least configuration for Vercel alone, with keys put over its section."""
    whole = table(release={"targets": ["vercel"]}, vercel={**VERCEL, **keys})
    del whole["render"]
    return whole


def test_least_configuration_of_vercel() -> None:
    """A URL, the team and the two ids are enough; nothing of Render is needed."""
    config = parse(vercel())
    assert config.render is None
    assert config.vercel is not None
    assert config.vercel.model_dump() == {
        **VERCEL,
        "include": ("app", "requirements.txt", "vercel.json", ".python-version"),
        "api_url": "https://api.vercel.com",
    }


@pytest.mark.parametrize("missing", VERCEL)
def test_a_missing_key_of_vercel_is_named(missing: str) -> None:
    """Each of the URL, the team and the ids is needed, and told by its name."""
    whole = vercel()
    del whole["vercel"][missing]
    assert refused(whole).what == f"slipway.toml: vercel.{missing}: missing, and it has no default"


@pytest.mark.parametrize(("present", "absent"), [("render", "vercel"), ("vercel", "render")])
def test_each_target_needs_its_own_section(present: str, absent: str) -> None:
    """Where two targets are named and one has no section, that one is told; its order does not matter."""
    sections = {"render": {"url": "https://a.example"}, "vercel": VERCEL}
    for targets in ([present, absent], [absent, present]):
        whole = table(release={"targets": targets})
        del whole["render"]
        told = refused({**whole, present: sections[present]}).what
        why = f"release.targets names {absent!r}, but no [{absent}] section is filled in"
        assert told == f"slipway.toml: the file: {why}"


def test_targets_are_chosen_among_both_sections() -> None:
    """With both sections the list decides, in its order; a section that no target names does no harm."""
    both = parse(table(release={"targets": ["render", "vercel"]}, vercel=VERCEL))
    assert both.release.targets == ("render", "vercel")
    assert both.with_targets("vercel").release.targets == ("vercel",)
    assert both.with_targets("vercel, render").release.targets == ("vercel", "render")
    assert parse(table(vercel=VERCEL)).release.targets == ("render",)


RENDER = {"url": "https://a.example"}
FRESH: Mapping[str, Mapping[str, object]] = {
    "render": {"url": "https://CHANGE-ME.onrender.com"},
    "vercel": {**dict.fromkeys(VERCEL, "CHANGE-ME"), "url": "https://CHANGE-ME.vercel.app"},
}


@pytest.mark.parametrize(("released", "other"), [("render", "vercel"), ("vercel", "render")])
def test_a_target_that_is_not_released_may_be_left_as_it_came(released: str, other: str) -> None:
    """The template's placeholder is refused where something is released to it, by the file or by who overrides it."""
    filled = {"render": RENDER, "vercel": VERCEL}
    given = {"version": 1, "checks": [check()], "release": {"targets": [released]}}
    config = parse({**given, **FRESH, released: filled[released]})
    assert getattr(config, other) is None
    assert config.with_targets(released) == config
    with pytest.raises(ConfigError, match=rf"^SLIPWAY_TARGETS: .*{other!r}, but no \[{other}\] section is filled in"):
        config.with_targets(f"{released},{other}")
    assert "still the placeholder" in refused({**given, **filled, released: FRESH[released]}).what
    both = {**given, "release": {"targets": [released, other]}, **filled}
    assert "still the placeholder" in refused({**both, other: FRESH[other]}).what


@pytest.mark.parametrize("text", ["vercel", "render,vercel"])
def test_a_section_beside_the_released_one_is_kept(text: str) -> None:
    """A section that is filled in stays there for who overrides the targets, and is validated like any other."""
    config = parse(table(release={"targets": ["render"]}, vercel=VERCEL))
    assert config.with_targets(text).vercel == config.vercel is not None
    told = refused(table(release={"targets": ["render"]}, vercel={**VERCEL, "team": "a b", "zzz": 1})).what
    assert [line.split(":")[1] for line in told.splitlines()] == [" vercel.team = 'a b'", " vercel.zzz"]


@pytest.mark.parametrize("section", [3, "CHANGE-ME", ["CHANGE-ME"], {}])
def test_what_is_no_section_is_never_left_out(section: object) -> None:
    """A section of another type, or an empty one, is refused whether or not it is released to."""
    assert refused(table(vercel=section)).what.startswith("slipway.toml: vercel")


def test_a_fault_of_the_targets_hides_no_placeholder() -> None:
    """Where it is not known what is released, nothing is left out."""
    told = refused(table(release={"targets": ["nowhere"]}, **FRESH)).what
    assert told.count("still the placeholder") == 5


@pytest.mark.parametrize("key", ["url", "api_url"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://CHANGE-ME.vercel.app", "still the placeholder"),
        ("http://web.example.com", "only https URLs are allowed, except on loopback"),
        ("web.example.com", "a plain URL is needed"),
    ],
)
def test_urls_of_vercel_that_are_refused(key: str, url: str, why: str) -> None:
    """Vercel's URLs are held to the same rule as Render's."""
    assert f"slipway.toml: vercel.{key} = {url!r}: {why}" in refused(vercel(**{key: url})).what


@pytest.mark.parametrize("key", ["team", "org_id", "project_id"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("CHANGE-ME", "still the placeholder: copy it from the project's settings"),
        ("prj_CHANGE-ME", "still the placeholder: copy it from the project's settings"),
        ("", ""),
        ("a b", ""),
        ("a/b", ""),
        ("../teams", ""),
        ("a?teamId=b", ""),
        ("a\n", ""),
        ("é", ""),
        ("a" * 101, "an id of letters, digits, - and _ is needed"),
    ],
)
def test_ids_that_are_refused(key: str, value: str, why: str) -> None:
    """An id that is the placeholder, or that would change the path of a request, is refused with its value."""
    assert f"slipway.toml: vercel.{key} = {value!r}: {why}" in refused(vercel(**{key: value})).what


@pytest.mark.parametrize("team", ["-yes", "--token", "_a"])
def test_a_team_is_never_an_option(team: str) -> None:
    """The team is a word of a command line, so one that begins like an option is refused."""
    assert f"slipway.toml: vercel.team = {team!r}: " in refused(vercel(team=team)).what


@pytest.mark.parametrize("value", ["a", "A-1_b", "9", "a" * 100])
def test_ids_that_are_taken(value: str) -> None:
    """Letters, digits, - and _ are taken, up to a hundred."""
    config = parse(vercel(team=value, org_id=value, project_id=value))
    assert config.vercel is not None
    assert {config.vercel.team, config.vercel.org_id, config.vercel.project_id} == {value}


@pytest.mark.parametrize("path", ["app", "src/app", "vercel.json", ".python-version", "a.env", "env"])
def test_paths_that_are_included(path: str) -> None:
    """A path inside the repository is taken."""
    config = parse(vercel(include=["app", path]))
    assert config.vercel is not None
    assert config.vercel.include == ("app", path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".env", "a .env file would be uploaded"),
        (".env.local", "a .env file would be uploaded"),
        ("app/.env.production", "a .env file would be uploaded"),
        (".env/x", "a .env file would be uploaded"),
        ("/etc/passwd", "a path inside the repository is needed"),
        ("../app", "a path inside the repository is needed"),
        ("app/../..", "a path inside the repository is needed"),
        ("./app", "a path inside the repository is needed"),
        (".", "a path inside the repository is needed"),
        ("app/", "a path inside the repository is needed"),
        ("app//b", "a path inside the repository is needed"),
        ("", "a path inside the repository is needed"),
        ("-rf", "a path inside the repository is needed"),
        (":!app", "a path inside the repository is needed"),
    ],
)
def test_paths_that_are_not_included(path: str, why: str) -> None:
    """A secrets file, a path outside, and what git would take for an option or a pattern are refused."""
    assert f"slipway.toml: vercel.include[1] = {path!r}: {why}" in refused(vercel(include=["app", path])).what


def test_something_is_included() -> None:
    """A function built from nothing is refused."""
    assert "slipway.toml: vercel.include: " in refused(vercel(include=[])).what


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"release": {"togther": True}}, "release.togther: unknown key; did you mean 'together'?"),
        ({"vercel": {**VERCEL, "projectid": "p"}}, "vercel.projectid: unknown key; did you mean 'project_id'?"),
        ({"vercel": {**VERCEL, "instances": 2}}, "vercel.instances: unknown key"),
        ({"release": {"together": "no"}}, "release.together = 'no': input should be a valid boolean"),
        ({"release": {"together": 0}}, "release.together = 0: input should be a valid boolean"),
    ],
)
def test_faults_of_the_second_target(section: dict[str, object], expected: str) -> None:
    """A key that is misspelled and a value of another type are told as everywhere."""
    assert refused(table(**section)).what.startswith(f"slipway.toml: {expected}")


@pytest.mark.parametrize(
    ("section", "together"), [({}, True), ({"together": True}, True), ({"together": False}, False)]
)
def test_a_release_is_one_unit_unless_told(section: dict[str, object], together: bool) -> None:
    """Targets are released together by default, also when the environment names them."""
    config = parse(table(release=section, vercel=VERCEL))
    assert config.release.together is together
    assert config.with_targets("render,vercel").release.together is together


def test_secrets_are_put_into_headers() -> None:
    """A header's `${NAME}` becomes the secret's value, as often as it stands there, and nothing else changes."""
    section = check(headers={"authorization": "Bearer ${A_1}", "x-both": "${A_1}:${B}", "x-plain": "$5 {A_1}"})
    config = parse(table(checks=[section]))
    assert list(config.secret_names()) == ["A_1", "A_1", "B"]
    (made,) = config.checks_with({"A_1": Secret("one"), "B": Secret("two")})
    assert made.headers == {"authorization": "Bearer one", "x-both": "one:two", "x-plain": "$5 {A_1}"}


def test_checks_become_values() -> None:
    """A check is handed on with everything that the file says of it, and with the same defaults."""
    section = check(method="POST", status=201, expect={"a.b": "c"}, timeout_s=2.5, critical=False)
    first, second = parse(table(checks=[section, check(name="b")])).checks_with({})
    expected = Check("ready", "/", "POST", 201, {"a.b": "c"}, {}, 2.5, critical=False)
    assert first == expected
    assert second == Check("b", "/")


def test_secrets_are_not_in_the_configuration() -> None:
    """The configuration itself never holds a secret's value."""
    config = parse(table(checks=[check(headers={"a": "${A}"})]))
    config.checks_with({"A": Secret("s3cr3t")})
    assert "s3cr3t" not in repr(config)


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_a_missing_secret_is_named(value: str | None) -> None:
    """A required secret that is missing or blank is named with what it is; all of them in one message."""
    environment = {} if value is None else {"ONE": value}
    with pytest.raises(ConfigError) as caught:
        read_secrets(environment, {"ONE": "the first", "TWO": "the second"}, {})
    assert caught.value.what == "ONE is not set: the first\nTWO is not set: the second"
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_secrets_are_read() -> None:
    """Required and optional secrets are taken without the blanks round them; what is not asked for is left alone."""
    environment = {"ONE": " a b \n", "TWO": "\t", "THREE": "c", "OTHER": "d"}
    taken = read_secrets(environment, {"ONE": "the first"}, {"TWO": "the second", "THREE": "the third", "FOUR": ""})
    assert {name: secret.reveal() for name, secret in taken.items()} == {"ONE": "a b", "THREE": "c"}


@given(
    st.dictionaries(
        st.sampled_from(["version", "release", "render", "checks", "bake", "zzz"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["url", "targets", "name", "path", "least_s", "x"]), inner, max_size=3
                )
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_no_table_is_a_bug(given_table: dict[str, object]) -> None:
    """Whatever a file says, it is either a configuration or an error of exit code 2 that names the file."""
    told: ConfigError | None = None
    try:
        parse(given_table)
    except ConfigError as error:
        told = error
    assert told is None or (told.exit_code == 2 and told.what.startswith("slipway.toml: "))

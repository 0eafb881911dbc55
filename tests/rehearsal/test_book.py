"""What is rehearsed where: the choice of targets and drills, and how a drill's end is held against the book."""

import io
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from scripts.config import Config, parse
from scripts.console import Console
from scripts.errors import ConfigError, UsageError
from scripts.journal import Event, Kind
from scripts.rehearsal.book import DRILLS, GROUPS, choose
from scripts.rehearsal.book.drill import BOTH, Drill
from scripts.rehearsal.command import choose_targets, render_list
from scripts.rehearsal.kit import included
from scripts.rehearsal.observe import Facts, SiteFacts, compare, observe, run_exit_code
from scripts.rehearsal.runner import BUILD, Ran
from scripts.rehearsal.world import with_sections
from scripts.release import STAGES, Stage
from scripts.report import Result

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ("app", "requirements.txt", "vercel.json", ".python-version")
BAKE_FAILED = {"stage": Stage.BAKE, "outcome": "fail", "reason": "why", "exit_code": 10}
OLD, NEW = "b" * 40, "a" * 40
BEGIN = datetime(2026, 3, 4, tzinfo=UTC)
GOOD = next(drill for drill in DRILLS if drill.name == "good")


def environment_with(tmp_path: Path, node: str | None) -> dict[str, str]:
    """Give a PATH on which Node is that version, or is not."""
    if node is not None:
        program = tmp_path / "node"
        program.write_text(f"#!/bin/sh\necho {node}\n")
        program.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}/nonexistent"}


@pytest.mark.parametrize(
    ("named", "node", "targets"),
    [
        (None, "v20.1.0", ("render", "vercel")),
        (None, "v18.20.4", ("render",)),
        (None, None, ("render",)),
        ("render", None, ("render",)),
        ("vercel, render", "v22.0.0", ("render", "vercel")),
    ],
)
def test_what_is_rehearsed(tmp_path: Path, named: str | None, node: str | None, targets: tuple[str, ...]) -> None:
    """Both platforms where Node 20 is there, Render alone where it is not or where that was asked for."""
    assert choose_targets(named, environment_with(tmp_path, node), Console(err=io.StringIO())) == targets


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    """Without Node the rehearsal of Render alone says what is missing and how to get it."""
    said = io.StringIO()
    choose_targets(None, environment_with(tmp_path, None), Console(err=said))
    assert "Render alone is rehearsed: Node is not on PATH" in said.getvalue()
    assert "install Node 20 or newer" in said.getvalue()


@pytest.mark.parametrize(
    ("named", "node", "why"),
    [
        ("render,vercel", None, "Node is not on PATH"),
        ("render,vercel", "v18.0.0", "needs Node 20 or newer"),
        ("vercel", "v20.0.0", "--targets vercel cannot be rehearsed"),
        ("render,render", "v20.0.0", "cannot be rehearsed"),
        ("nowhere", "v20.0.0", "cannot be rehearsed"),
        (",", "v20.0.0", "cannot be rehearsed"),
    ],
)
def test_targets_that_cannot_be_rehearsed(tmp_path: Path, named: str, node: str | None, why: str) -> None:
    """A target that is named and cannot be rehearsed is an error with the next step."""
    with pytest.raises(UsageError, match=why) as caught:
        choose_targets(named, environment_with(tmp_path, node), Console(err=io.StringIO()))
    assert caught.value.next_step


def test_the_book_is_whole() -> None:
    """At least forty drills, each with a name of its own, a class of fault, an end that it states, and a stage."""
    names = [drill.name for drill in DRILLS]
    assert len(names) == len(set(names)) >= 40
    for drill in DRILLS:
        want = drill.expected
        assert drill.group in GROUPS
        assert (want.stage is None) == (want.exit_code == 0 and want.result is Result.ROLLED_OUT), drill.name
        assert want.stage in {None, BUILD, *STAGES}
        assert want.exit_code in {0, 2, 10, 12, 13, 130}
        assert set(drill.needs) <= set(BOTH)


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_changed_commit_is_python(drill: Drill) -> None:
    """What a drill commits can be compiled, and is another text than before."""
    source = (ROOT / drill.file).read_text()
    changed = drill.change(source)
    assert changed != source
    if drill.file.suffix == ".py":
        compile(changed, drill.name, "exec")


def test_the_list_names_every_drill_by_what_is_at_fault() -> None:
    """Each class with how many it has, each drill with what is broken."""
    lines = render_list().splitlines()
    for name, rows in GROUPS.items():
        assert f"{name} ({len(rows)})" in lines
    assert all(any(line.split()[:1] == [drill.name] and drill.what in line for line in lines) for drill in DRILLS)


def test_drills_that_can_be_played() -> None:
    """All are those that can be played with the targets; a drill that cannot says what it needs."""
    assert choose("all") == list(DRILLS)
    alone = choose("all", ["render"])
    assert {drill.name for drill in DRILLS} - {drill.name for drill in alone} == {
        drill.name for drill in DRILLS if "vercel" in drill.needs
    }
    with pytest.raises(UsageError, match="'vercel-build-fails' needs render and vercel"):
        choose("good,vercel-build-fails", ["render"])
    with pytest.raises(UsageError, match="no drill 'god'"):
        choose("god", BOTH)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('[vercel]\ninclude = ["api", "lib"]\n', ("api", "lib")),
        ("[vercel]\n", DEFAULT),
        ("not toml", DEFAULT),
    ],
)
def test_the_users_own_paths_are_built(tmp_path: Path, text: str, paths: tuple[str, ...]) -> None:
    """A rehearsal builds the function from what slipway.toml includes, else from the default."""
    (tmp_path / "slipway.toml").write_text(text)
    assert included(tmp_path / "slipway.toml") == paths
    assert included(tmp_path / "missing.toml") == DEFAULT


OF_THE_CLOUDS: dict[str, dict[str, object]] = {
    "render": {"url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:2"},
    "vercel": {"url": "http://127.0.0.1:3", "team": "t", "org_id": "o", "project_id": "p"},
}
READY = {"name": "ready", "path": "/ready"}
SECRET = {"name": "orders", "path": "/orders", "headers": {"authorization": "Bearer ${TOKEN}"}}


def rehearsed_as(folder: Path, *targets: str, **told: object) -> Config:
    """Give what is rehearsed on these targets, of a slipway.toml that says this."""
    path = folder / "slipway.toml"
    path.write_text(tomli_w.dumps({"version": 1, "checks": [READY], **told}))
    sections = {name: OF_THE_CLOUDS[name] for name in targets}
    return parse(with_sections(path, sections, {"verify": {"deadline_s": 5}}))


@pytest.mark.parametrize("targets", [("render",), ("render", "vercel")])
@pytest.mark.parametrize(
    "told",
    [
        {"render": {"url": "https://CHANGE-ME.onrender.com"}},
        {"render": {"url": "https://api.example.com", "instances": 3}, "release": {"together": False}},
        {"vercel": {"url": "https://a.example"}, "release": {"targets": ["vercel"], "on_unproven": "hold"}},
        {"bake": {"least_s": 600, "most_s": 900}, "verify": {"deadline_s": 900}},
    ],
)
def test_a_drill_is_stated_for_every_user(tmp_path: Path, told: dict[str, object], targets: tuple[str, ...]) -> None:
    """Where a user releases to, how, and how patiently, changes nothing in what a drill plays on."""
    assert rehearsed_as(tmp_path, *targets, **told) == rehearsed_as(tmp_path, *targets)


def test_what_is_rehearsed_is_the_users_own(tmp_path: Path) -> None:
    """A rehearsal is held against the user's checks and objectives, in the drill's own windows."""
    config = rehearsed_as(tmp_path, "render", checks=[READY, {**READY, "name": "b"}], objectives={"error_rate": 0.01})
    assert [check.name for check in config.checks] == ["ready", "b"]
    assert (config.objectives.error_rate, config.verify.deadline_s, config.bake.least_s) == (0.01, 5, 10)
    assert config.render is not None
    assert (config.render.url, config.render.instances) == ("http://127.0.0.1:1", 1)


@pytest.mark.parametrize(
    ("checks", "asked"),
    [
        ([READY, SECRET], ["/ready"]),
        ([SECRET, {**READY, "headers": {"x-plain": "$5"}}], ["/ready"]),
        ([SECRET], ["/version"]),
        ([SECRET, {**READY, "critical": False}], ["/version"]),
    ],
)
def test_no_check_that_needs_a_secret_is_rehearsed(
    tmp_path: Path, checks: list[dict[str, object]], asked: list[str]
) -> None:
    """A check that would fail for want of its secret is left out, and where none is left `/version` is what decides."""
    config = rehearsed_as(tmp_path, "render", checks=checks)
    assert [check.path for check in config.checks] == asked
    assert list(config.secret_names()) == []


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"bake": 3}, "slipway.toml: bake = 3: "),
        ({"checks": [3]}, r"slipway.toml: checks\[0\] = 3: "),
        ({"checks": 3}, "slipway.toml: checks = 3: "),
        ({"checks": [{**READY, "headers": 3}]}, r"slipway.toml: checks\[0\].headers = 3: "),
        ({"bake": {"least_s": -1}}, "slipway.toml: bake.least_s = -1: "),
        ({"checks": []}, "no check is critical"),
        ({"zzz": 1}, "slipway.toml: zzz: unknown key"),
    ],
)
def test_a_fault_of_the_users_file_is_told_before_a_drill(tmp_path: Path, told: dict[str, object], why: str) -> None:
    """What is wrong in the file ends a rehearsal with exit 2 and its place, also where the drill has its own value."""
    with pytest.raises(ConfigError, match=why) as caught:
        rehearsed_as(tmp_path, "render", **told)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", [None, b"version =", b"\xff"])
def test_a_file_that_cannot_be_read_ends_a_rehearsal(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, no TOML or no text is told as such."""
    if content is not None:
        (tmp_path / "slipway.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"slipway\.toml cannot be read"):
        with_sections(tmp_path / "slipway.toml", OF_THE_CLOUDS, {})


def event(kind: Kind, target: str, at_s: float, **fields: object) -> Event:
    """Make an event of a journal."""
    return Event(BEGIN + timedelta(seconds=at_s), kind, target, fields)


def ended(stage: Stage, outcome: str, at_s: float) -> Event:
    """Make the end of a stage."""
    return event(Kind.STAGE_ENDED, "", at_s, stage=stage, outcome=outcome, reason="why", exit_code=0)


def site(name: str, after: str) -> SiteFacts:
    """Make what was seen of a target on which nothing went wrong."""
    return SiteFacts(name, OLD, after, (), frozenset(), None, user_requests=9)


RELEASED = Facts(
    baseline=OLD,
    candidate=NEW,
    sites=(site("render", NEW), site("vercel", NEW)),
    ran=[Ran(Stage.BAKE, 0, 0, 1)],
    journal=[
        event(Kind.RELEASE, "", 0, commit=NEW, run_id="1", started_at=BEGIN.isoformat(), targets=["render", "vercel"]),
        ended(Stage.BAKE, "pass", 5),
    ],
)


def test_a_good_release_is_as_stated() -> None:
    """What ends as the book states has nothing wrong."""
    assert compare(GOOD, RELEASED, observe(RELEASED)) == []


@pytest.mark.parametrize(
    ("changed", "told", "wrong"),
    [
        ({"fault_came": False}, "", "the release ended before the fault came"),
        ({"troubles": ["a secret is in runner/stages.log"]}, "", "a secret is in runner/stages.log"),
        ({"said": "all is well"}, "environment", "the release did not say 'environment'"),
    ],
)
def test_what_no_drill_may_have(changed: dict[str, Any], told: str, wrong: str) -> None:
    """A fault that never came, a secret in a file, and words that were to be said and were not, are told."""
    drill = replace(GOOD, expected=replace(GOOD.expected, told=told))
    facts = replace(RELEASED, **changed)
    assert compare(drill, facts, observe(facts)) == [wrong]


def test_other_commits_have_their_words() -> None:
    """What serves at the end is told by the word of its commit."""
    theirs = "c" * 40
    facts = replace(RELEASED, sites=(site("render", theirs),), words={theirs: "theirs"})
    assert observe(facts).serving == {"render": "theirs"}


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], 0),
        ([0, 10, 0, 0], 10),
        ([0, 10, 13, 13], 13),
        ([0, -9, 0], 0),
        ([0, -9, 13], 13),
        ([0, 10, -9, 0], 10),
        ([130, 0, 0], 130),
    ],
)
def test_the_code_of_a_run(codes: list[int], code: int) -> None:
    """The first failure's; of a lost run what its recovery says; and 13 is always the last word."""
    assert run_exit_code([Ran(Stage.BAKE, each, 0, 1) for each in codes]) == code


def test_detection_is_timed_from_the_first_failure() -> None:
    """From the first one that a user met of the candidate, else from its first answer."""
    now = time.monotonic()
    facts = replace(
        RELEASED,
        sites=(replace(site("render", OLD), first_answer_s=now, first_failure_s=now + 3),),
        journal=[Event(datetime.now(UTC) + timedelta(seconds=8), Kind.STAGE_ENDED, "", BAKE_FAILED)],
    )
    assert observe(facts).detected_s == pytest.approx(5, abs=0.5)
    well = replace(facts, sites=(replace(facts.sites[0], first_failure_s=None),))
    assert observe(well).detected_s == pytest.approx(8, abs=0.5)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"serving_after": OLD}, "vercel: expected the candidate, saw baseline"),
        ({"serving_after": None}, "vercel: expected the candidate, saw neither"),
        ({"serving_before": NEW}, "vercel: the old release did not serve at the start"),
        ({"lingered": False}, "vercel: what serves changed by itself after the end"),
        ({"user_requests": 0}, "vercel: no user asked for anything, so nothing is known of them"),
        ({"user_failures": 1, "failures": {"status 502": 1}}, "user failures: at most 0, saw 1: vercel 1 × status 502"),
    ],
)
def test_one_target_that_differs_is_told(changed: dict[str, object], wrong: str) -> None:
    """Each target is held against the book: one that is right does not hide one that is wrong."""
    facts = replace(RELEASED, sites=(RELEASED.sites[0], replace(RELEASED.sites[1], **changed)))  # type: ignore[arg-type]
    assert compare(GOOD, facts, observe(facts)) == [wrong]


def test_the_pair_is_back_when_the_last_is() -> None:
    """Recovery is timed to the proof of the target that came back last, and is not known while one is not proven."""
    journal = [
        *(event(Kind.BASELINE, name, 0, commit=OLD) for name in BOTH),
        ended(Stage.BAKE, "fail", 10),
        event(Kind.PROOF, "vercel", 12, commit=OLD),
        event(Kind.PROOF, "render", 15, commit=OLD),
        event(Kind.PROOF, "render", 30, commit=OLD),
    ]
    assert observe(replace(RELEASED, journal=journal)).recovered_s == 5
    assert observe(replace(RELEASED, journal=journal[:-2])).recovered_s is None


def test_a_build_that_fails_ends_the_run() -> None:
    """Where `build` fails nothing else runs: its code is the run's, and nothing was started."""
    seen = observe(replace(RELEASED, ran=[Ran(BUILD, 10, 0, 1)], journal=[]))
    assert (seen.stage, seen.exit_code, seen.result) == ("build", 10, "never_started")

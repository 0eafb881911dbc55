"""Chaos: what is drawn, that a seed repeats, and that a claim which is not so is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cli import main
from scripts.rehearsal.book.drill import Drill, shipped
from scripts.rehearsal.changes import leaks
from scripts.rehearsal.chaos import Draw, Outcome, describe, draw, play
from scripts.rehearsal.chaos_command import play_all, render
from scripts.rehearsal.chaos_real import draw_drill, find_lies, render_real
from scripts.rehearsal.observe import Facts, Seen, SiteFacts
from scripts.rehearsal.play import Played
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD
from scripts.rehearsal.simulated.truth import find_false_success, find_untruths
from scripts.rehearsal.simulated.world import pair
from scripts.release import Stage
from scripts.report import Result

SEED = "book"
FACTS = Facts(OLD, NEW, (), (), ())
CALM = Draw("calm", ("render", "vercel"), together=True, faults=(), cuts=(), killed=False, keeps="journal")


def test_a_seed_stands_for_one_run() -> None:
    """The same seed gives the same run; different ones differ in everything that is drawn."""
    assert draw("a/1") == draw("a/1")
    drawn = [draw(f"a/{number}") for number in range(100)]
    assert {row.targets for row in drawn} == {("render", "vercel"), ("render",), ("vercel",)}
    assert {row.keeps for row in drawn} == {"journal", "copy", "nothing"}
    assert {len(row.cuts) for row in drawn} == {0, 1, 2, 3} == {len(row.faults) for row in drawn}
    assert len({name for row in drawn for name in row.faults}) > 25


@pytest.mark.parametrize("number", range(30))
def test_what_is_claimed_is_so(tmp_path: Path, number: int) -> None:
    """Whatever is drawn: production is on a proven release, or it is said that it is not."""
    outcome = play(draw(f"{SEED}/{number}"), tmp_path)
    assert outcome.untrue == [], describe(outcome.draw)


def test_a_calm_run_rolls_out(tmp_path: Path) -> None:
    """Without a fault and without a cut a release passes."""
    outcome = play(CALM, tmp_path)
    assert (outcome.exit_code, outcome.result, list(outcome.untrue)) == (0, "rolled_out", [])


@pytest.mark.parametrize("killed", [True, False])
def test_a_run_that_is_cut_off_is_recovered(tmp_path: Path, killed: bool) -> None:
    """Killed or interrupted in its middle it goes back, and the recovery's own cut changes nothing."""
    outcome = play(replace(CALM, cuts=(60, 3), killed=killed, keeps="copy"), tmp_path)
    assert (outcome.exit_code, list(outcome.untrue)) == (-9 if killed else 130, [])


def test_a_false_claim_is_told(tmp_path: Path) -> None:
    """Where users get something else than what is claimed, each of the looks says so."""
    world = pair(tmp_path)
    assert world.run_forward() == 0
    assert find_false_success(world) == []
    world.run(Stage.RECOVER)
    assert find_untruths(world, 0) == []
    world.render.serve_since_long(OLD)
    assert find_false_success(world) == [f"render: the release passed, and users get {OLD[:7]}"]
    told = find_untruths(world, 0)
    assert any("users get" in line for line in told)
    assert any("different commits" in line for line in told)
    world.unverified.append(NEWER)
    assert any("before it was verified" in line for line in find_untruths(world, 12))
    assert any(line.startswith("exit 12") for line in find_untruths(world, 12))


def test_what_is_still_coming_is_told(tmp_path: Path) -> None:
    """A success with a deploy of something else on its way is none."""
    world = pair(tmp_path)
    assert world.run_forward() == 0
    world.run(Stage.RECOVER)
    world.render.someone_deploys(NEWER)
    assert any("on its way" in line for line in find_untruths(world, 0))


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """It says how many runs ended how, and gives the same for the same seed."""
    assert main(["rehearse", "--chaos", "--runs", "3", "--seed", SEED, "--json"], {}) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seed"], told["ok"], len(told["runs"])) == (SEED, True, 3)
    assert main(["rehearse", "--chaos", "--runs", "1", "--seed", SEED, "--first", "2"], {}) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"1 random runs, seed {SEED}, ")
    assert f"exit {told['runs'][2]['exit_code']}, {told['runs'][2]['result']}" in text


def test_nothing_to_play(capsys: pytest.CaptureFixture[str]) -> None:
    """No run at all is a mistake, and is told with the next step."""
    assert main(["rehearse", "--chaos", "--runs", "0"], {}) == 2
    assert "next" in capsys.readouterr().err


def test_a_run_that_lies_is_told_with_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 10, the draw, what was not so, and the command that plays it again."""
    bad = Outcome(draw("s/7"), 0, "rolled_out", ["render: users get something else"])
    monkeypatch.setattr("scripts.rehearsal.chaos_command.play_all", lambda seed, numbers: [bad for _ in numbers])
    assert main(["rehearse", "--chaos", "--runs", "1", "--seed", "s", "--first", "7"], {}) == 10
    said = capsys.readouterr()
    assert "users get something else" in said.err
    assert "rehearse --chaos --runs 1 --seed s --first 7" in said.err
    assert "1 claimed what was not so" in said.out


def test_processes_give_the_runs_in_order() -> None:
    """Side by side the runs are the same as one after the other."""
    outcomes = play_all(SEED, range(4))
    assert [row.draw.seed for row in outcomes] == [f"{SEED}/{number}" for number in range(4)]
    assert "4 random runs" in render(SEED, outcomes, 1.0)


def test_candidate_is_the_new_commit(tmp_path: Path) -> None:
    """What a passed release serves is the commit that the run was for."""
    world = pair(tmp_path)
    world.run_forward()
    assert world.users == {"render": {NEW}, "vercel": {NEW}}


def seen(result: Result, serves: str, exit_code: int = 0) -> Seen:
    """Make what a real run showed."""
    return Seen(None, exit_code, result, 9, 0, None, None, None, {"render": serves})


@pytest.mark.parametrize(
    ("told", "lie"),
    [
        (seen(Result.ROLLED_OUT, "candidate"), ""),
        (seen(Result.ROLLED_OUT, "baseline"), "render serves the baseline, and rolled_out is claimed"),
        (seen(Result.ROLLED_BACK, "candidate", 10), "render serves the candidate, and rolled_back_to is claimed"),
        (seen(Result.NEVER_STARTED, "baseline", 10), "a good release on good platforms was not rolled out"),
        (seen(Result.STILL_BROKEN, "neither"), "exit 0, and still_broken is claimed"),
        (seen(Result.SUPERSEDED, "baseline", 10), "nobody else moved anything, and superseded is claimed"),
    ],
)
def test_a_real_run_that_lies(told: Seen, lie: str) -> None:
    """What serves, and what is claimed, of a good release on platforms on which nothing is wrong."""
    lies = find_lies(Drill("s/1", "", shipped()), FACTS, told)
    assert (lie in lies) if lie else (lies == [])


def test_a_false_green_and_what_is_left_are_lies() -> None:
    """A bad commit that passed, a secret in a file, and a deploy that goes live after the end."""
    site = SiteFacts("render", OLD, NEW, (), frozenset(), None, lingered=False)
    facts = replace(FACTS, sites=(site,), troubles=["a secret is in runner/stages.log"])
    bad = Drill("s/1", "one that leaks", shipped(), leaks)
    assert find_lies(bad, facts, seen(Result.ROLLED_OUT, "candidate")) == [
        "a secret is in runner/stages.log",
        "a false green: one that leaks",
        "render: what serves changed by itself",
    ]


def test_real_runs_are_drawn_from_their_seed() -> None:
    """The same seed gives the same commit, platform and cut; what is drawn differs, and is told."""
    drawn = [draw_drill(f"a/{number}") for number in range(60)]
    assert [row.what for row in drawn] == [draw_drill(f"a/{number}").what for number in range(60)]
    assert len({row.what for row in drawn}) > 40
    assert {row.meddle is None for row in drawn} == {bool(row.interludes) for row in drawn} == {True, False}
    text = render_real("a", [Played(drawn[0], FACTS, seen(Result.ROLLED_OUT, "candidate"), ["it lies"])])
    assert text.startswith(f"LIES a/0: exit 0, rolled_out; {drawn[0].what}")
    assert text.endswith("1 random runs with real processes, seed a: 1 claimed what was not so")

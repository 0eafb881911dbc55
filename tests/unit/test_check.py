"""The verb `check`, its decisions: what may start when, what an end means, what the change is held against."""

import os
import subprocess
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scripts.arguments import build_parser
from scripts.errors import UsageError
from scripts.gates.against import Base, choose_base
from scripts.gates.check import own_folder, plan_runs
from scripts.gates.jobs import GATES, Gate, in_shards
from scripts.gates.side_by_side import Ended, Result, Run, judge_code, plan_never, plan_next
from scripts.gates.summing_up import judge_gates, render_rows, sum_up, tell_command
from scripts.gates.transcript import LONGEST_BYTES, read_transcript
from scripts.release import Sha
from scripts.verdict import Outcome

ROOT = Path("/somewhere")
TESTS = Path(__file__).parents[1]
COMMIT, OTHER = Sha("a" * 40), Sha("b" * 40)
RUNS = plan_runs(GATES, Base(COMMIT, COMMIT), ROOT)
BY_NAME = {run.gate.name: run for run in RUNS}
TOGETHER = ["unit", "integration", "lock", "lint"]
OK, FAIL, UNSURE, ERROR, STOPPED, NOT_RUN = Result
AT_FIRST = dict.fromkeys(["lock", "lint"], OK)
PARTS = dict.fromkeys(["unit", "integration"], OK)


def rows(**results: Result) -> list[Ended]:
    """Give an end for each gate that is named."""
    return [Ended(BY_NAME[name], result, 1.5, 0) for name, result in results.items()]


@pytest.mark.parametrize(
    ("ended", "going", "starts"),
    [
        ({}, [], TOGETHER),
        ({"lock": OK}, ["lint", "unit", "integration"], []),
        ({"unit": OK}, ["integration"], ["lock", "lint"]),
        ({"unit": OK, "integration": OK}, ["lint", "lock"], ["coverage"]),
        ({**PARTS, "unit": FAIL}, ["lint", "lock"], []),
        ({**PARTS, "integration": STOPPED}, ["lint", "lock"], []),
        ({**AT_FIRST, **PARTS}, ["coverage"], []),
        ({**AT_FIRST, **PARTS, "coverage": OK}, [], ["load"]),
        ({**AT_FIRST, **PARTS, "coverage": FAIL}, [], ["load"]),
        ({**AT_FIRST, **PARTS, "coverage": OK}, ["load"], []),
        ({**AT_FIRST, "unit": FAIL}, ["integration"], []),
        ({**AT_FIRST, "unit": FAIL, "integration": OK, "coverage": NOT_RUN}, [], ["load"]),
        (dict.fromkeys([gate.name for gate in GATES], OK), [], []),
    ],
)
def test_what_may_start(ended: dict[str, Result], going: list[str], starts: list[str]) -> None:
    """All start at once but coverage, which waits for both parts, and load, which waits for everybody."""
    assert [run.gate.name for run in plan_next(RUNS, ended, going)] == starts


@pytest.mark.parametrize("result", [result for result in Result if result is not Result.OK])
@pytest.mark.parametrize("part", ["unit", "integration"])
def test_coverage_never_starts_without_both_parts(part: str, result: Result) -> None:
    """Coverage is written off as soon as a part did not pass, and nothing else is."""
    never = plan_never(RUNS, {**PARTS, "lint": FAIL, part: result})
    assert never == {"coverage": f"{part} did not pass"}
    assert plan_never(RUNS, {**PARTS, part: result, "coverage": NOT_RUN}) == {}
    assert plan_never(RUNS, {**PARTS, "lint": FAIL}) == {}


def test_alone_is_alone() -> None:
    """Two gates that each measure the machine run one after the other."""
    first, second = (Run(Gate(name, "?", (name,), 1, alone=True), ("x",), Path("x")) for name in "ab")
    assert plan_next([first, second], {}, []) == [first]
    assert plan_next([first, second], {}, ["a"]) == []
    assert plan_next([first, second], {"a": FAIL}, []) == [second]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (0, OK),
        (1, FAIL),
        (2, FAIL),
        (5, FAIL),
        (10, FAIL),
        (11, UNSURE),
        (12, ERROR),
        (13, FAIL),
        (130, FAIL),
        (-9, FAIL),
    ],
)
def test_only_zero_is_ok(code: int, result: Result) -> None:
    """An exit code that is not known to mean something better is a failure."""
    assert judge_code(code) is result


@pytest.mark.parametrize(
    ("ended", "code", "told"),
    [
        ({"lock": OK, "lint": OK}, 0, "2 of 2 gates passed"),
        ({"lock": OK, "lint": FAIL}, 10, "1 of 2 gates passed; fail: lint"),
        ({"lock": FAIL, "unit": OK, "lint": FAIL}, 10, "1 of 3 gates passed; fail: lock, lint"),
        ({"lock": UNSURE, "lint": OK}, 11, "1 of 2 gates passed; unsure: lock"),
        ({"lock": UNSURE, "lint": ERROR}, 12, "0 of 2 gates passed; unsure: lock; error: lint"),
        ({"lock": ERROR, "lint": FAIL}, 10, "0 of 2 gates passed; error: lock; fail: lint"),
        ({"lock": STOPPED, "lint": OK}, 11, "1 of 2 gates passed; stopped: lock"),
        ({"lock": NOT_RUN, "lint": OK}, 11, "1 of 2 gates passed; not run: lock"),
        ({"lock": NOT_RUN, "lint": ERROR}, 12, "0 of 2 gates passed; error: lint; not run: lock"),
        ({}, 11, "0 of 0 gates passed"),
    ],
)
def test_the_worst_wins(ended: dict[str, Result], code: int, told: str) -> None:
    """The exit code is the worst gate's; what was stopped, or never run, is never a pass, and neither is nothing."""
    verdict = judge_gates(rows(**ended))
    assert (verdict.exit_code, verdict.reason) == (code, told)


@pytest.mark.parametrize("ended", [{"lock": OK}, {"lock": FAIL}, {}])
def test_interrupted_is_130(ended: dict[str, Result]) -> None:
    """An interrupted check ends with 130, whatever had passed before."""
    told = sum_up(rows(**ended), 1.0, interrupted=True)
    assert (told.code, told.outcome) == (130, "interrupted")


def test_the_next_step_is_the_red_one() -> None:
    """The command that is told next is that of a gate that failed, not of one that was stopped for it."""
    verdict = judge_gates(rows(lock=STOPPED, lint=FAIL))
    assert verdict.next_step == "python3 -m scripts lint"
    assert judge_gates(rows(lock=OK)).next_step == ""


def test_commands_are_of_the_command_line() -> None:
    """The real parser takes every command, coverage gets both parts' data, and only what takes a commit gets one."""
    told = {run.gate.name: list(run.command[3:]) for run in RUNS}
    parsed = {name: build_parser().parse_args(words) for name, words in told.items()}
    assert [name for name, words in parsed.items() if getattr(words, "against", None) == COMMIT] == ["load", "coverage"]
    assert [str(path) for path in parsed["coverage"].data] == [
        ".slipway/check/coverage-unit",
        ".slipway/check/coverage-integration",
    ]
    files = {run.gate.name: run.settings for run in RUNS if run.settings}
    assert files == {name: {"COVERAGE_FILE": f"/somewhere/.slipway/check/coverage-{name}/.coverage"} for name in PARTS}
    assert tell_command(BY_NAME["load"]) == "python3 -m scripts load --against aaaaaaa"


@pytest.mark.parametrize(
    ("base", "load", "coverage"),
    [
        (Base(), [], []),
        (Base(COMMIT, None), [], ["--against", COMMIT]),
        (Base(COMMIT, OTHER), ["--against", OTHER], ["--against", COMMIT]),
    ],
)
def test_what_is_held_against(base: Base, load: list[str], coverage: list[str]) -> None:
    """Without a commit to hold against the gates are run without one."""
    runs = {run.gate.name: run.command for run in plan_runs(GATES, base, ROOT)}
    assert list(runs["load"][4:]) == load
    assert list(runs["coverage"][6:]) == coverage


def git(root: Path, *words: str) -> str:
    """Run git as nobody's configuration tells it to, and give what it says."""
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    ran = subprocess.run(["git", "-C", str(root), *words], env=settings, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit(root: Path, text: str) -> str:
    """Make an empty commit and give its id."""
    git(root, "commit", "--quiet", "--allow-empty", "-m", text)
    return git(root, "rev-parse", "HEAD")


def test_the_base_is_where_head_left(tmp_path: Path) -> None:
    """The change is held against the merge base with origin/HEAD, else origin/main, else main; a named commit wins."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    first = commit(tmp_path, "first")
    assert choose_base(None, tmp_path).commit is None  # this is main, and nothing else is known
    assert "no default branch is known" in choose_base(None, tmp_path).told
    git(tmp_path, "checkout", "--quiet", "-b", "change")
    assert choose_base(None, tmp_path) == Base(
        Sha(first), None, "HEAD has no commit that main has not: load runs without --against"
    )
    change = commit(tmp_path, "change")
    assert choose_base(None, tmp_path) == Base(
        Sha(first), Sha(first), f"held against {first[:7]}, where HEAD left main"
    )
    git(tmp_path, "update-ref", "refs/remotes/origin/main", change)
    assert choose_base(None, tmp_path).commit == change
    git(tmp_path, "update-ref", "refs/remotes/origin/trunk", first)
    git(tmp_path, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    assert choose_base(None, tmp_path).load == first
    assert choose_base("change", tmp_path) == Base(Sha(change), Sha(change))


@pytest.mark.parametrize("named", ["", "nowhere", "--all", "HEAD~1"])
def test_an_unknown_commit_is_refused(tmp_path: Path, named: str) -> None:
    """A named commit that is not here ends the check before anything is started, and an option is no commit."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match="is not in this checkout"):
        choose_base(named, tmp_path)


def test_outside_of_git_there_is_no_base(tmp_path: Path) -> None:
    """Without a repository nothing is held against, and it is said."""
    assert choose_base(None, tmp_path / "nowhere").told.endswith("load and coverage run without --against")


def test_old_data_is_gone_and_the_folder_is_held(tmp_path: Path) -> None:
    """A check begins without what an earlier one left, and a second one at the same time is refused."""
    folder = tmp_path / "check"
    (folder / "coverage-unit-1").mkdir(parents=True)
    (folder / "coverage-unit-1" / ".coverage").touch()
    (folder / "old.log").touch()
    (folder / "away").symlink_to(tmp_path)
    with own_folder(folder):
        assert sorted(path.name for path in folder.rglob("*")) == [
            "coverage-integration-1",
            "coverage-integration-2",
            "coverage-integration-3",
            "coverage-unit-1",
            "coverage-unit-2",
        ]
        with pytest.raises(UsageError, match="another check"), own_folder(folder):
            pass
        assert (folder / "coverage-unit-1").is_dir()
    with own_folder(folder):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Where the folder's name is taken by a file nothing is started, and it is said."""
    (tmp_path / "check").touch()
    with pytest.raises(UsageError, match="cannot be made ready"), own_folder(tmp_path / "check"):
        pass


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07end\r\n", ["red end"]),
        (b"\xff\x00 torn \xe2\x82", ["� torn �"]),
        ("ü\x9b31m".encode(), ["ü31m"]),
        (b"", [""]),
    ],
)
def test_a_transcript_is_plain(tmp_path: Path, written: bytes, shown: list[str]) -> None:
    """What a gate said is shown without colours, cursor moves and bytes that are no text."""
    (tmp_path / "log").write_bytes(written)
    assert list(read_transcript(tmp_path / "log")) == shown


def test_a_very_long_transcript_is_cut(tmp_path: Path) -> None:
    """Of an output without end the end is shown, and how much is left out; one that is gone is told as gone."""
    (tmp_path / "log").write_bytes(b"x" * LONGEST_BYTES + b"\nlast\n")
    told = list(read_transcript(tmp_path / "log"))
    assert (told[0], told[-1]) == ("… 6 bytes before this are in the log", "last")
    assert list(read_transcript(tmp_path / "gone")) == ["its output cannot be read: No such file or directory"]


def test_the_table_says_where_to_look(tmp_path: Path) -> None:
    """The summary names the place of the last lines of what is red, and only of that."""
    runs = plan_runs(GATES, Base(), tmp_path)[:3]
    runs[0].log.parent.mkdir(parents=True)
    for run in runs[:2]:
        run.log.write_text("one\ntwo\n")
    table = render_rows([Ended(runs[0], OK, 2.0, 0), Ended(runs[1], FAIL, 3.04, 10), Ended(runs[2], NOT_RUN)], tmp_path)
    assert table[1:] == [
        ("lock", "ok", "2.0", "python3 -m scripts lock check", ""),
        ("lint", "fail", "3.0", "python3 -m scripts lint", ".slipway/check/lint.log:2"),
        ("unit", "not run", "0.0", "python3 -m scripts test --part unit", ""),
    ]


def test_every_result_has_an_outcome() -> None:
    """No result but ok is a pass."""
    assert [result for result in Result if judge_gates(rows(lock=result)).outcome is Outcome.PASS] == [OK]


def test_shards_are_gates_of_their_own() -> None:
    """Each shard has a name, a log and data of its own; who needs the gate needs all of them."""
    runs = {run.gate.name: run for run in plan_runs(in_shards(GATES), Base(), ROOT)}
    assert [*runs] == [
        "lock",
        "lint",
        "unit-1",
        "unit-2",
        "integration-1",
        "integration-2",
        "integration-3",
        "load",
        "coverage",
    ]
    assert runs["coverage"].gate.needs == ("unit-1", "unit-2", "integration-1", "integration-2", "integration-3")
    assert len({run.log for run in runs.values()}) == len(runs)
    assert len({run.settings["COVERAGE_FILE"] for run in runs.values() if run.settings}) == 5
    data = [word for word in runs["coverage"].command if "coverage-" in word]
    assert data == [f".slipway/check/coverage-{name}" for name in runs["coverage"].gate.needs]


def test_shards_leave_no_test_out() -> None:
    """Each file of tests is in exactly one shard of its part; a new folder is in one of them at least."""
    for gate in [gate for gate in GATES if gate.shards]:
        ours = [path for path in TESTS.rglob("test_*.py") if (TESTS / "unit" in path.parents) == ("unit" in gate.words)]
        taken = [len([shard for shard in gate.shards if not leaves_out(shard, path)]) for path in ours]
        assert taken == [1] * len(ours)
        assert len(taken) > 10
        assert any(not leaves_out(shard, TESTS / "new" / "test_new.py") for shard in gate.shards)
    assert in_shards([Gate("a", "", ("a",), 1)]) == (Gate("a", "", ("a",), 1),)


def leaves_out(shard: Sequence[str], path: Path) -> bool:
    """Whether pytest, given these words, would not collect the file."""
    assert shard[0] == "--"
    named = str(path.relative_to(TESTS.parent))
    kinds = [word.partition("=") for word in shard[1:]]
    assert {kind for kind, _, _ in kinds} <= {"--ignore", "--ignore-glob"}
    return any(
        fnmatch(named, what) if kind == "--ignore-glob" else path.is_relative_to(TESTS.parent / what)
        for kind, _, what in kinds
    )

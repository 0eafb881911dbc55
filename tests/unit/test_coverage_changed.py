"""The coverage of what a change adds, by the verb itself on real commits: no line is lost, the floor is exact."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import coverage.files
import pytest
from coverage import CoverageData

from scripts.arguments import build_parser
from scripts.errors import UsageError
from scripts.gates import coverage as gate
from scripts.gates.changed_lines import (
    SHOWN,
    Change,
    Changed,
    find_runs,
    judge_change,
    read_patch,
    render_change,
    weigh,
)
from scripts.gates.covered import Covered, Sum
from scripts.release import Sha

SETTINGS = "[run]\nsource = app, scripts\n"
CONFIG = 'version = 1\n[[checks]]\nname = "ready"\npath = "/ready"\n[coverage]\nfloor = 0\n'
OLD = "def old():\n    return 1\n\n\nold()\n"
OLD_RUN = (1, 2, 5)
NEW = "def new():\n    a = 1\n    b = 2\n    c = 3\n    return a + b + c\n"  # five statements, one run on import
SINCE = Sha("a" * 40)
GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")

type Story = Callable[["Repository"], None]


class Repository:
    """A checkout of a service and a pipeline of one module each, on a branch of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, root: Path) -> "Repository":
        """Make one, with a first commit."""
        root.mkdir(parents=True)
        made = cls(root)
        made.git("init", "--quiet", "--initial-branch=main", "--template=")
        made.write(".gitignore", ".coverage\nignored.py\n")
        made.write(".coveragerc", SETTINGS)
        made.write("slipway.toml", CONFIG)
        made.write("app/__init__.py", "")
        made.write("app/old.py", OLD)
        made.write("scripts/tool.py", OLD)
        made.commit()
        made.git("checkout", "--quiet", "-b", "change")
        return made

    def git(self, *words: str) -> None:
        """Run git."""
        subprocess.run([*GIT, *words], cwd=self.root, check=True, capture_output=True)

    def write(self, name: str, text: str | bytes) -> None:
        """Write a file."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def commit(self) -> None:
        """Commit all that is here."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")

    def measure(self, ran: dict[str, Collection[int]] | None = None) -> None:
        """Leave the data of tests that ran these lines beside the old ones."""
        told = {"app/old.py": OLD_RUN, "scripts/tool.py": OLD_RUN, **(ran or {})}
        data = CoverageData(str(self.root / ".coverage"))
        data.add_lines({str(self.root / name): lines for name, lines in told.items() if (self.root / name).exists()})
        data.write()
        data.close()

    def run(self, *words: str, **environment: str) -> int:
        """Run the verb against main, where no words say otherwise."""
        return gate.run(build_parser().parse_args(["coverage", *(words or ("--against", "main"))]), environment)


def marks_in(err: str) -> list[tuple[str, dict[str, str], str]]:
    """Give what the runner would mark in a file: the level, where, and the text."""
    found = [re.fullmatch(r"::(error|warning|notice) (.*?)::(.*)", line) for line in err.splitlines()]
    told = [(mark[1], dict(part.split("=", 1) for part in mark[2].split(",")), mark[3]) for mark in found if mark]
    return [mark for mark in told if "file" in mark[1]]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Make what every test starts from."""
    return Repository.make(tmp_path_factory.mktemp("first") / "checkout")


@pytest.fixture
def repository(first: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Give a checkout, and stand in it, with nobody's own git settings."""
    root = tmp_path / "checkout"
    shutil.copytree(first.root, root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.chdir(root)
    yield Repository(root)
    monkeypatch.undo()
    coverage.files.set_relative_directory()  # coverage keeps where it was last made; what measures this test is there


def test_uncovered_new_lines_are_red(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New lines that no test runs: exit 10, an error at the lines, their places in the table, also in the summary."""
    repository.write("app/new.py", NEW)
    repository.write("app/old.py", OLD + "if old() == 2:\n    old()\n")
    repository.commit()
    repository.measure({"app/new.py": [1], "app/old.py": [*OLD_RUN, 6]})
    summary = tmp_path / "summary.md"
    assert repository.run(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)) == 10
    out, err = capsys.readouterr()
    assert "changed     new lines  covered  not covered\n" in out
    assert "app/new.py  1 of 5     20.0 %   2-5\napp/old.py  1 of 2     50.0 %   7\n" in out
    new = {"file": "app/new.py", "line": "2", "endLine": "5", "title": "new lines without a test"}
    old = {**new, "file": "app/old.py", "line": "7", "endLine": "7"}
    assert marks_in(err) == [
        ("error", new, "lines 2 to 5 are new, and no test runs them"),
        ("error", old, "line 7 is new, and no test runs it"),
    ]
    assert "fail   coverage: 28.5 % of the 7 lines added since" in err
    assert "| app/new.py | 1 of 5 | 20.0 % | 2-5 |" in summary.read_text()
    assert "## Coverage: FAIL\n\n- 50.0 % of app" in summary.read_text()


@pytest.mark.parametrize(
    ("ran", "floor", "code", "level"),
    [
        ((1, 2, 3, 4), 80, 0, "warning"),
        ((1, 2, 3), 80, 10, "error"),
        pytest.param((1, 2, 3, 4), 81, 10, "error", marks=pytest.mark.slow),
        ((1, 2, 3, 4, 5), 100, 0, ""),
        pytest.param((1, 2, 3, 4), 100, 10, "error", marks=pytest.mark.slow),
        pytest.param((1,), 0, 0, "warning", marks=pytest.mark.slow),
    ],
)
def test_the_floor_of_new_lines(
    repository: Repository, capsys: pytest.CaptureFixture[str], ran: Collection[int], floor: int, code: int, level: str
) -> None:
    """Exactly on changed_floor is enough, one line under it is red; what no test runs is marked in either case."""
    repository.write("slipway.toml", f"{CONFIG}changed_floor = {floor}\n")
    repository.write("app/new.py", NEW)
    repository.commit()
    repository.measure({"app/new.py": ran})
    assert repository.run(GITHUB_ACTIONS="true") == code
    assert [mark for mark, *_ in marks_in(capsys.readouterr().err)] == ([level] if level else [])


def test_either_floor_alone_is_red(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """Well-covered new lines do not help a package under its floor, and what is said is what is wrong."""
    repository.write("slipway.toml", CONFIG.replace("floor = 0", "floor = 80"))
    repository.write("app/big.py", NEW.replace("new", "big") * 3)
    repository.git("add", "app/big.py")
    repository.git("commit", "--quiet", "--message", "theirs")
    repository.git("branch", "--force", "main")
    repository.write("app/new.py", NEW)
    repository.commit()
    repository.measure({"app/big.py": [1], "app/new.py": range(1, 6)})
    assert repository.run() == 10
    told = capsys.readouterr().err
    assert "39.1 % of app covered, under the floor of 80 %" in told
    assert "added since" not in told
    assert "::" not in told


def nothing(_repository: Repository) -> None:
    """Change nothing."""


def elsewhere(repository: Repository) -> None:
    """Change what is not measured."""
    repository.write("tests/test_new.py", NEW)
    repository.write("README.md", "new\n")
    repository.commit()


def delete(repository: Repository) -> None:
    """Delete a file, and lines of another."""
    repository.write("app/old.py", "def old():\n    return 1\n")
    repository.git("rm", "--quiet", "scripts/tool.py")
    repository.commit()


def rename(repository: Repository) -> None:
    """Move a file."""
    repository.git("mv", "app/old.py", "app/moved.py")
    repository.commit()


def comment(repository: Repository) -> None:
    """Add a comment, a text that nobody runs, and an empty line."""
    repository.write("app/old.py", f'"""Old.\n\nOlder.\n"""\n\n# old\n{OLD}')
    repository.commit()


def ignore(repository: Repository) -> None:
    """Have a file that git does not see, a link to nothing, and files that .coveragerc leaves out."""
    (repository.root / "app" / ".#old.py").symlink_to("me@here.1")
    repository.write("app/ignored.py", NEW)
    repository.write("app/left_out.py", NEW)
    repository.write("app/not_told.py", NEW)
    repository.write(".coveragerc", f"{SETTINGS}omit = */left_out.py\n[report]\nomit = app/not_told.py\n")


def move_main_on(repository: Repository) -> None:
    """Let others change main after this change has left it."""
    repository.git("checkout", "--quiet", "main")
    repository.write("app/theirs.py", NEW)
    repository.commit()
    repository.git("checkout", "--quiet", "change")


@pytest.mark.parametrize("story", [nothing, elsewhere, delete, rename, comment, ignore, move_main_on])
def test_nothing_measured_was_added(repository: Repository, capsys: pytest.CaptureFixture[str], story: Story) -> None:
    """A change that adds no line which is measured passes, and that is said."""
    story(repository)
    repository.measure({"app/old.py": [1, 6, 7, 8, 11] if story is comment else [1], "app/moved.py": [1]})
    if story is delete:  # nothing of scripts is left to run
        repository.write(".coveragerc", "[run]\nsource = app\n")
    told = repository.run(GITHUB_ACTIONS="true")
    out, err = capsys.readouterr()
    assert (told, "no line that is measured was added since" in err) == (0, True), err
    assert "::" not in err
    assert "new lines" not in out


def unknown_file(repository: Repository) -> None:
    """Add a file that no test imports."""
    repository.write("app/new.py", NEW)
    repository.commit()


def odd_name(repository: Repository) -> None:
    """Add one whose name git writes in quotes, in a folder that is no package."""
    repository.write('app/mit Raum/über "uns", 100%.py', NEW)
    repository.commit()


def renamed_and_changed(repository: Repository) -> None:
    """Move a file that was well covered, and add to it."""
    repository.write("scripts/tool.py", OLD * 5)
    repository.commit()
    repository.git("branch", "--force", "main")
    repository.git("mv", "scripts/tool.py", "scripts/öffner.py")
    repository.write("scripts/öffner.py", OLD * 5 + NEW)
    repository.commit()


def uncommitted(repository: Repository) -> None:
    """Change a file and commit nothing, with another uncommitted change above it."""
    repository.write("app/old.py", "# one\n# two\n" + OLD)
    repository.commit()
    repository.write("app/old.py", "# one\n# two\n# three\n" + OLD + NEW)


def staged(repository: Repository) -> None:
    """Stage a new file."""
    unstaged(repository)
    repository.git("add", "app/new.py")


def unstaged(repository: Repository) -> None:
    """Leave a file that git does not know yet."""
    repository.write("app/new.py", NEW)


def no_newline(repository: Repository) -> None:
    """Have no line's end at the end, before and after."""
    repository.write("app/new.py", NEW.removesuffix("\n"))
    repository.commit()
    repository.git("branch", "--force", "main")
    repository.write("app/new.py", NEW.removesuffix("\n") + " + 1")
    repository.commit()


def latin_1(repository: Repository) -> None:
    """Write in another encoding, with another line's end and a bare carriage return in a text."""
    repository.write("app/new.py", "# coding: latin-1\r\ndef new():\r\n    return 'ü'\r\n".encode("latin-1"))
    repository.commit()


def several_lines(repository: Repository) -> None:
    """Change one line in the middle of a statement that nobody runs."""
    text = "def new():\n    return dict(\n        a=1,\n        b=2,\n    )\n"
    repository.write("app/new.py", text)
    repository.commit()
    repository.git("branch", "--force", "main")
    repository.write("app/new.py", text.replace("b=2", "b=3"))
    repository.commit()


def as_binary(repository: Repository) -> None:
    """Let the repository's attributes hide what was changed."""
    repository.write(".gitattributes", "*.py binary\n")
    unknown_file(repository)


def own_settings(repository: Repository) -> None:
    """Have settings of one's own for how a diff looks."""
    for setting in (
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "diff.external=false",
        "color.ui=always",
        "diff.interHunkContext=20",
        "diff.renames=false",
        "core.quotePath=false",
        "diff.suppressBlankEmpty=true",
        "diff.srcPrefix=x/",
        "diff.wsErrorHighlight=all",
    ):
        repository.git("config", *setting.split("="))
    repository.write("app/ü.py", NEW)
    repository.commit()


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (unknown_file, "app/new.py 0 of 5 0.0 % 1-5"),
        (odd_name, 'app/mit Raum/über "uns", 100%.py 0 of 5 0.0 % 1-5'),
        (renamed_and_changed, "scripts/öffner.py 0 of 5 0.0 % 26-30"),
        (uncommitted, "app/old.py 0 of 5 0.0 % 9-13"),
        pytest.param(staged, "app/new.py 0 of 5 0.0 % 1-5", marks=pytest.mark.slow),
        (unstaged, "app/new.py 0 of 5 0.0 % 1-5"),
        (no_newline, "app/new.py 0 of 1 0.0 % 5"),
        (latin_1, "app/new.py 0 of 2 0.0 % 2-3"),
        (several_lines, "app/new.py 0 of 1 0.0 % 4"),
        pytest.param(as_binary, "app/new.py 0 of 5 0.0 % 1-5", marks=pytest.mark.slow),
        (own_settings, "app/ü.py 0 of 5 0.0 % 1-5"),
    ],
)
def test_new_lines_are_found_wherever_they_are(
    repository: Repository, capsys: pytest.CaptureFixture[str], story: Story, expected: str
) -> None:
    """What a change adds and no test runs is red and named: in files that nobody imports too, committed or not."""
    story(repository)
    repository.measure({"app/old.py": [4, 5, 8] if story is uncommitted else OLD_RUN, "scripts/öffner.py": OLD_RUN})
    told = repository.run()
    out, err = capsys.readouterr()
    assert told == 10, err
    assert expected in [" ".join(line.split()) for line in out.splitlines()]
    assert " of 5 lines added" not in err


def unknown_commit(_repository: Repository) -> list[str]:
    """Name what is not there."""
    return ["--against", "no-such-branch"]


def an_option(_repository: Repository) -> list[str]:
    """Name what git could take for an option."""
    return ["--against=--output=stolen"]


def unrelated(repository: Repository) -> list[str]:
    """Name a commit of another history."""
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.git("commit", "--quiet", "--message", "of another root, which the same words in the same second are not")
    return ["--against", "main"]


def shallow(repository: Repository) -> list[str]:
    """Have no more than the last commits of either branch, as a workflow's checkout has."""
    move_main_on(repository)
    unknown_file(repository)
    repository.measure()
    repository.git(
        "clone", "--quiet", "--depth=1", "--no-single-branch", "--branch=change", f"file://{repository.root}", "in"
    )
    shutil.copy(".coverage", "in/.coverage")
    shutil.rmtree(".git")
    for name in ("app", "scripts"):
        shutil.rmtree(name)
    for path in Path("in").iterdir():
        if path.name in {".git", "app", "scripts"}:
            path.rename(path.name)
    return ["--against", "origin/main"]


def no_repository(repository: Repository) -> list[str]:
    """Stand in a folder that git knows nothing of."""
    shutil.rmtree(repository.root / ".git")
    return ["--against", "main"]


def unreadable(repository: Repository) -> list[str]:
    """Add a file that is no Python."""
    repository.write("app/new.py", "def")
    repository.commit()
    return ["--against", "main"]


def name_like_two(repository: Repository) -> list[str]:
    """Add a file whose name makes git's diff say two things."""
    repository.write("app/x b/y.py", NEW)
    repository.commit()
    return ["--against", "main"]


def no_data(repository: Repository) -> list[str]:
    """Run no tests."""
    unknown_file(repository)
    (repository.root / "empty").mkdir()
    return ["--against", "main", "--", "empty"]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (unknown_commit, ["commit 'no-such-branch' is not in this checkout", "fetch-depth: 0"]),
        pytest.param(an_option, ["commit '--output=stolen' is not in this checkout"], marks=pytest.mark.slow),
        (unrelated, ["HEAD and main (", "have no commit in common here", "fetch-depth: 0"]),
        (shallow, ["HEAD and origin/main (", "have no commit in common here", "fetch-depth: 0"]),
        (no_repository, ["git rev-parse failed: fatal: not a git repository", "run this in a git checkout"]),
        (unreadable, ["cannot be added up: Couldn't parse"]),
        (name_like_two, ["git's diff cannot be read where it tells of 'app/x b/y.py'", "give the file a name"]),
        (no_data, ["empty has no data file"]),
    ],
)
def test_a_change_that_is_not_known_is_red(
    repository: Repository,
    capsys: pytest.CaptureFixture[str],
    story: Callable[[Repository], list[str]],
    expected: list[str],
) -> None:
    """No such commit, no common history, no git, no data: exit 2 with what to do, never a pass."""
    repository.measure()
    words = story(repository)
    told = repository.run(*words, GITHUB_ACTIONS="true")
    out, err = capsys.readouterr()
    assert (told, out) == (2, "")
    assert [part for part in expected if part not in err] == [], err
    assert "next: " in err
    assert "::error title=slipway::" in err
    assert not Path("stolen").exists()


def test_without_git(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without git: exit 2, and what is missing."""
    repository.measure()
    monkeypatch.setenv("PATH", str(repository.root))
    assert repository.run() == 2
    assert "git rev-parse did not run: FileNotFoundError" in capsys.readouterr().err


def test_no_more_marks_than_github_shows(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub shows ten marks of a level for a step: nine places and the verdict; how many more there are is said."""
    repository.write("app/new.py", "if new:\n    a = 1\n" * 12)
    repository.commit()
    repository.measure({"app/new.py": range(1, 24, 2)})
    assert repository.run(GITHUB_ACTIONS="true") == 10
    told = capsys.readouterr().err
    assert (len(marks_in(told)), told.count("::error "), told.count("::warning ")) == (9, 10, 0)
    assert "and 3 more places with new lines that no test runs: see the table\n" in told
    repository.write("slipway.toml", f"{CONFIG}changed_floor = 50\n")
    assert repository.run(GITHUB_ACTIONS="true") == 0
    told = capsys.readouterr().err
    assert (told.count("::error "), told.count("::warning "), len(marks_in(told))) == (0, 10, 10)
    assert "and 2 more places" in told


def test_a_name_is_only_a_name(repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name ends no line, no table and no mark, and gives no command to the runner."""
    repository.write("app/a\n::error::x,line=7|<b>`.py", NEW)
    repository.commit()
    repository.measure()
    summary = tmp_path / "summary.md"
    assert repository.run(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)) == 10
    out, err = capsys.readouterr()
    commands = [line for line in (out + err).splitlines() if line.startswith("::")]
    assert len(commands) == 2
    ((level, where, _),) = marks_in(err)
    assert (level, where["line"]) == ("error", "1")
    assert where["file"] == "app/a%0A%3A%3Aerror%3A%3Ax%2Cline=7|<b>`.py"
    assert commands[1].startswith("::error title=coverage%3A fail::")
    assert "\napp/a ::error::x,line=7|<b>`.py  0 of 5     0.0 %    1-5\n" in out
    assert "| app/a ::error::x,line=7\\|\\<b\\>\\`.py | 0 of 5 |" in summary.read_text()


def test_data_with_relative_names(repository: Repository) -> None:
    """Data that names files as .coveragerc's relative_files does is known, so that its lines are not asked for anew."""
    repository.write(".coveragerc", f"{SETTINGS}relative_files = true\n")
    repository.write("app/new.py", NEW)
    repository.commit()
    data = CoverageData(str(repository.root / ".coverage"))
    data.add_lines({"app/new.py": range(1, 6), "app/old.py": OLD_RUN, "scripts/tool.py": OLD_RUN})
    data.write()
    data.close()
    assert repository.run() == 0


@pytest.mark.parametrize("words", [["--config", "slipway.toml"], ["--against="]])
def test_without_a_commit_nothing_is_asked_of_git(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Where no commit is named, as in a release, the new lines have no floor: that is said, and no git is needed."""
    unknown_file(repository)
    repository.measure()
    shutil.rmtree(repository.root / ".git")
    summary = tmp_path / "summary.md"
    assert repository.run(*words, GITHUB_STEP_SUMMARY=str(summary)) == 0
    told = capsys.readouterr().err
    assert "skip   new lines: no commit is named with --against" in told
    assert "added since" not in told
    assert "were not judged" in summary.read_text()


@pytest.mark.parametrize(
    ("sums", "floor", "code"),
    [
        ([(80, 100)], 80, 0),
        ([(79, 100)], 80, 10),
        ([(79_999, 100_000)], 80, 10),
        ([(0, 20), (80, 80)], 80, 0),
        ([(0, 21), (80, 80)], 80, 10),
        ([(0, 1)], 0, 0),
        ([(0, 1)], 1, 10),
        ([], 100, 0),
    ],
)
def test_the_floor_of_new_lines_is_exact(sums: list[tuple[int, int]], floor: int, code: int) -> None:
    """New lines are held against their floor all together and without rounding; where there are none, it holds."""
    changed = [Changed(f"app/{number}.py", Sum(each)) for number, each in enumerate(sums)]
    assert judge_change(Change(SINCE, {}), changed, floor).exit_code == code


@pytest.mark.parametrize(
    ("lines", "between", "runs"),
    [
        ([], [], ()),
        ([3], [], ((3, 3),)),
        ([5, 3, 4], [], ((3, 5),)),
        ([3, 5], [], ((3, 3), (5, 5))),
        ([3, 5], [4], ((3, 5),)),
        ([3, 6], [4], ((3, 3), (6, 6))),
        ([1, 10**9], [2, 3], ((1, 1), (10**9, 10**9))),
    ],
)
def test_neighbours_are_one_run(lines: list[int], between: list[int], runs: tuple[tuple[int, int], ...]) -> None:
    """Lines beside each other are one place, over new comments too, but not over a line that is run or is not new."""
    assert find_runs(lines, between) == runs


def test_a_statement_counts_once() -> None:
    """A statement over several new lines is one, and all of those are shown; a line of no statement does not count."""
    row = Covered("app/a.py", "app", Sum((2, 4)), frozenset({1, 2}), frozenset({4, 9}))
    starts = {1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 7, 8: 8}
    assert weigh(row, starts) == Changed("app/a.py", Sum((2, 3)), ((4, 6),))


def test_the_table_names_the_worst_first() -> None:
    """Twenty files at most, those with the most uncovered new lines first, and how many more there are."""
    changed = [Changed(f"app/{number:02}.py", Sum((0, number + 1)), ((1, number + 1),)) for number in range(SHOWN + 2)]
    names = [name for name, *_ in render_change(changed)]
    assert names[1:3] == ["app/21.py", "app/20.py"]
    assert names[-2:] == ["app/02.py", "and 2 more"]
    assert len(names) == 1 + SHOWN + 1


@pytest.mark.parametrize(
    "patch",
    ["@@ -1 +1 @@\n+x", "diff --git nonsense\n", "diff --git a/app/x.py b/app/x.py\n@@ nonsense @@\n+x", ""],
)
def test_a_patch_that_cannot_be_read(patch: str) -> None:
    """A diff that is torn, or tells less than git's own list of names, is an error and not an empty change."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_patch(patch, ["app/x.py"], ["app"])


@pytest.mark.slow
def test_real_data_of_a_real_run(repository: Repository) -> None:
    """What coverage itself wrote of a branch that was not taken is found by the command line: red, and then not."""
    repository.write("app/run.py", "import sys\nif len(sys.argv) > 1:\n    a = [\n        1,\n    ]\n    b = 2\n")
    repository.write("slipway.toml", f"{CONFIG}changed_floor = 100\n")
    repository.commit()
    words = [sys.executable, str(Path(__file__).resolve().parents[2] / "scripts"), "coverage", "--against", "main"]
    for more, code, expected in (([], 10, "app/run.py  2 of 4     50.0 %   3-6"), (["2"], 0, "app/run.py  4 of 4")):
        run = [sys.executable, "-m", "coverage", "run", "-m", "app.run", *more]
        subprocess.run(run, cwd=repository.root, check=True, env={})
        repository.write(".coveragerc", "[run]\nsource = app\n")
        ran = subprocess.run(words, cwd=repository.root, check=False, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
        assert expected in ran.stdout

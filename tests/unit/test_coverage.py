"""The coverage gate: the parts add up, wherever they ran, and what is missing or torn is red."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import coverage.files
import pytest
from coverage import CoverageData

from scripts.arguments import build_parser
from scripts.gates import coverage as gate
from scripts.gates.coverage import judge_coverage, render_least_covered, render_packages
from scripts.gates.covered import Covered, Sum, find_data

MODULE = "one = 1\nif one == 2:\n    one = 3\nelse:\n    one = 4\n"  # 4 statements and 2 branches
ALL = [(-1, 1), (1, 2), (2, 3), (3, -1), (2, 5), (5, -1)]
ELSE = [(-1, 1), (1, 2), (2, 5), (5, -1)]
THEN = [(-1, 1), (1, 2), (2, 3), (3, -1)]
NEVER: list[tuple[int, int]] = []
SETTINGS = "[run]\nsource = app, scripts\nbranch = true\nparallel = true\npatch = subprocess\n"
TINY = "[run]\nsource = app\nbranch = true\n"
CONFIG = 'version = 1\n[[checks]]\nname = "ready"\npath = "/ready"\n'
ELSEWHERE = "/home/runner/work/app/app"  # a folder of the very name of the package, as GitHub makes it

type Damage = Callable[[Path], None]
type Arcs = Mapping[str, list[tuple[int, int]]]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a checkout of two packages, and stand in it."""
    root = tmp_path / "checkout"
    for name in ("app", "scripts"):
        (root / name).mkdir(parents=True)
        (root / name / "module.py").write_text(MODULE)
    (root / ".coveragerc").write_text(SETTINGS)
    (root / "slipway.toml").write_text(CONFIG)
    monkeypatch.chdir(root)
    yield root
    monkeypatch.undo()
    coverage.files.set_relative_directory()  # coverage keeps where it was last made; what measures this test is there


def write(path: Path, arcs: Arcs, where: str = ELSEWHERE) -> Path:
    """Write the data file of a part that ran in some checkout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = CoverageData(str(path))
    data.add_arcs({f"{where}/{name}": rows for name, rows in arcs.items()})
    data.touch_files([f"{where}/{name}" for name in arcs])
    data.write()
    data.close()
    return path


def run(*words: str, **environment: str) -> int:
    """Run the verb."""
    return gate.run(build_parser().parse_args(["coverage", *words]), environment)


def contents(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_parts_add_up(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What either part covered is covered; data of other machines counts for this checkout, and stays as it is."""
    write(tree / "coverage" / "unit" / ".coverage", {"app/module.py": THEN, "scripts/module.py": ALL})
    write(
        tree / "coverage" / "integration" / ".coverage", {"app/module.py": ELSE, "scripts/module.py": NEVER}, "/other"
    )
    before, summary = contents(tree), tmp_path / "summary.md"
    assert run("coverage", GITHUB_STEP_SUMMARY=str(summary)) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["package", "app", "scripts", "total"]
    assert "app      4 of 4  2 of 2    100.0 %  80 %   ok\n" in out
    assert "total    8 of 8  4 of 4    100.0 %" in out
    assert "ok     coverage: 100.0 % of app, 100.0 % of scripts covered, and 80 % of lines and branches" in err
    assert "## Coverage: ok\n" in summary.read_text()
    assert "| total | 8 of 8 | 4 of 4 | 100.0 % |" in summary.read_text()
    assert contents(tree) == before


def test_under_the_floor_is_red(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Too little in all: exit 10, an annotation, and the least covered file first."""
    write(tree / ".coverage", {"app/module.py": ALL, "scripts/module.py": [(-1, 1)]})
    summary = tmp_path / "summary.md"
    assert run(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)) == 10
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "scripts/module.py  1 of 4  0 of 2    16.6 %"
    assert "scripts  1 of 4  0 of 2    16.6 %   80 %   FAIL\n" in out
    assert "::error title=coverage%3A fail::16.6 %25 of scripts covered, under the floor of 80 %25" in err
    assert "| scripts | 1 of 4 | 0 of 2 | 16.6 % | 80 % | FAIL |" in summary.read_text()
    assert "## Coverage: FAIL\n" in summary.read_text()


def test_the_service_alone(tree: Path) -> None:
    """Where only the service is measured the pipeline is not asked for, and no paths need be named."""
    (tree / ".coveragerc").write_text(TINY)
    assert run(str(write(tree / "unit" / ".coverage", {"app/module.py": ALL}))) == 0


@pytest.mark.parametrize(
    ("arcs", "missing"),
    [
        ({"scripts/module.py": ALL}, "app"),
        ({"app/module.py": NEVER, "scripts/module.py": ALL}, "app"),
        ({"app/module.py": ALL}, "scripts"),
        ({"app/module.py": ALL, "scripts/module.py": NEVER}, "scripts"),
        ({"app/module.py": NEVER, "scripts/module.py": NEVER}, "app and scripts"),
    ],
)
def test_a_package_that_nobody_ran(tree: Path, capsys: pytest.CaptureFixture[str], arcs: Arcs, missing: str) -> None:
    """A package that is missing, or was found and never run, is named: exit 10, however much of the rest is covered."""
    write(tree / ".coverage", arcs)
    assert run() == 10
    out, err = capsys.readouterr()
    assert f"no line of {missing} was run" in err
    assert [line.split()[0] for line in out.splitlines() if line.endswith("FAIL")] == missing.split(" and ")


def whole(tree: Path) -> Path:
    """Write a data file that would pass."""
    return write(tree / ".coverage", {"app/module.py": ALL, "scripts/module.py": ALL})


def put(name: str, content: str = "", *more: str) -> Damage:
    """Give what writes a file, or some, beside a data file that would pass."""

    def damage(tree: Path) -> None:
        whole(tree)
        for path, text in itertools.batched((name, content, *more), 2):
            (tree / path).write_text(text)

    return damage


def tear(count: int) -> Damage:
    """Give what cuts the data file after so many bytes."""

    def damage(tree: Path) -> None:
        path = whole(tree)
        path.write_bytes(path.read_bytes()[:count])

    return damage


def scribble(tree: Path) -> None:
    """Overwrite a page in the middle."""
    path = whole(tree)
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)


def measure_nothing(tree: Path) -> None:
    """Add the data of a part that measured no file."""
    whole(tree)
    write(tree / ".coverage.none", {})


def measure_lines(tree: Path) -> None:
    """Add the data of a part that measured no branches."""
    whole(tree)
    data = CoverageData(str(tree / ".coverage.lines"))
    data.add_lines({f"{ELSEWHERE}/app/module.py": [1]})
    data.write()
    data.close()


def measure_another_commit(tree: Path) -> None:
    """Leave the data of a file that is not here."""
    write(tree / ".coverage", {"app/gone.py": ALL})


def lose_settings(tree: Path) -> None:
    """Stand in a folder that is no checkout's root."""
    whole(tree)
    (tree / ".coveragerc").unlink()


def lose_floors(tree: Path) -> None:
    """Have no slipway.toml."""
    whole(tree)
    (tree / "slipway.toml").unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda tree: None, "has no data file"),
        (lambda tree: (tree / ".coverage").mkdir(), "has no data file"),
        (lambda tree: (tree / ".coverage-journal").touch(), "has no data file"),
        (put(".coverage"), "no whole data file"),
        (put(".coverage", "!coverage.py: This is a private format"), "no whole data file"),
        (tear(100), "no whole data file"),
        (tear(5_000), "no whole data file"),
        (tear(40_000), "no whole data file"),
        (scribble, "no whole data file"),
        (put(".coverage-journal"), "no whole data file: its writer was killed"),
        (put(".coverage.empty"), "no whole data file"),
        (measure_nothing, "no whole data file: it measured no file"),
        (measure_lines, "cannot be added up: Can't combine"),
        (measure_another_commit, "cannot be added up: No source"),
        (put("app/module.py", "def"), "cannot be added up: Couldn't parse"),
        (lose_settings, ".coveragerc is not there"),
        (put(".coveragerc", "[run]\nbranch = maybe\n"), ".coveragerc: "),
        (put(".coveragerc", "source = app\n"), ".coveragerc: "),
        (put(".coveragerc", f"{SETTINGS}[report]\nignore_errors = true\n", "app/module.py", "def"), "Couldn't parse"),
        (lose_floors, "slipway.toml cannot be read"),
        (put("slipway.toml", "version = "), "slipway.toml cannot be read"),
        (put("slipway.toml", f"{CONFIG}[coverage]\nfloor = 101\n"), "coverage.floor"),
        (put("slipway.toml", f"{CONFIG}[coverage]\nfloor = 79.5\n"), "coverage.floor"),
        (put("slipway.toml", f"{CONFIG}[coverage]\nfloor = true\n"), "coverage.floor"),
        (put("slipway.toml", f"{CONFIG}[coverage]\nflor = 80\n"), "flor"),
    ],
)
def test_what_cannot_be_added_up_is_red(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Damage, expected: str
) -> None:
    """No data, torn data or data of another commit: exit 2 with what to do, also beside a file that would pass."""
    damage(tree)
    summary = tmp_path / "summary.md"
    assert run(str(tree), GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert expected in told.err
    assert "next: " in told.err
    assert "::error" in told.err
    assert "Coverage: not known" in summary.read_text()


def test_where_data_is_looked_for(tree: Path) -> None:
    """A named file whatever its name, and what is named as data in a folder and one level below; nothing twice."""
    for name in (
        ".coverage",
        ".coverage.host.1",
        "unit/.coverage",
        "unit/deep/.coverage",
        "report",
        "unit/.coveragerc",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    found = [str(path.relative_to(tree)) for path in find_data([tree, tree / "report", tree / ".coverage"])]
    assert found == [".coverage", ".coverage.host.1", "unit/.coverage", "report"]


def row(name: str, covered: int, everything: int, *, ran: bool = True) -> Covered:
    """Give a file of which so many lines are covered."""
    return Covered(name, name.split("/", 1)[0], Sum((covered, everything)), frozenset({1} if ran else ()))


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row("app/a.py", 80, 100)], 0),
        ([row("app/a.py", 79, 100)], 10),
        ([row("app/a.py", 79_999, 100_000)], 10),
        ([row("app/a.py", 80, 100), row("scripts/b.py", 80, 100)], 0),
        ([row("app/a.py", 79, 100), row("scripts/b.py", 100_000, 100_000)], 10),
        ([row("app/a.py", 100_000, 100_000), row("scripts/b.py", 79, 100)], 10),
        ([row("app/a.py", 60, 100), row("app/c.py", 100, 100)], 0),
        ([row("app/a.py", 100, 100, ran=False)], 10),
        ([row("app/__init__.py", 0, 0, ran=False), row("app/a.py", 1, 1)], 0),
        ([], 10),
    ],
)
def test_the_floor_is_exact_and_holds_for_each_package(rows: list[Covered], code: int) -> None:
    """Each package is held against the floor alone and without rounding, and nothing at all never reaches it."""
    packages = sorted({row.package for row in rows}) or ["app"]
    assert judge_coverage(rows, packages, 80).exit_code == code


def test_only_what_is_under_the_floor_is_named() -> None:
    """The reason names the packages that are to be mended, each with its share."""
    rows = [row("app/a.py", 79, 100), row("scripts/b.py", 95, 100), row("lib/c.py", 1, 100)]
    verdict = judge_coverage(rows, ["app", "scripts", "lib"], 80)
    assert verdict.reason == "79.0 % of app, 1.0 % of lib covered, under the floor of 80 % of lines and branches"


@pytest.mark.parametrize(("floor", "code"), [(66, 0), (67, 10)])
def test_the_floor_is_the_one_of_the_configuration(tree: Path, floor: int, code: int) -> None:
    """Four of the six lines and branches of a package are enough for 66 % and not for 67 %; --config names the file."""
    write(tree / ".coverage", {"app/module.py": ALL, "scripts/module.py": ELSE})
    (tree / "other.toml").write_text(f"{CONFIG}[coverage]\nfloor = {floor}\n")
    assert run("--config", "other.toml") == code


@pytest.mark.parametrize(
    ("covered", "everything", "told"),
    [
        (7999, 10_000, "79.9 %"),
        (289, 1000, "28.9 %"),
        (999_999, 1_000_000, "99.9 %"),
        (0, 0, "100.0 %"),
        (0, 7, "0.0 %"),
    ],
)
def test_a_share_is_not_rounded_up(covered: int, everything: int, told: str) -> None:
    """79.99 % reads as 79.9 %, so that no red result looks like a green one."""
    assert render_packages([row("app/a.py", covered, everything)], ["app"], 80)[-1][3] == told


def test_the_ten_least_covered() -> None:
    """Ten files at most, the least covered first, and none that lacks nothing."""
    rows = [row(f"app/{number:02}.py", number, 20) for number in range(21)]
    assert [name for name, *_ in render_least_covered(rows)] == [
        "least covered",
        *(f"app/{n:02}.py" for n in range(10)),
    ]
    assert render_least_covered([row("app/a.py", 1, 1)])[1:] == []


@pytest.mark.slow
def test_real_data_of_two_checkouts(tmp_path: Path) -> None:
    """What coverage itself wrote in two other folders, in subprocesses too, adds up in a third one."""
    for name, word in (("three", ""), ("one", "2"), ("two", "3")):
        (tmp_path / name / "app").mkdir(parents=True)
        (tmp_path / name / ".coveragerc").write_text(TINY)
        (tmp_path / name / "slipway.toml").write_text(CONFIG)
        (tmp_path / name / "app" / "__init__.py").touch()
        (tmp_path / name / "app" / "it.py").write_text(
            "import sys\nif sys.argv[1] == '2':\n    a = 1\nelse:\n    a = 2\n"
        )
        if word:
            words = [sys.executable, "-m", "coverage", "run", "-m", "app.it", word]
            subprocess.run(words, cwd=tmp_path / name, check=True, env={})
            (tmp_path / name / ".coverage").rename(tmp_path / "three" / f".coverage.{name}")
    words = [sys.executable, str(Path(__file__).resolve().parents[2] / "scripts"), "coverage"]
    ran = subprocess.run(words, cwd=tmp_path / "three", check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "total    4 of 4  2 of 2    100.0 %" in ran.stdout

"""The verb `test`: parts are everything together, and each is held to have run; whole runs are held to the floor."""

import os
from collections.abc import Iterator
from pathlib import Path

import coverage.files
import pytest

from scripts.arguments import build_parser
from scripts.errors import ConfigError, UsageError
from scripts.gates import testing
from scripts.gates.testing import PARTS, pytest_command

PLACES = ("unit/test_a", "unit/deeper/test_b", "integration/test_c", "unit_like/test_d", "test_e", "new_kind/test_f")
TEST = """
from pathlib import Path
from app.it import one

def test_it():
    with Path("ran").open("a") as file:
        print(Path(__file__).relative_to(Path("tests").resolve()), file=file)
"""


SERVICE = "one = 1\n" + "if one == 2:\n    one = 3\n" * 20
CONFIG = 'version = 1\n[[checks]]\nname = "ready"\npath = "/ready"\n'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a repository of one module and no tests, the one that `test` works on."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()
    (tmp_path / "app" / "it.py").write_text(SERVICE)
    (tmp_path / "slipway.toml").write_text(CONFIG)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = --import-mode=importlib -p no:cacheprovider\nmarkers = slow\n"
    )
    (tmp_path / ".coveragerc").write_text("[run]\nsource = app\nbranch = true\n")
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(testing, "ROOT", tmp_path)
    for name in [name for name in os.environ if name.startswith("COV")]:  # else it is measured into our own data
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of a pytest's start is in plugins of no use here
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov.plugin,xdist.plugin")
    yield tmp_path
    coverage.files.set_relative_directory()  # coverage keeps where it was last made; what measures this test is there


def run_part(*words: str, **environment: str) -> int:
    """Run `test` with these words, and give its exit code."""
    return testing.run(build_parser().parse_args(["test", *words]), environment)


def test_parts_are_a_partition(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every test runs in exactly one part, wherever it is; data is written, and no floor holds for it."""
    for place in PLACES:
        file = tree / "tests" / f"{place}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEST)
    ran: dict[str, list[str]] = {}
    for part in PARTS:
        assert run_part("--part", part) == 0
        ran[part] = sorted((tree / "ran").read_text().splitlines())
        (tree / "ran").unlink()
        (tree / ".coverage").unlink()
    assert ran["unit"] == ["unit/deeper/test_b.py", "unit/test_a.py"]
    assert sorted(ran["unit"] + ran["integration"]) == sorted(f"{place}.py" for place in PLACES)
    assert "app/it.py" in capfd.readouterr().out


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_without_tests_is_red(tree: Path, capfd: pytest.CaptureFixture[str], part: str) -> None:
    """A part that ran no test is a failure that says so: its folder is gone, or every test in it is left out."""
    assert list((tree / "tests").iterdir()) == []
    assert run_part("--part", part, "--", "--no-cov", "-q") == 10
    assert f"no test of the part {part} ran" in capfd.readouterr().err


def test_words_go_to_pytest_in_a_part_too() -> None:
    """What stands after -- comes last, and the part, the kind and the missing floor stay as they are."""
    words = pytest_command(["-k", "one"], everything=False, part="integration")
    assert words[3:] == ["--cov", "--cov-report=term", "-m", "not slow", "tests", "--ignore=tests/unit", "-k", "one"]
    whole = pytest_command([], everything=True, floor=70)
    assert whole[3:] == ["--cov", "--cov-report=term", "--cov-fail-under=70"]
    assert pytest_command([], everything=True, part="unit")[3:] == ["--cov", "--cov-report=term", "tests/unit"]


@pytest.mark.slow
@pytest.mark.parametrize("red", ["", "unit/test_a", "integration/test_c", "unit/deeper/test_b", "test_e"])
def test_everything_is_everything(tree: Path, monkeypatch: pytest.MonkeyPatch, red: str) -> None:
    """All tests run once, slow, measuring or neither, and the floor holds; what fails anywhere fails the whole."""
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov.plugin,xdist.plugin")
    for number, place in enumerate(PLACES):
        file = tree / "tests" / f"{place}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        kinds = ["", "pytestmark = pytest.mark.slow", "pytestmark = [pytest.mark.slow, pytest.mark.measures]"]
        slow = f"import pytest\n{kinds[number % 3]}\n"
        file.write_text(slow + TEST + ("    assert False\n" if place == red else ""))
    assert run_part("--all") == 10  # the floor, if nothing else
    assert sorted((tree / "ran").read_text().splitlines()) == sorted(f"{place}.py" for place in PLACES)
    (tree / "app" / "it.py").write_text("one = 1\n")
    assert run_part("--all") == (10 if red else 0)


def test_only_the_two_parts_exist() -> None:
    """The command line takes the parts that are known here, and no other."""
    assert {build_parser().parse_args(["test", "--part", part]).part for part in PARTS} == set(PARTS)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["test", "--part", "load"])
    assert build_parser().parse_args(["test"]).part is None


def two_packages(tree: Path, uncovered: int) -> None:
    """Give the service three lines that are run and some that are not, and add a package that is covered wholly."""
    (tree / "app" / "it.py").write_text("one = 1\ntwo = 2\n\n\ndef never():\n" + "    one\n" * uncovered)
    (tree / "more").mkdir()
    (tree / "more" / "__init__.py").write_text("one = 1\n" * 100)
    (tree / ".coveragerc").write_text("[run]\nsource = app, more\n")
    (tree / "tests" / "test_it.py").write_text(
        "import more\nfrom app.it import one\n\ndef test_it():\n    assert one\n"
    )


@pytest.mark.parametrize(
    ("uncovered", "floor", "code", "told"),
    [
        (1, 75, 0, ""),  # three of the four lines are covered
        (1, 76, 10, "fail   test: 75.0 % of app covered, under the floor of 76 % of lines and branches"),
        pytest.param(2, 75, 10, "fail   test: 60.0 % of app covered", marks=pytest.mark.slow),
        pytest.param(99, 90, 10, "", marks=pytest.mark.slow),  # pytest itself sees that the sum of all is too little
    ],
)
def test_a_whole_run_is_held_to_the_floor(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    uncovered: int,
    floor: int,
    code: int,
    told: str,
) -> None:
    """Exactly on the floor of slipway.toml is enough; a package under it is red, however well others are covered."""
    two_packages(tree, uncovered)
    (tree / "slipway.toml").write_text(f"{CONFIG}[coverage]\nfloor = {floor}\n")
    monkeypatch.setenv("COVERAGE_FILE", "apart")  # where whoever starts the tests has coverage put its data
    assert run_part(COVERAGE_FILE="apart") == code
    out, err = capfd.readouterr()
    assert err.startswith(told)
    assert bool(err) == bool(told)
    assert "1 passed" in out.splitlines()[-1]


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_without_a_floor_nothing_is_run(tree: Path, words: list[str]) -> None:
    """A slipway.toml that is broken or missing ends a whole run before its first test."""
    (tree / "tests" / "test_it.py").write_text(TEST)
    (tree / "tests" / "test_slow.py").write_text(f"import pytest\npytestmark = pytest.mark.slow\n{TEST}")
    (tree / "slipway.toml").write_text(f"{CONFIG}[coverage]\nfloor = 'high'\n")
    with pytest.raises(ConfigError, match=r"coverage\.floor"):
        run_part(*words)
    (tree / "slipway.toml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        run_part(*words)
    assert not (tree / "ran").exists()


@pytest.mark.slow
def test_a_whole_run_without_data_is_red(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests pass and nothing was measured, that is an error, whatever an earlier run has left."""
    (tree / "tests" / "test_it.py").write_text(TEST)
    assert run_part("--part", "integration") == 0
    assert (tree / ".coverage").is_file()
    (tree / "pytest.ini").write_text((tree / "pytest.ini").read_text().replace("addopts =", "addopts = --no-cov"))
    with pytest.raises(UsageError, match="is not there"):
        run_part()


def test_a_part_has_no_floor() -> None:
    """A run of named tests only is not held against the floor for all of them."""
    assert not [word for word in pytest_command(["tests/unit"], everything=False) if "fail-under" in word]


def test_a_failing_test_is_red(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`test` with a failing test exits 10 and ends with pytest's own closing line."""
    test = tree / "tests" / "test_red.py"
    test.write_text("def test_red():\n    assert False\n")
    assert run_part("--", "-q", "--no-cov", str(test)) == 10
    assert "1 failed" in capfd.readouterr().out.strip().splitlines()[-1]

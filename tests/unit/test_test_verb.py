"""The verb `test` in parts: together they are everything, each is held to have run, and none has a floor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.arguments import build_parser
from scripts.gates import testing
from scripts.gates.testing import COVERAGE_FLOOR, PARTS, pytest_command

ROOT = Path(__file__).resolve().parents[2]

PLACES = ("unit/test_a", "unit/deeper/test_b", "integration/test_c", "unit_like/test_d", "test_e", "new_kind/test_f")
TEST = """
from pathlib import Path
from app import one

def test_it():
    with Path("ran").open("a") as file:
        print(Path(__file__).relative_to(Path("tests").resolve()), file=file)
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository of one module and no tests, the one that `test` works on."""
    (tmp_path / "app.py").write_text("one = 1\n" + "if one == 2:\n    one = 3\n" * 20)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = --import-mode=importlib -p no:cacheprovider\nmarkers = slow\n"
    )
    (tmp_path / ".coveragerc").write_text("[run]\nsource = .\nbranch = true\n")
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(testing, "ROOT", tmp_path)
    for name in [name for name in os.environ if name.startswith("COV")]:  # else it is measured into our own data
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of a pytest's start is in plugins of no use here
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov")
    return tmp_path


def run_part(*words: str) -> int:
    """Run `test` with these words, and give its exit code."""
    return testing.run(build_parser().parse_args(["test", *words]), {})


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
    assert "app.py" in capfd.readouterr().out


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
    whole = pytest_command([], everything=True)
    assert whole[3:] == ["--cov", "--cov-report=term", f"--cov-fail-under={testing.COVERAGE_FLOOR}"]
    assert pytest_command([], everything=True, part="unit")[3:] == ["--cov", "--cov-report=term", "tests/unit"]


@pytest.mark.slow
@pytest.mark.parametrize("red", ["", "unit/test_a", "integration/test_c", "unit/deeper/test_b", "test_e"])
def test_everything_is_everything(tree: Path, monkeypatch: pytest.MonkeyPatch, red: str) -> None:
    """All tests run once, slow or not, and the floor holds; what fails anywhere fails the whole."""
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov.plugin,xdist.plugin")
    for number, place in enumerate(PLACES):
        file = tree / "tests" / f"{place}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        slow = "import pytest\npytestmark = pytest.mark.slow\n" if number % 2 else ""
        file.write_text(slow + TEST + ("    assert False\n" if place == red else ""))
    assert run_part("--all") == 10  # the floor, if nothing else
    assert sorted((tree / "ran").read_text().splitlines()) == sorted(f"{place}.py" for place in PLACES)
    (tree / "app.py").write_text("one = 1\n")
    assert run_part("--all") == (10 if red else 0)


def test_only_the_two_parts_exist() -> None:
    """The command line takes the parts that are known here, and no other."""
    assert {build_parser().parse_args(["test", "--part", part]).part for part in PARTS} == set(PARTS)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["test", "--part", "load"])
    assert build_parser().parse_args(["test"]).part is None


@pytest.mark.parametrize(("floor", "code"), [(60, 0), (90, 1)])
def test_coverage_under_the_floor_is_red(tmp_path: Path, floor: int, code: int) -> None:
    """A whole run fails when the coverage is under its floor, and only then."""
    (tmp_path / "covered.py").write_text("one = 1\nif not one:\n    two = 2\n")
    (tmp_path / "test_covered.py").write_text("import covered\n\n\ndef test_one():\n    assert covered.one == 1\n")
    command = [word.replace(str(COVERAGE_FLOOR), str(floor)) for word in pytest_command([], everything=True)]
    command[command.index("--cov")] = "--cov=covered"
    settings = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ran = subprocess.run([*command, "-q"], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stdout


def test_a_part_has_no_floor() -> None:
    """A run of named tests only is not held against the floor for all of them."""
    assert not [word for word in pytest_command(["tests/unit"], everything=False) if "fail-under" in word]


def test_a_failing_test_is_red(tmp_path: Path) -> None:
    """`test` with a failing test exits 10 and ends with pytest's own closing line."""
    test = tmp_path / "test_red.py"
    test.write_text("def test_red():\n    assert False\n")
    words = [sys.executable, str(ROOT / "scripts"), "test", "--", "-q", "--no-cov", str(test)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 10
    assert "1 failed" in ran.stdout.strip().splitlines()[-1]

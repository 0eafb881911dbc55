"""The verbs that call other tools."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.gates.tools import (
    COVERAGE_FLOOR,
    LINTERS,
    pytest_command,
    run,
)

ROOT = Path(__file__).resolve().parents[2]


def test_unknown_tool_is_refused() -> None:
    """A verb that is no tool is a usage error."""
    with pytest.raises(UsageError):
        run(argparse.Namespace(verb="bake"), {})


def test_every_linter_is_installed() -> None:
    """Each linter comes from the lock, not from the machine."""
    for tool in LINTERS:
        assert (Path(sys.executable).parent / tool.command[0]).exists()


def test_a_finding_is_red(tmp_path: Path) -> None:
    """`lint` in a tree with a lint error names the linter and exits 10."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(tmp_path / "tree")], check=True)
    tree = tmp_path / "tree"
    (tree / "app" / "bad.py").write_text("import os\n")
    ran = subprocess.run(
        [sys.executable, str(tree / "scripts"), "lint"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 10
    assert "fail   ruff check" in ran.stderr


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

"""The verbs that call other tools."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.errors import PlatformError, UsageError
from scripts.gates.tools import (
    COVERAGE_FLOOR,
    LINTERS,
    LOCKS,
    clean_environment,
    compile_command,
    pytest_command,
    run_tool,
)

ROOT = Path(__file__).resolve().parents[2]


def test_lock_names_nothing_of_the_machine() -> None:
    """No line of a lock is an option, an index or a link: such a line would break Render's build."""
    for name in LOCKS:
        lines = (ROOT / f"{name}.txt").read_text().splitlines()
        assert not [line for line in lines if line.startswith("-") or "://" in line]
        assert all("--hash=sha256:" in line for line in lines if line.startswith("    --"))
        assert any("python3 -m scripts lock" in line for line in lines)


def test_same_pins_in_every_lock() -> None:
    """A package that is in two locks has the same pin in both."""
    pins: dict[str, str] = {}
    for name in LOCKS:
        lines = (ROOT / f"{name}.txt").read_text().splitlines()
        for package, version in (line.split()[0].split("==") for line in lines if "==" in line and line[0].isalnum()):
            assert pins.setdefault(package, version) == version


def test_release_path_needs_httpx_and_pydantic_only() -> None:
    """The lock of the jobs that hold secrets asks for httpx and pydantic, and for nothing else by itself."""
    lines = (ROOT / "scripts" / "requirements.in").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "-c"))] == ["httpx", "pydantic"]


def test_pip_sees_nothing_of_the_machine() -> None:
    """pip-compile gets neither the machine's pip settings nor its index."""
    given = {
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://user:pw@index.example/simple",
        "PIP_CERT": "/ca.pem",
        "HOME": "/x",
    }
    assert clean_environment(given).keys() == {"PATH", "PIP_CERT", "PIP_CONFIG_FILE", "CUSTOM_COMPILE_COMMAND"}


def test_upgrade_is_asked_for_only_when_wanted() -> None:
    """`lock` keeps the pins that still fit; `lock --upgrade` takes the newest."""
    assert "--upgrade" not in compile_command("requirements", upgrade=False)
    assert "--upgrade" in compile_command("requirements", upgrade=True)


def test_lock_that_cannot_be_resolved() -> None:
    """A pip-compile that fails is told with its last lines, and the lock stays as it was."""
    before = (ROOT / "requirements.txt").read_bytes()
    arguments = argparse.Namespace(verb="lock", upgrade=False)
    with pytest.raises(PlatformError, match=r"requirements\.in could not be locked"):
        run_tool(
            arguments, {"PATH": "/nowhere", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        )
    assert (ROOT / "requirements.txt").read_bytes() == before


def test_unknown_tool_is_refused() -> None:
    """A verb that is no tool is a usage error."""
    with pytest.raises(UsageError):
        run_tool(argparse.Namespace(verb="bake"), {})


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

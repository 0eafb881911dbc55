"""The verb `test`: pytest, called with the right words."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.console import Console

ROOT = Path(__file__).resolve().parents[2]
FAILED = 10
COVERAGE_FLOOR = 80  # per cent of lines and branches
NOTHING_RAN = 5  # pytest's exit code
PARTS = {"unit": ("tests/unit",), "integration": ("tests", "--ignore=tests/unit")}  # so that no test is in neither


def run(arguments: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Run pytest with coverage over this process and every one that it starts; its closing line stays the last one."""
    if arguments.all and not (arguments.part or arguments.pytest):
        return _test_everything()
    command = pytest_command(arguments.pytest, everything=arguments.all, part=arguments.part)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if arguments.part and (code == NOTHING_RAN or not (ROOT / PARTS[arguments.part][0]).is_dir()):
        Console().say(f"fail   test: no test of the part {arguments.part} ran: this proves nothing, and is not a pass")
        return FAILED
    return FAILED if code == 1 else code


def _test_everything() -> int:
    """Run all there is; what is slow comes first, so that the last line is that of the run which measures coverage."""
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands_for_everything()]
    slow, all_others = codes[:-1], codes[-1]
    if any(code not in {0, NOTHING_RAN} for code in slow):
        Console().say("fail   test: a slow test did not pass: see further above")
        return FAILED
    return FAILED if all_others == 1 else all_others


def commands_for_everything() -> list[list[str]]:
    """Give the pytest commands for all tests: slow unit tests on every core, others one after the other, for times."""
    slow = [sys.executable, "-m", "pytest", "-m", "slow"]
    return [[*slow, "-n", "auto", *PARTS["unit"]], [*slow, *PARTS["integration"]], pytest_command([], everything=False)]


def pytest_command(words: Sequence[str], *, everything: bool, part: str | None = None) -> list[str]:
    """Give the pytest command; the floor of the coverage holds for whole runs, since a part cannot reach it."""
    kind = [] if everything else ["-m", "not slow"]
    floor = [] if words or part else [f"--cov-fail-under={COVERAGE_FLOOR}"]
    folders = PARTS[part] if part else ()
    return [sys.executable, "-m", "pytest", "--cov", "--cov-report=term", *floor, *kind, *folders, *words]

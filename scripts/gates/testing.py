"""The verb `test`: pytest, called with the right words; a whole run is held against the floor of slipway.toml too."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.console import Console
from scripts.gates.coverage import hold
from scripts.gates.covered import DATA, read_packages
from scripts.gates.order import read_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "slipway.toml"
FAILED = 10
YIELD = ("nice", "-n", "19")
PATIENT = ("-o", "timeout=900")  # seconds for one test that gets what the others leave of the processor
TWO = ("-n", "2", "--dist", "worksteal")  # most of what takes long waits; more would disturb those that watch the time
NOTHING_RAN = 5  # pytest's exit code
PARTS = {"unit": ("tests/unit",), "integration": ("tests", "--ignore=tests/unit")}  # so that no test is in neither


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run pytest with coverage over this process and every one that it starts; its closing line stays the last one.

    Raises:
        ConfigError: a whole run has a floor, and slipway.toml does not tell it.
        UsageError: a whole run left no data.
    """
    if not (arguments.part or arguments.pytest):
        data = ROOT / environment.get("COVERAGE_FILE", DATA)
        return _test_everything(data) if arguments.all else _test_whole(data)
    command = pytest_command(arguments.pytest, everything=arguments.all, part=arguments.part)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if arguments.part and (code == NOTHING_RAN or not (ROOT / PARTS[arguments.part][0]).is_dir()):
        Console().say(f"fail   test: no test of the part {arguments.part} ran: this proves nothing, and is not a pass")
        return FAILED
    return FAILED if code == 1 else code


def _test_everything(data: Path) -> int:
    """Run all there is; what is slow comes first, so that the last line is that of the run which measures coverage."""
    read_config(ROOT / CONFIG)  # else an hour of tests would end with a floor that nobody knows
    codes = _run_slow(*slow_commands())
    others = _test_whole(data)
    if any(code not in {0, NOTHING_RAN} for code in codes):
        Console().say("fail   test: a slow test did not pass: see further above")
        return FAILED
    return others


def _run_slow(measuring: Sequence[str], thinking: Sequence[str], waiting: Sequence[str]) -> list[int]:
    """Run those that measure this machine alone; then those that need its processor beside those that mostly wait."""
    codes = [subprocess.run(measuring, cwd=ROOT, check=False).returncode]
    with tempfile.TemporaryFile() as told:
        beside = subprocess.Popen([*YIELD, *thinking], cwd=ROOT, stdout=told, stderr=subprocess.STDOUT)
        try:
            codes += [subprocess.run(waiting, cwd=ROOT, check=False).returncode, beside.wait()]
        finally:
            beside.terminate()
            beside.wait()
        told.seek(0)
        Console().say(told.read().decode(errors="replace").rstrip())
    return codes


def _test_whole(data: Path) -> int:
    """Run what is not slow, and hold each package against the floor: pytest knows the sum of all alone."""
    floors = read_config(ROOT / CONFIG).coverage
    data.unlink(missing_ok=True)  # else a run that measures nothing would be judged by the one before
    code = subprocess.run(pytest_command(TWO, everything=False, floor=floors.floor), cwd=ROOT, check=False).returncode
    if code != 0:
        return FAILED if code == 1 else code
    with contextlib.chdir(ROOT):  # coverage names files as they are seen from here
        verdict = hold(ROOT, read_packages(ROOT), floors, [data]).verdict
    if not verdict.passed:
        Console().say(f"fail   test: {verdict.reason}")
    return verdict.exit_code


def slow_commands() -> tuple[list[str], list[str], list[str]]:
    """Give the pytest commands for slow tests: that measure; unit tests, on every core; others, one after the other."""
    measuring, others = (
        [sys.executable, "-m", "pytest", "-m", f"slow and {kind}"] for kind in ("measures", "not measures")
    )
    return measuring, [*others, "-n", "auto", *PATIENT, *PARTS["unit"]], [*others, *PARTS["integration"]]


def pytest_command(
    words: Sequence[str], *, everything: bool, part: str | None = None, floor: int | None = None
) -> list[str]:
    """Give the pytest command; a floor of the coverage is for whole runs, since a part cannot reach it."""
    kind = [] if everything else ["-m", "not slow"]
    least = [] if floor is None else [f"--cov-fail-under={floor}"]
    folders = PARTS[part] if part else ()
    return [sys.executable, "-m", "pytest", "--cov", "--cov-report=term", *least, *kind, *folders, *words]

"""The verbs `test` and `lint`: other tools, called with the right words."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Console
from scripts.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FILES = {"WORKFLOWS": ".github/workflows/*.yml", "ACTIONS": ".github/actions/*/action.yml"}
DEPENDABOT = ".github/dependabot.yml"
SCHEMA = ("check-jsonschema", "--builtin-schema")
FAILED = 10
COVERAGE_FLOOR = 80  # per cent of lines and branches
NOTHING_RAN = 5  # pytest's exit code
PARTS = {"unit": ("tests/unit",), "integration": ("tests", "--ignore=tests/unit")}  # so that no test is in neither


@dataclass(frozen=True)
class Tool:
    """One linter: its name and its command."""

    name: str
    command: Sequence[str]


LINTERS = (
    Tool("ruff check", ("ruff", "check")),
    Tool("ruff format", ("ruff", "format", "--check", "--diff")),
    Tool("mypy", ("mypy",)),
    Tool("actionlint", ("actionlint",)),
    Tool("zizmor", ("zizmor", "--offline", "--quiet", "--persona=auditor", "WORKFLOWS", "ACTIONS", DEPENDABOT)),
    Tool("workflow schema", (*SCHEMA, "vendor.github-workflows", "WORKFLOWS")),
    Tool("action schema", (*SCHEMA, "vendor.github-actions", "ACTIONS")),
    Tool("dependabot schema", (*SCHEMA, "vendor.dependabot", DEPENDABOT)),
)


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run one of the verbs and give its exit code: 0, or 10 where a tool found something."""
    match arguments.verb:
        case "test":
            return _test(arguments)
        case "lint":
            return _lint(Console(), environment)
        case verb:
            raise UsageError(f"{verb} is not a tool")


def _test(arguments: argparse.Namespace) -> int:
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


def _lint(console: Console, environment: Mapping[str, str]) -> int:
    """Run every linter, also after one has found something, and print what they found."""
    bad = [tool.name for tool in LINTERS if not _clean(tool, console, environment)]
    console.say(f"{'fail  ' if bad else 'ok    '} lint: {', '.join(bad) or 'nothing found'}")
    return FAILED if bad else 0


def _clean(tool: Tool, console: Console, environment: Mapping[str, str]) -> bool:
    words = [each for word in tool.command for each in _files(word)]
    path = f"{BIN}{os.pathsep}{environment.get('PATH', os.defpath)}"  # actionlint looks for shellcheck there
    ran = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=ROOT,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    console.say(f"{'ok    ' if ran.returncode == 0 else 'fail  '} {tool.name}")
    if ran.returncode != 0:
        console.say((ran.stdout + ran.stderr).strip())
    return ran.returncode == 0


def _files(word: str) -> list[str]:
    """Give the files that a word of a command stands for, or the word."""
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(FILES[word]))] if word in FILES else [word]

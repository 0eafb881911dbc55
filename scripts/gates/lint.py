"""The verb `lint`: every linter and the type checker, each called with the right words."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Console

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FILES = {"WORKFLOWS": ".github/workflows/*.yml", "ACTIONS": ".github/actions/*/action.yml"}
DEPENDABOT = ".github/dependabot.yml"
SCHEMA = ("check-jsonschema", "--builtin-schema")
FAILED = 10


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


def run(_arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run every linter and give the exit code: 0, or 10 where one found something."""
    return _lint(Console(), environment)


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

"""The verbs `test`, `lint` and `lock`: other tools, called with the right words."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Console
from scripts.errors import PlatformError, UsageError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = Path(".github") / "workflows"
LOCKS = ("requirements", "scripts/requirements", "requirements-dev")
FAILED = 10
COVERAGE_FLOOR = 80  # per cent of lines and branches

# What pip-compile may see of the machine: enough to reach the index, nothing that it would write into a lock.
PASSED_ON = ("PATH", "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


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
    Tool("zizmor", ("zizmor", "--offline", "--quiet", "--persona=auditor", ".github/workflows", ".github/actions")),
    Tool("workflow schema", ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", "WORKFLOWS")),
)


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run one of the verbs and give its exit code: 0, or 10 where a tool found something."""
    match arguments.verb:
        case "test":
            return _test(arguments)
        case "lint":
            return _lint(Console(), environment)
        case "lock":
            return _lock(Console(), environment, upgrade=arguments.upgrade)
        case verb:
            raise UsageError(f"{verb} is not a tool")


def _test(arguments: argparse.Namespace) -> int:
    """Run pytest with coverage over this process and every one that it starts; its closing line stays the last one."""
    code = subprocess.run(pytest_command(arguments.pytest, everything=arguments.all), cwd=ROOT, check=False).returncode
    return FAILED if code == 1 else code


def pytest_command(words: Sequence[str], *, everything: bool) -> list[str]:
    """Give the pytest command; the floor of the coverage holds for whole runs, since a part cannot reach it."""
    kind = [] if everything else ["-m", "not slow"]
    floor = [] if words else [f"--cov-fail-under={COVERAGE_FLOOR}"]
    return [sys.executable, "-m", "pytest", "--cov", "--cov-report=term", *floor, *kind, *words]


def _lint(console: Console, environment: Mapping[str, str]) -> int:
    """Run every linter, also after one has found something, and print what they found."""
    bad = [tool.name for tool in LINTERS if not _clean(tool, console, environment)]
    console.say(f"{'fail  ' if bad else 'ok    '} lint: {', '.join(bad) or 'nothing found'}")
    return FAILED if bad else 0


def _clean(tool: Tool, console: Console, environment: Mapping[str, str]) -> bool:
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / WORKFLOWS).glob("*.yml"))]
    words = [each for word in tool.command for each in (files if word == "WORKFLOWS" else [word])]
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


def _lock(console: Console, environment: Mapping[str, str], *, upgrade: bool) -> int:
    """Pin every requirements file anew, with hashes.

    Raises:
        PlatformError: pip-compile could not resolve, or not reach the index; the locks before it are as they were.
    """
    for name in LOCKS:
        console.say(f"  {name}.txt")
        ran = subprocess.run(
            compile_command(name, upgrade=upgrade),
            cwd=ROOT,
            env=clean_environment(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            tail = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-10:])
            raise PlatformError(f"{name}.in could not be locked:\n{tail}", next_step=f"mend {name}.in, or the network")
    return 0


def compile_command(name: str, *, upgrade: bool) -> list[str]:
    """Give the pip-compile command for one file; no index, link or option of this machine gets into the lock."""
    options = ["--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe"]
    options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    options += ["--upgrade"] if upgrade else []
    return [str(BIN / "pip-compile"), *options, "--output-file", f"{name}.txt", f"{name}.in"]


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Give an environment in which pip has its defaults only."""
    passed_on = {key: environment[key] for key in PASSED_ON if key in environment}
    return {**passed_on, "PIP_CONFIG_FILE": os.devnull, "CUSTOM_COMPILE_COMMAND": "python3 -m scripts lock"}

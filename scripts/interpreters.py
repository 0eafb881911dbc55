"""Find a Python of 3.12 or later that can make `.venv`.

Decides which interpreters of this machine are tried, in which order, and why one will not do. What is made with it is
left to `scripts.environment`. Standard library only, in the syntax of Python 3.9, and nothing else of `scripts`.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

OLDEST = (3, 12)
USUAL = "3.13"  # where .python-version does not say
# The first two would shadow what the locks pin; with the others pip refuses, or installs elsewhere than in .venv.
ASTRAY = {"PYTHONPATH", "PYTHONHOME", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}


class SetupError(Exception):
    """The environment cannot be made: what happened, what it means, what to do."""


class Interpreter(NamedTuple):
    """A Python as it answered: the base behind a shim or a venv, or the trouble with it."""

    path: str
    version: str
    trouble: str = ""


def read_wanted(root: Path) -> str:
    """Return the minor version that .python-version asks for."""
    with contextlib.suppress(OSError, ValueError):
        found = re.match(r"\s*(3\.\d+)", (root / ".python-version").read_text(encoding="utf-8"))
        return found.group(1) if found else USUAL
    return USUAL


def choose_python(wanted: str, candidates: Iterable[str]) -> Interpreter:
    """Return the first candidate that runs, is not too old and can make a venv."""
    tried = []
    for candidate in candidates:
        python = probe_python(candidate)
        if not python.trouble:
            if not python.version.startswith(f"{wanted}."):
                say(f"no Python {wanted} found that works, so {python.version} is used: {python.path}")
            return python
        tried.append(f"  {candidate}: {python.trouble}")
    raise SetupError(
        "no Python of 3.12 or later was found that can make a .venv. Tried:\n" + "\n".join(tried) + "\n"
        "Nothing was run. Get one, then run the command again: "
        f"uv python install {wanted}, pyenv install {wanted}, apt install python3-venv, brew install python@{wanted}"
    )


def probe_python(candidate: str, needs: str = "venv, ensurepip") -> Interpreter:
    """Run a Python to see what it is: version managers leave shims that fail, Debian leaves out ensurepip."""
    code = f"import sys, {needs}; print('%d.%d.%d' % sys.version_info[:3] + sys.abiflags); print(sys._base_executable)"
    try:
        answer = subprocess.run(
            [candidate, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False,
            encoding="utf-8", errors="replace", env=child_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Interpreter(candidate, "", getattr(error, "strerror", "no answer within 10 s"))
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or ["it said nothing"]
        return Interpreter(candidate, "", f"exit {answer.returncode}: {said[-1 if said[0].startswith('Trace') else 0]}")
    version, _, base = answer.stdout.strip().partition("\n")
    minor = re.fullmatch(r"3\.(\d+)\.\d+", version)  # 3.13.0t does not match: the wheels in a lock are not for it
    return Interpreter(base, version, "" if minor and int(minor.group(1)) >= OLDEST[1] else f"version {version}")


def find_pythons(wanted: str) -> list[str]:
    """List what may be a Python to make .venv with: the wanted version first, then those known to suit the locks."""
    on_path = [str(Path(entry).resolve()) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    folders = on_path + kept_versions(on_path)
    found = []
    for version in (wanted, USUAL, "3.12", *(f"3.{minor}" for minor in range(14, 20))):
        found += [sys.executable] if version == f"{sys.version_info[0]}.{sys.version_info[1]}" else []
        found += [f"{folder}/python{version}" for folder in folders]
    found += [f"{folder}/{name}" for folder in on_path for name in ("python3", "python")]
    return [python for python in dict.fromkeys([*found, sys.executable]) if os.access(python, os.X_OK)]


def kept_versions(on_path: list[str]) -> list[str]:
    """List the folders of real interpreters behind the shims of pyenv, asdf and mise, and those of uv; newest first."""
    home, given = Path(os.environ.get("HOME") or "/"), os.environ.get("PYENV_ROOT")
    roots = [Path(entry).parent for entry in on_path if Path(entry).name == "shims"]
    roots += [Path(given or home / ".pyenv"), home / ".pyenv", home / ".asdf", home / ".local/share/uv"]
    kinds = ("versions/*/bin", "installs/python/*/bin", "python/*/bin")
    return [str(folder) for root in roots for kind in kinds for folder in sorted(root.glob(kind), reverse=True)]


def child_environment() -> dict[str, str]:
    """Return our environment without what would lead a child astray."""
    return {name: value for name, value in os.environ.items() if name not in ASTRAY}


def say(line: str) -> None:
    """Report progress; stdout is the verb's."""
    sys.stderr.write(f"slipway: {line}\n")
    sys.stderr.flush()

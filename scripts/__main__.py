"""Give a verb the environment it needs, then hand over to `scripts.cli`.

Decides which locks the verb needs, whether this interpreter has them and whether `.venv` does; makes `.venv` where it does not.
What a verb is and does is left to cli. Runs before anything is installed, on whatever a machine calls `python3`: so the standard
library only, and the syntax of Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "slipway-stamp.json"
RELEASE_LOCK = "scripts/requirements.txt"
ALL_LOCKS = ("requirements.txt", RELEASE_LOCK, "requirements-dev.txt")
RELEASE_VERBS = set("plan deploy verify promote bake rollback recover report doctor judge build".split())
OLDEST = (3, 12)
WANTED = "3.13"  # where .python-version does not say
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]\n]*\])?==([^\s;\\]+)([^\S\n]*;)?", re.MULTILINE)
PIP = (
    "-I -u -m pip install --require-hashes --only-binary :all: --no-deps --disable-pip-version-check --no-input".split()
)
# The first two would shadow what the locks pin; with the others pip refuses, or installs elsewhere than in .venv.
FOREIGN = set("PYTHONPATH PYTHONHOME".split())
FOREIGN_TO_PIP = set("PIP_REQUIRE_VIRTUALENV PIP_USER PIP_TARGET PIP_PREFIX".split())


class SetupError(Exception):
    """The environment cannot be made: what happened, what it means, what to do."""


class Interpreter(NamedTuple):
    """A Python as it answered: the base behind a shim or a venv, or the trouble with it."""

    path: str
    version: str
    trouble: str = ""


class Stamp(NamedTuple):
    """What the last finished build put into .venv: lock digests by name, from what, for where."""

    locks: dict[str, str]
    python: str
    wanted: str
    prefix: str


def main(arguments: list[str]) -> int:
    """Run one verb in the environment it needs and return its exit code."""
    try:
        prepare(arguments)
        return run_verb(arguments)
    except SetupError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def run_verb(arguments: list[str]) -> int:
    """Hand over to the cli of this checkout, whatever folder the command was typed in."""
    if not __package__:  # run as a folder, which Python puts on sys.path: our modules would shadow others of that name
        del sys.path[0]
    sys.path.insert(0, str(ROOT))
    from scripts.cli import main as run

    return run(arguments)


def prepare(arguments: list[str]) -> None:
    """Return if this interpreter has every pin of the verb's locks; else replace this process by one that has."""
    if importlib.util.find_spec("fcntl") is None:
        raise SetupError("Slipway runs on Linux or macOS, and this is neither. Nothing was run; on Windows use WSL.")
    locks = read_locks(needed_locks(arguments))
    if sys.version_info >= OLDEST and not unmet_pins(locks.values(), sys.path):
        return
    try:
        with sole_builder() as guard:
            bring_up_to_date(locks, guard)
        command = [VENV_PYTHON, str(ROOT / "scripts"), *arguments]  # the folder: -m works in ROOT only
        os.execve(VENV_PYTHON, command, environment_without(FOREIGN))
    except OSError as error:
        raise SetupError(
            f".venv cannot be made or started: {error}\nNothing was run. "
            f"Look at the free space and the rights of {ROOT}, then run the command again."
        ) from error


def needed_locks(arguments: list[str]) -> tuple[str, ...]:
    """Name the locks for a command line: the release path and help need one, everything else needs all."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    verb = next((argument for argument in ours if not argument.startswith("-")), None)
    small = verb is None or verb in RELEASE_VERBS or "-h" in ours or "--help" in ours
    return (RELEASE_LOCK,) if small else ALL_LOCKS


def read_locks(names: Iterable[str]) -> dict[str, str]:
    """Read the locks' texts by name."""
    try:
        return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    except (OSError, ValueError) as error:
        raise SetupError(
            f"a lock cannot be read: {error}\nNobody knows what to install without it, so nothing was run. "
            f"Bring it back: git -C {ROOT} checkout -- {' '.join(names)}"
        ) from error


def unmet_pins(locks: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Name the packages that the folders do not hold at the version the locks pin."""
    installed = read_installed(folders)
    return [name for name, versions in read_pins(locks).items() if installed.get(name) not in versions]


def read_pins(locks: Iterable[str]) -> dict[str, set[str | None]]:
    """Return the versions that will do by package; None, absent, where the pin has a marker: that is for pip to judge."""
    pins: dict[str, set[str | None]] = {}
    for name, version, marker in PIN.findall("\n".join(locks)):
        versions = pins.setdefault(normal_name(name), set())
        versions.update([normal_version(version), None] if marker else [normal_version(version)])
    return pins


def read_installed(folders: Iterable[str]) -> dict[str, str]:
    """Return the version by package as the names of .dist-info folders tell; the first folder wins, as in an import."""
    installed: dict[str, str] = {}
    for folder in folders:
        with contextlib.suppress(OSError):  # sys.path also names archives, and folders that do not exist
            for entry in Path(folder).glob("*.dist-info"):
                name, _, version = entry.stem.partition("-")
                installed.setdefault(normal_name(name), normal_version(version))
    return installed


def normal_name(name: str) -> str:
    """Return a package's name in the spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normal_version(version: str) -> str:
    """Return a version without leading zeros (2026.01.04): locks drop them, names of wheels may keep them."""
    return re.sub(r"\b0+(?=\d)", "", version)


@contextlib.contextmanager
def sole_builder() -> Iterator[int]:
    """Hold this checkout against other runs. The lock is on the folder itself: no file is left behind."""
    import fcntl

    guard = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run, which is making .venv")
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield guard
    finally:
        os.close(guard)


def bring_up_to_date(locks: dict[str, str], guard: int) -> None:
    """Make .venv hold the locks: leave it, add the missing ones in place, or make it anew."""
    began, wanted, stamp = time.monotonic(), read_wanted(), read_stamp()
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in locks.items()}
    why = judge_venv(stamp, locks, digests, wanted)
    if stamp and not why and digests.items() <= stamp.locks.items():
        return
    if stamp and not why:
        python, kept, task = stamp.python, stamp.locks, "completing .venv"
    else:
        python, kept, task = "", {}, "making .venv"
    say(
        f"{task} with Python {python.version} from {', '.join(locks)} ({why or 'once'}; again only when a lock changes)"
    )

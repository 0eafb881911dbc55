"""Give a verb the environment it needs, then hand over to `scripts.cli`.

Decides which locks the verb needs and whether this interpreter has their pins. Leaves it to `scripts.environment` to
make `.venv` where it has not, and to cli what a verb is and does. Runs before anything is installed, on whatever a
machine calls `python3`: so this file and the two it may need are standard library only, in the syntax of Python 3.9.
"""
# ruff: noqa: E402 - the hook comes first, so that it covers the imports too

from __future__ import annotations

import sys
from types import TracebackType


def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End an interrupted start with exit 130; anything else that nobody caught ends as Python ends it."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("slipway: interrupted\n")
        sys.exit(130)
    sys.__excepthook__(kind, error, trace)


if __name__ == "__main__":
    sys.excepthook = end

import contextlib
import importlib.util
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE_LOCK = "scripts/requirements.txt"
ALL_LOCKS = ("requirements.txt", RELEASE_LOCK, "requirements-dev.txt")
RELEASE_VERBS = frozenset(
    (
        "plan",
        "deploy",
        "verify",
        "promote",
        "bake",
        "rollback",
        "recover",
        "report",
        "resolve",
        "doctor",
        "judge",
        "simulate",
        "propose",
        "required",
    )
)
OLDEST = (3, 12)
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]\n]*\])?==([^\s;\\]+)([^\S\n]*;)?", re.MULTILINE)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run one verb in the environment it needs and return its exit code."""
    make_importable(root)
    trouble = prepare(arguments, root)
    if trouble:
        print(f"slipway: {trouble}", file=sys.stderr)
        return 2
    from scripts.cli import main as run

    return run(arguments)


def make_importable(root: Path) -> None:
    """Put the root on sys.path, and take off the folder, which Python puts there: our `client` is not everybody's."""
    ours = (root, root / "scripts")
    sys.path[:] = [str(root), *(entry for entry in sys.path if Path(entry).resolve() not in ours)]


def prepare(arguments: list[str], root: Path) -> str:
    """Return if this interpreter has every pin of the verb's locks, else hand over; tell what is in the way."""
    if importlib.util.find_spec("fcntl") is None:
        return "Slipway runs on Linux or macOS, and this is neither. Nothing was run; on Windows use WSL."
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked where we handed over to ourselves
    names = needed_locks(arguments)
    try:
        locks = {name: (root / name).read_text(encoding="utf-8") for name in names}
    except (OSError, ValueError) as error:
        return (
            f"a lock cannot be read: {error}\nNobody knows what to install without it, so nothing was run. "
            f"Bring it back: git -C {root} checkout -- {' '.join(names)}"
        )
    return "" if is_current(locks.values()) else hand_over(arguments, locks, root)


def needed_locks(arguments: list[str]) -> tuple[str, ...]:
    """Name the locks for a command line: the release path and help need one, everything else needs all."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    verb = next((argument for argument in ours if not argument.startswith("-")), None)
    small = verb is None or verb in RELEASE_VERBS or "-h" in ours or "--help" in ours
    return (RELEASE_LOCK,) if small else ALL_LOCKS


def is_current(locks: Iterable[str]) -> bool:
    """Tell whether this interpreter is young enough and has every pin."""
    return sys.version_info >= OLDEST and not unmet_pins(locks, sys.path)


def unmet_pins(locks: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Name the packages that the folders do not hold at the version the locks pin."""
    installed = read_installed(folders)
    return [name for name, versions in read_pins(locks).items() if installed.get(name) not in versions]


def read_pins(locks: Iterable[str]) -> dict[str, set[str | None]]:
    """Return by package the versions that will do; None, absent, if its pin has a marker: pip has judged that."""
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


def hand_over(arguments: list[str], locks: dict[str, str], root: Path) -> str:
    """Replace this process by the Python of a .venv that has the pins; return only to say what is in the way."""
    from scripts.environment import provide
    from scripts.interpreters import SetupError, child_environment

    try:
        python = provide(root, locks, unmet_pins)
        command = [python, str(root / "scripts"), *arguments]  # the folder: -m works in the root only
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a booting Python would end it with a traceback
        os.execve(python, command, child_environment())  # noqa: S606
    except SetupError as error:
        return str(error)
    except OSError as error:
        return (
            f".venv cannot be made or started: {error}\nNothing was run. "
            f"Look at the free space and the rights of {root}, then run the command again."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Make `.venv`, or complete it, so that it holds the locks a verb needs.

Decides whether the one here will do, and whether it is ours to make anew. Leaves it to `scripts.__main__` which locks
those are and when a pin is met, and to `scripts.interpreters` with which Python. Imported only where an interpreter
lacks pins; standard library only, in the syntax of Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.interpreters import (
    Interpreter,
    SetupError,
    child_environment,
    choose_python,
    find_pythons,
    probe_python,
    read_wanted,
    say,
)

STAMP = "slipway-stamp.json"
PIP = ["-I", "-u", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
AS_LOCKED = ["--require-hashes", "--only-binary", ":all:", "--no-deps"]
UnmetPins = Callable[[Iterable[str], Iterable[str]], "list[str]"]


class Stamp(NamedTuple):
    """What the last finished build put into .venv: lock digests by name, from what, for where."""

    locks: dict[str, str]
    python: str
    wanted: str
    prefix: str


class Need(NamedTuple):
    """What shall be where: the locks' texts by name, and what tells which of their pins some folders lack."""

    venv: Path
    locks: dict[str, str]
    unmet_pins: UnmetPins


def provide(root: Path, locks: dict[str, str], unmet_pins: UnmetPins) -> str:
    """Make .venv hold the locks and return its Python; raises SetupError or OSError where it cannot."""
    need = Need(root / ".venv", locks, unmet_pins)
    with sole_builder(root) as guard:
        bring_up_to_date(need, guard)
    return python_of(need.venv)


@contextlib.contextmanager
def sole_builder(root: Path) -> Iterator[int]:
    """Hold this checkout against other runs. The lock is on the folder itself: no file is left behind."""
    import fcntl

    guard = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run, which is making .venv")
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield guard
    finally:
        os.close(guard)


def bring_up_to_date(need: Need, guard: int) -> None:
    """Leave .venv as it is, add the missing locks in place, or make it anew."""
    began, stamp, due = time.monotonic(), read_stamp(need.venv), describe(need)
    why = judge_stamp(stamp, due) or judge_venv(stamp, need)
    if not why and due.locks.items() <= stamp.locks.items():
        return
    python = choose_maker(need, due.wanted) if why else Interpreter(python_of(need.venv), stamp.python)
    task, reason = ("making", why) if why else ("completing", "once")
    names = ", ".join(need.locks)
    say(f"{task} .venv with Python {python.version} from {names} ({reason}; again only when a lock changes)")
    unfinish(need.venv)
    if why:
        clear(need.venv)
        run_step([python.path, "-I", "-m", "venv", str(need.venv)], guard)
    install(need, guard)
    finish(need.venv, due._replace(python=python.version))
    say(f".venv is ready after {time.monotonic() - began:.0f} s")


def describe(need: Need) -> Stamp:
    """Return the stamp of a .venv that is as needed, but for its Python, which is not chosen yet."""
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in need.locks.items()}
    return Stamp(digests, "", read_wanted(need.venv.parent), str(need.venv))


def read_stamp(venv: Path) -> Stamp:
    """Read what the last finished build wrote; empty where none finished."""
    try:
        return Stamp(**json.loads((venv / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Stamp({}, "", "", "")


def unfinish(venv: Path) -> None:
    """Declare .venv ours and unfinished, in one step that a kill cannot halve: an empty file says it too."""
    venv.mkdir(exist_ok=True)
    (venv / STAMP).write_text("{}\n", encoding="utf-8")


def finish(venv: Path, stamp: Stamp) -> None:
    """Declare .venv finished, in one step."""
    draft = venv / "slipway-stamp.new"
    draft.write_text(json.dumps(stamp._asdict(), indent=2) + "\n", encoding="utf-8")
    draft.replace(venv / STAMP)


def judge_stamp(stamp: Stamp, due: Stamp) -> str:
    """Say why what the stamp records will not do; empty if it will. A lock that it never had can be added."""
    if not stamp.locks:
        return "the one here has no stamp of a finished build" if Path(due.prefix).exists() else "once"
    if stamp.prefix != due.prefix:
        return f"it was moved here from {stamp.prefix}"
    if stamp.wanted != due.wanted:
        return f".python-version now says {due.wanted}"
    changed = [name for name, digest in due.locks.items() if stamp.locks.get(name, digest) != digest]
    return f"changed: {', '.join(changed)}" if changed else ""


def judge_venv(stamp: Stamp, need: Need) -> str:
    """Say in what .venv is no longer as its stamp records; empty if nothing is."""
    python = probe_python(python_of(need.venv), needs="sys")
    if python.version != stamp.python:
        return f"its Python {stamp.python} is gone: {python.trouble or python.version}"
    stamped = [text for name, text in need.locks.items() if name in stamp.locks]
    unmet = need.unmet_pins(stamped, site_packages(need.venv))
    return f"not as locked any more: {', '.join(unmet)}" if unmet else ""


def is_ours(venv: Path) -> bool:
    """Tell whether .venv may be made anew: it is absent or empty, or has our stamp, finished or not."""
    if venv.is_symlink() or not venv.is_dir():
        return not os.path.lexists(venv)
    return (venv / STAMP).exists() or not any(venv.iterdir())


def choose_maker(need: Need, wanted: str) -> Interpreter:
    """Return the Python to make .venv anew with; raises SetupError where there is none, or something not ours here."""
    if not is_ours(need.venv):
        raise SetupError(
            f"{need.venv} exists and was not made by Slipway: it is no folder with our {STAMP}.\n"
            f"Nothing was changed and nothing was run; the pins of {', '.join(need.locks)} are needed.\n"
            "Activate an environment that has them, or rename or remove .venv, then run the command again."
        )
    return choose_python(wanted, find_pythons(wanted))


def clear(venv: Path) -> None:
    """Empty .venv but for the stamp, which `venv --clear` would remove: a kill after that would leave it nobody's."""
    for entry in list(venv.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != STAMP:
            entry.unlink()


def python_of(venv: Path) -> str:
    """Return the path of .venv's interpreter."""
    return str(venv / "bin" / "python")


def site_packages(venv: Path) -> list[str]:
    """List where .venv keeps its packages."""
    return [str(folder) for folder in venv.glob("lib/python*/site-packages")]


def install(need: Need, guard: int) -> None:
    """Install the locks into .venv in one call of pip, by hash and from wheels only."""
    python, files = python_of(need.venv), [part for name in need.locks for part in ("-r", str(need.venv.parent / name))]
    run_step([python, *PIP, *AS_LOCKED, *files], guard, len(need.unmet_pins(need.locks.values(), [])))
    unmet = need.unmet_pins(need.locks.values(), site_packages(need.venv))
    if unmet:
        raise SetupError(
            f"pip reports success, but .venv lacks {', '.join(unmet)}.\nNothing was run. "
            f"Look for settings that send packages elsewhere: {python} -m pip config debug"
        )


def run_step(command: list[str], guard: int, packages: int = 0) -> None:
    """Run one step of the build to its end, with a line each 2 s about how many packages pip has seen."""
    # The guard is passed on: should we be killed, the step still holds it, and the next run waits for its end.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", env=child_environment(), pass_fds=(guard,),
    ) as step:  # fmt: skip
        try:
            output = listen(step, packages)
        except KeyboardInterrupt:
            stop(step)
            raise
    if step.returncode:
        raise SetupError(explain(f"{' '.join(command[:5])} … failed (exit {step.returncode})", output))


def listen(step: subprocess.Popen[str], packages: int) -> list[str]:
    """Return the lines of a step, when it has ended.

    A function of its own, because CPython 3.13 leaves the jump from an `if` back to the head of its loop out of what
    `try` and `with` of the same function cover: a signal noticed there passed by both, and the step lived on.
    """
    output, seen, spoke = [], 0, time.monotonic()
    for line in step.stdout or ():
        output.append(line.rstrip())
        seen += line.startswith(("Collecting ", "Processing ", "Requirement already satisfied: "))
        if seen and time.monotonic() - spoke > 2:
            spoke = time.monotonic()
            say(f"{seen} of {packages} packages")
    return output


def stop(step: subprocess.Popen[str]) -> None:
    """Interrupt a step, so that it cleans up; kill it if that takes long."""
    step.send_signal(signal.SIGINT)
    try:
        step.wait(timeout=5)
    except subprocess.TimeoutExpired:
        step.kill()
        step.wait()


def explain(failure: str, output: list[str]) -> str:
    """Tell from pip's output whether a package is not the locked one or could not be had, and what to do."""
    todo = "Look at the network, the package index, the free space and git diff"
    if any("DO NOT MATCH THE HASHES" in line for line in output):
        failure = "a package does not have the hash that the lock names, so it was not installed"
        todo = "Somebody edited a lock, or serves another file: look at git diff and at the package index"
    # pip lists the hash for every platform before it says which one it got: without these the end tells enough.
    last = [f"  {line[:300]}\n" for line in output if line and "Expected     or" not in line][-15:]
    return (
        f"{failure}:\n{''.join(last)}Nothing was run; .venv is unfinished. {todo}, then run the command again.\n"
        "If a lock is at fault, take its last good version from git, then: python3 -m scripts lock"
    )

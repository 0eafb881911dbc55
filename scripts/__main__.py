"""Give a verb the environment it needs, then hand over to `scripts.cli`.

Decides which locks the verb needs, whether this interpreter has them and whether `.venv` does; makes `.venv` where it
does not. What a verb is and does is left to cli. Runs before anything is installed, on whatever a machine calls
`python3`: so the standard library only, the syntax of Python 3.9, and all in one file, longer than our others.
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
RELEASE_VERBS = frozenset(
    ("plan", "deploy", "verify", "promote", "bake", "rollback", "recover", "report", "doctor", "judge", "build")
)
OLDEST = (3, 12)
WANTED = "3.13"  # where .python-version does not say
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]\n]*\])?==([^\s;\\]+)([^\S\n]*;)?", re.MULTILINE)
PIP = ["-I", "-u", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
AS_LOCKED = ["--require-hashes", "--only-binary", ":all:", "--no-deps"]
# The first two would shadow what the locks pin; with the others pip refuses, or installs elsewhere than in .venv.
ASTRAY = {"PYTHONPATH", "PYTHONHOME", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}


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
        os.execve(VENV_PYTHON, command, child_environment())  # noqa: S606
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
    why = judge_stamp(stamp, digests, wanted) or judge_venv(stamp, locks)
    if not why and digests.items() <= stamp.locks.items():
        return
    python = choose_python(wanted, find_pythons(wanted)) if why else Interpreter(VENV_PYTHON, stamp.python)
    task, reason = ("making", why) if why else ("completing", "once")
    say(f"{task} .venv with Python {python.version} from {', '.join(locks)} ({reason}; again only when a lock changes)")
    STAMP.unlink(missing_ok=True)  # until there is a new one .venv is unfinished, and the next run sees that
    if why:
        run_step([python.path, "-I", "-m", "venv", "--clear", str(VENV)], guard)
    install(locks, guard)
    write_stamp(Stamp(digests, python.version, wanted, str(VENV)))
    say(f".venv is ready after {time.monotonic() - began:.0f} s")


def read_stamp() -> Stamp:
    """Read what the last finished build wrote; empty where none finished."""
    try:
        return Stamp(**json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Stamp({}, "", "", "")


def write_stamp(stamp: Stamp) -> None:
    """Declare .venv finished, in one step."""
    draft = STAMP.with_suffix(".new")
    draft.write_text(json.dumps(stamp._asdict(), indent=2) + "\n", encoding="utf-8")
    draft.replace(STAMP)


def judge_stamp(stamp: Stamp, digests: dict[str, str], wanted: str) -> str:
    """Say why what the stamp records will not do; empty if it will. A lock that it never had can be added."""
    if not stamp.locks:
        return "the one here has no stamp of a finished build" if VENV.exists() else "once"
    if stamp.prefix != str(VENV):
        return f"it was moved here from {stamp.prefix}"
    if stamp.wanted != wanted:
        return f".python-version now says {wanted}"
    changed = [name for name, digest in digests.items() if stamp.locks.get(name, digest) != digest]
    return f"changed: {', '.join(changed)}" if changed else ""


def judge_venv(stamp: Stamp, locks: dict[str, str]) -> str:
    """Say in what .venv is no longer as its stamp records; empty if nothing is."""
    python = probe_python(VENV_PYTHON, needs="sys")
    if python.version != stamp.python:
        return f"its Python {stamp.python} is gone: {python.trouble or python.version}"
    unmet = unmet_pins((text for name, text in locks.items() if name in stamp.locks), site_packages())
    return f"not as locked any more: {', '.join(unmet)}" if unmet else ""


def site_packages() -> list[str]:
    """List where .venv keeps its packages."""
    return [str(folder) for folder in VENV.glob("lib/python*/site-packages")]


def install(locks: dict[str, str], guard: int) -> None:
    """Install the locks into .venv in one call of pip, by hash and from wheels only."""
    files = [part for name in locks for part in ("-r", str(ROOT / name))]
    run_step([VENV_PYTHON, *PIP, *AS_LOCKED, *files], guard, len(read_pins(locks.values())))
    unmet = unmet_pins(locks.values(), site_packages())
    if unmet:
        raise SetupError(
            f"pip reports success, but .venv lacks {', '.join(unmet)}.\nNothing was run. "
            f"Look for settings that send packages elsewhere: {VENV_PYTHON} -m pip config debug"
        )


def run_step(command: list[str], guard: int, packages: int = 0) -> None:
    """Run one step of the build to its end, with a line each 2 s about how many packages pip has seen."""
    output, seen, spoke = [], 0, time.monotonic()
    # The guard is passed on: should we be killed, the step still holds it, and the next run waits for its end.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", env=child_environment(), pass_fds=(guard,),
    ) as step:  # fmt: skip
        try:
            for line in step.stdout or ():
                output.append(line.rstrip())
                seen += line.startswith(("Collecting ", "Processing ", "Requirement already satisfied: "))
                if seen and time.monotonic() - spoke > 2:
                    spoke = time.monotonic()
                    say(f"{seen} of {packages} packages")
        except KeyboardInterrupt:
            stop(step)
            raise
    if step.returncode:
        raise SetupError(explain(f"{' '.join(command[:5])} … failed (exit {step.returncode})", output))


def stop(step: subprocess.Popen[str]) -> None:
    """Interrupt a step, so that it cleans up; kill it if that takes long."""
    step.send_signal(signal.SIGINT)
    try:
        step.wait(timeout=5)
    except subprocess.TimeoutExpired:
        step.kill()


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


def read_wanted() -> str:
    """Return the minor version that .python-version asks for."""
    with contextlib.suppress(OSError, ValueError):
        found = re.match(r"\s*(3\.\d+)", (ROOT / ".python-version").read_text(encoding="utf-8"))
        return found.group(1) if found else WANTED
    return WANTED


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
    for version in (wanted, WANTED, "3.12", *(f"3.{minor}" for minor in range(14, 20))):
        found += [sys.executable] if version == "%d.%d" % sys.version_info[:2] else []
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
    print(f"slipway: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

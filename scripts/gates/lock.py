"""The verb `lock`: pin the requirements anew, check that the locks are what the .in files give, or take newer pins.

A lock is right when pip-compile gives it byte for byte from the .in files and its own pins, and when every hash in it
is of a file that the package index has for that version. `check` writes nothing here; the others write all or nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.clock import Clock, SystemClock
from scripts.console import Console
from scripts.errors import UsageError
from scripts.gates.hashes import hashes_for, judge_hashes, names_of
from scripts.gates.index import Index, secrets_in
from scripts.gates.pins import Texts, compare, judge_texts, read_pins, render_diff, render_table, with_hashes
from scripts.gates.resolving import Resolved, copied, resolving
from scripts.interpreters import read_wanted
from scripts.redaction import Redactor

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements", "scripts/requirements", "requirements-dev")  # in this order: each keeps to those before it
FAILED = 10
MEND = "python3 -m scripts lock"
SHOWN = 30  # findings
TOLD = 3  # findings that the last line repeats


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in a line, and what shows it."""

    what: str
    detail: str = ""
    next_step: str = MEND


@dataclass(frozen=True)
class Gate:
    """A checkout, and what its locks are judged with."""

    root: Path
    environment: Mapping[str, str]
    console: Console
    clock: Clock


@dataclass(frozen=True)
class Renewed:
    """The locks before and after; the same, where something was found that keeps them from being written."""

    old: Texts
    new: Texts
    found: Sequence[Finding] = ()


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Carry out `lock` and give its exit code: 0, or 10 where the locks or the .in files are not right.

    Raises:
        UsageError: a file is missing or cannot be written, or this is not the Python that the locks are made for.
        PlatformError: the package index could not be reached, or answered nonsense.
    """
    actions = environment.get("GITHUB_ACTIONS") == "true"
    url = environment.get("PIP_INDEX_URL", "").strip()
    console = Console(Redactor(secrets_in(url) if url else ()), actions=actions)
    gate = Gate(ROOT, environment, console, SystemClock())
    if arguments.action == "refresh":
        return refresh(gate, arguments.table)
    if arguments.table:
        raise UsageError(f"--table goes with refresh, not with {arguments.action}", means="Nothing was done.")
    return check(gate) if arguments.action == "check" else pin(gate)


def check(gate: Gate) -> int:
    """Tell whether the locks are right; nothing is written into the checkout."""
    start_s = gate.clock.monotonic()
    _expect_python(gate.root)
    texts = {path: _read(gate.root, path) for path in _paths("txt")}
    _expect_sources(gate.root)
    # A lock that is wrong by itself is not compared: the difference would show its lines, and perhaps a password.
    found = [Finding(trouble) for trouble in judge_texts(texts)] or _differences(gate, texts)
    return _end(gate, found, f"{', '.join(texts)} are what their .in files give", start_s)


def pin(gate: Gate) -> int:
    """Pin what the .in files ask for, keeping every pin that still fits and every hash that is right."""
    return _renew_and_write(gate, upgrade=False)


def refresh(gate: Gate, table: Path | None) -> int:
    """Take the newest versions that fit, and tell what changed, as a Markdown table."""
    if table is not None and (table.is_dir() or not table.parent.is_dir()):
        raise UsageError(f"{table} cannot be written: its folder must be there", means="Nothing was resolved.")
    return _renew_and_write(gate, upgrade=True, table=table)


def _differences(gate: Gate, texts: Texts) -> list[Finding]:
    pins = {path: read_pins(text) for path, text in texts.items()}
    with _index(gate.environment, gate.clock) as index:
        index.reach()
        pages = index.fetch_pages(names_of(pin for each in pins.values() for pin in each))
        resolved = _resolve_at_once(gate, texts)
        found = _unresolved(index, resolved)
    for path, result in zip(texts, resolved, strict=True):
        hashes = {(pin.name, pin.version): pin.hashes for pin in pins[path]}
        given = with_hashes(result.text, hashes)
        if not result.trouble and given != texts[path]:
            source = Path(path).with_suffix(".in").as_posix()
            found.append(Finding(f"{path} is not what {source} gives", render_diff(path, texts[path], given)))
    return [*found, *(Finding(trouble) for path in texts for trouble in judge_hashes(path, pins[path], pages))]


def _resolve_at_once(gate: Gate, texts: Texts) -> list[Resolved]:
    """Resolve all three side by side, each in a copy of its own: one reads what another is writing."""
    with contextlib.ExitStack() as stack:
        running = []
        for name in LOCKS:
            folder = stack.enter_context(copied(gate.root, texts))
            running.append(stack.enter_context(resolving(folder, name, gate.environment, upgrade=False)))
        return [each.finish() for each in running]


def _unresolved(index: Index, resolved: Sequence[Resolved]) -> list[Finding]:
    """Tell what could not be resolved; pip calls a package missing when the index is, so the index is asked again."""
    failed = [(name, each.trouble) for name, each in zip(LOCKS, resolved, strict=False) if each.trouble]
    if failed:
        index.reach()
    step = "mend {}.in, or what it keeps to, then " + MEND
    return [Finding(f"{name}.in cannot be resolved", trouble, step.format(name)) for name, trouble in failed]


def _renew_and_write(gate: Gate, *, upgrade: bool, table: Path | None = None) -> int:
    start_s = gate.clock.monotonic()
    _expect_python(gate.root)
    _expect_sources(gate.root)
    renewed = _renew(gate, upgrade=upgrade)
    if renewed.found:
        return _end(gate, renewed.found, "", start_s)
    changed = {path: text for path, text in renewed.new.items() if text != renewed.old[path]}
    told = render_table(compare(renewed.old, renewed.new))
    _write({gate.root / path: text for path, text in changed.items()} | ({table: told} if table else {}))
    if upgrade:
        gate.console.result(told.rstrip("\n"))
    return _end(gate, (), f"written: {', '.join(changed)}" if changed else "nothing changed", start_s)


def _renew(gate: Gate, *, upgrade: bool) -> Renewed:
    old = {path: _read(gate.root, path, absent="") for path in _paths("txt")}
    resolved: list[Resolved] = []
    with _index(gate.environment, gate.clock) as index, copied(gate.root, old) as folder:
        index.reach()  # where there is no index, pip takes minutes to say that there is no such package
        for name in LOCKS:
            with resolving(folder, name, gate.environment, upgrade=upgrade) as resolver:
                resolved.append(resolver.finish())
            if found := _unresolved(index, resolved):
                return Renewed(old, old, found)
        pages = index.fetch_pages(names_of(pin for each in resolved for pin in read_pins(each.text)))
    new = {}
    for (path, before), each in zip(old.items(), resolved, strict=True):
        hashes = dict(hashes_for(read_pins(each.text), read_pins(before), pages))
        new[path] = with_hashes(each.text, hashes)
    wrong = judge_texts(new) or [each for path in new for each in judge_hashes(path, read_pins(new[path]), pages)]
    return Renewed(old, new, [Finding(each, next_step="ask for something else in the .in file") for each in wrong])


def _end(gate: Gate, found: Sequence[Finding], well: str, start_s: float) -> int:
    for each in found[:SHOWN]:
        gate.console.say(f"  {each.what}" + (f":\n{each.detail}" if each.detail else ""))
    if len(found) > SHOWN:
        gate.console.say(f"  and {len(found) - SHOWN} more")
    what = "; ".join(each.what for each in found[:TOLD]) + ("; …" if len(found) > TOLD else "")
    steps = "; ".join(dict.fromkeys(each.next_step for each in found[:SHOWN]))
    reason = f"{what}. Next: {steps}" if found else well
    gate.console.end("lock", "fail" if found else "pass", reason, gate.clock.monotonic() - start_s)
    return FAILED if found else 0


def _index(environment: Mapping[str, str], clock: Clock) -> Index:
    url = environment.get("PIP_INDEX_URL", "").strip()
    if not url:
        from piptools.repositories import PyPIRepository  # late: it loads the whole of pip

        url = PyPIRepository.DEFAULT_INDEX_URL
    return Index(url, environment, clock)


def _expect_python(root: Path) -> None:
    """Refuse another Python than the locks are made for: what a package needs depends on it."""
    running, wanted = f"{sys.version_info.major}.{sys.version_info.minor}", read_wanted(root)
    if running != wanted:
        raise UsageError(
            f"the locks are made for Python {wanted}, as .python-version says, and this is {running}",
            means="It would give others.",
            next_step=f"install Python {wanted}, remove .venv, then run the command again",
        )


def _expect_sources(root: Path) -> None:
    for path in _paths("in"):
        _read(root, path)


def _paths(suffix: str) -> list[str]:
    return [f"{name}.{suffix}" for name in LOCKS]


def _read(root: Path, path: str, absent: str | None = None) -> str:
    """Read a file as it is, its line ends too."""
    try:
        return (root / path).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        if absent is not None and isinstance(error, FileNotFoundError):
            return absent
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            means="Without it the locks cannot be judged.",
            next_step=MEND if path.endswith(".txt") else f"git checkout -- {path}",
        ) from error


def _write(files: Mapping[Path, str]) -> None:
    """Write files, all or none, by drafts and renames, so that no reader sees half of one."""
    drafts = {path: path.with_name(f"{path.name}.part") for path in files}
    try:
        for path, draft in drafts.items():
            draft.write_bytes(files[path].encode())
        for path, draft in drafts.items():
            draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"{', '.join(path.name for path in files)} cannot be written: {error.strerror}",
            means="The locks are as they were.",
            next_step="look at the folder's rights and at the free space",
        ) from error
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink()

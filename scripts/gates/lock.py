"""The verb `lock`: pin the requirements anew, check that the locks are what the .in files give, or take newer pins.

A lock is right when pip-compile gives it byte for byte from the .in files and its own pins, and when every hash in it
is of a file that the package index has for that version. `check` writes nothing here; the others write all or nothing.

On a laptop `check` believes the committed fingerprint: where it holds, the texts are judged by themselves and nobody is
asked. So there a lock that was falsified together with its fingerprint passes; under CI, where the fingerprint is not
looked at, it does not. What loads slowly is imported where it is needed: without that a check that asks nobody takes
longer than its work.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import UsageError
from scripts.gates.fingerprint import FILE, holds, is_ci, read_fingerprint, read_sources, render_fingerprint
from scripts.gates.lockfiles import (
    MEND,
    ROOT,
    Finding,
    Gate,
    expect_python,
    expect_sources,
    paths,
    read_bytes,
    write_all,
)
from scripts.gates.pins import Texts, compare, judge_texts, read_pins, render_table
from scripts.redaction import Redactor, Secret

FAILED = 10
SHOWN = 30  # findings
TOLD = 3  # findings that the last line repeats
ADDRESSES = ("PIP_INDEX_URL", "PIP_AUDIT_OSV_URL")  # may hold a password
UNCHANGED = f"nothing changed since they were resolved, says {FILE}; `{MEND} check --resolve` asks the index"
UNMARKED = f"`{MEND}` would write {FILE}, which spares a laptop the resolving"


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Carry out `lock` and give its exit code: 0, or 10 where the locks or the .in files are not right.

    Raises:
        UsageError: a file is missing or cannot be written, words do not go together, or this is not the Python that the
            locks are made for.
        PlatformError: the package index could not be reached, or answered nonsense.
    """
    actions = environment.get("GITHUB_ACTIONS") == "true"
    console = Console(Redactor(_secrets(environment)), actions=actions)
    gate = Gate(ROOT, environment, console, SystemClock())
    _expect_words(arguments)
    if arguments.action == "refresh":
        return refresh(gate, arguments.table, arguments.cooldown_days)
    return check(gate, resolve=arguments.resolve) if arguments.action == "check" else pin(gate)


def _secrets(environment: Mapping[str, str]) -> Iterator[Secret]:
    for name in ADDRESSES:
        if url := environment.get(name, "").strip():
            from scripts.gates.index import secrets_in  # late: it loads the client

            yield from secrets_in(url, name)


def _expect_words(arguments: argparse.Namespace) -> None:
    for word, given, action in (("--table", arguments.table, "refresh"), ("--resolve", arguments.resolve, "check")):
        if given and arguments.action != action:
            raise UsageError(f"{word} goes with {action}, not with {arguments.action}", means="Nothing was done.")
    if arguments.cooldown_days < 0:
        raise UsageError(
            f"--cooldown-days {arguments.cooldown_days} is less than none",
            means="Nothing was resolved.",
            next_step="give the days that a release waits, 0 for none",
        )


def check(gate: Gate, *, resolve: bool = False) -> int:
    """Tell whether the locks are right; nothing is written into the checkout."""
    start_s = gate.clock.monotonic()
    expect_python(gate.root)
    locks = {path: read_bytes(gate.root, path) for path in paths("txt")}
    expect_sources(gate.root)
    texts = {path: content.decode("utf-8", "replace") for path, content in locks.items()}
    # A lock that is wrong by itself is not compared: the difference would show its lines, and perhaps a password.
    found = [Finding(trouble) for trouble in judge_texts(texts)]
    laptop, well = not is_ci(gate.environment), f"{', '.join(texts)} are what their .in files give"
    known = laptop and holds(gate.root, locks)
    if known and not resolve:
        well = f"{well}; {UNCHANGED}"
    elif not found:
        from scripts.gates.drift import find_drift

        found = find_drift(gate, texts)
        well = f"{well}; {UNMARKED}" if laptop and not known else well
    return _end(gate, found, well, start_s)


def pin(gate: Gate) -> int:
    """Pin what the .in files ask for, keeping every pin that still fits and every hash that is right."""
    from scripts.gates.renewing import renew

    start_s = gate.clock.monotonic()
    sources = _read_sources(gate)
    renewed = renew(gate, upgrade=False)
    if renewed.found:
        return _end(gate, renewed.found, "", start_s)
    changed = _changes(gate, sources, renewed.old, renewed.new)
    write_all({gate.root / path: text for path, text in changed.items()})
    return _end(gate, (), _written(changed), start_s)


def refresh(gate: Gate, table: Path | None, cooldown_days: int = 0) -> int:
    """Take the newest versions that fit and are old enough; tell what changed, what waits, and what is vulnerable."""
    from scripts.gates.audit import audit, render_audit, tell
    from scripts.gates.cooldown import render_waiting, tell_waiting
    from scripts.gates.renewing import renew

    if table is not None and (table.is_dir() or not table.parent.is_dir()):
        raise UsageError(f"{table} cannot be written: its folder must be there", means="Nothing was resolved.")
    start_s = gate.clock.monotonic()
    sources = _read_sources(gate)
    renewed = renew(gate, upgrade=True, cooldown_days=cooldown_days)
    if renewed.found:
        return _end(gate, renewed.found, "", start_s)
    audited = audit([pin for text in renewed.new.values() for pin in read_pins(text)], gate.environment)
    changed = _changes(gate, sources, renewed.old, renewed.new)
    parts = [render_table(compare(renewed.old, renewed.new)), render_waiting(renewed.waiting, cooldown_days)]
    told = gate.console.redact("\n".join(filter(None, [*parts, render_audit(audited)])))
    write_all({gate.root / path: text for path, text in changed.items()} | ({table: told} if table else {}))
    for line in (*tell_waiting(renewed.waiting), *tell(audited)):
        gate.console.warn(line)
    gate.console.result(told.rstrip("\n"))
    return _end(gate, (), _written(changed), start_s)


def _read_sources(gate: Gate) -> Mapping[str, bytes]:
    expect_python(gate.root)
    expect_sources(gate.root)
    return read_sources(gate.root, paths("txt"))


def _changes(gate: Gate, sources: Mapping[str, bytes], old: Texts, new: Texts) -> Texts:
    """Give the locks that change, and the fingerprint if it does."""
    mark = render_fingerprint(sources, {path: text.encode() for path, text in new.items()})
    changed = {path: text for path, text in new.items() if text != old[path]}
    return changed if mark == read_fingerprint(gate.root) else {**changed, FILE: mark}


def _written(changed: Texts) -> str:
    return f"written: {', '.join(changed)}" if changed else "nothing changed"


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

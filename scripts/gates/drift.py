"""Where locks differ from what their .in files give with the present pins, and from what the package index has."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.clock import Clock
from scripts.gates.hashes import judge_hashes, names_of
from scripts.gates.index import Index
from scripts.gates.lockfiles import LOCKS, MEND, Finding, Gate
from scripts.gates.pins import Texts, read_pins, render_diff, with_hashes
from scripts.gates.resolving import Resolved, copied, resolving


def find_drift(gate: Gate, texts: Texts) -> list[Finding]:
    """Resolve the .in files anew with the pins of the locks, and tell each difference and each wrong hash.

    Raises:
        PlatformError: the package index could not be reached, or answered nonsense.
    """
    pins = {path: read_pins(text) for path, text in texts.items()}
    with open_index(gate.environment, gate.clock) as index:
        index.reach()
        pages = index.fetch_pages(names_of(pin for each in pins.values() for pin in each))
        resolved = _resolve_at_once(gate, texts)
        found = find_unresolved(index, resolved)
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


def find_unresolved(index: Index, resolved: Sequence[Resolved]) -> list[Finding]:
    """Tell what could not be resolved; pip calls a package missing when the index is, so the index is asked again."""
    failed = [(name, each.trouble) for name, each in zip(LOCKS, resolved, strict=False) if each.trouble]
    if failed:
        index.reach()
    step = "mend {}.in, or what it keeps to, then " + MEND
    return [Finding(f"{name}.in cannot be resolved", trouble, step.format(name)) for name, trouble in failed]


def open_index(environment: Mapping[str, str], clock: Clock) -> Index:
    """Give the index that PIP_INDEX_URL names, else pip's default."""
    url = environment.get("PIP_INDEX_URL", "").strip()
    if not url:
        from piptools.repositories import PyPIRepository  # late: it loads the whole of pip

        url = PyPIRepository.DEFAULT_INDEX_URL
    return Index(url, environment, clock)

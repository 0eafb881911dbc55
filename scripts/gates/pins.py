"""What a lock says, from its text alone: its pins, what must not be in it, and what changed from one to another.

It asks nobody. What the .in files give is `scripts.gates.resolving`'s to find out, what the index has
`scripts.gates.hashes`'s.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
VERSION = r"[A-Za-z0-9][A-Za-z0-9.!+_-]*"
STATEMENT = re.compile(rf"({NAME})==({VERSION})(?: ; ([^;#]+?))?((?:\s+--hash=sha256:[0-9a-f]{{64}})*)")
HEAD = re.compile(rf"^({NAME})==({VERSION})(?: ; .+)?$", re.MULTILINE)
SHA256 = re.compile(r"--hash=sha256:([0-9a-f]{64})")
COMMENT = re.compile(r"(?:^|\s+)#.*$")
NOTHING_NEWER = "nothing newer\n"
LONGEST_DIFF = 40  # lines
LONGEST_LINE = 160  # characters

Texts = Mapping[str, str]  # the text of each lock by its path


@dataclass(frozen=True)
class Pin:
    """One package of a lock at its version, with the sha256 of each file that may be installed for it."""

    name: str
    version: str
    hashes: frozenset[str] = frozenset()
    marker: str = ""


@dataclass(frozen=True)
class Change:
    """What became of one package, and in which locks; empty where there was, or is, none."""

    name: str
    old: str
    new: str
    files: tuple[str, ...]


def read_pins(text: str) -> tuple[Pin, ...]:
    """Read the pins of a lock; what is none is left out, and is `judge_texts`'s to tell."""
    found = (STATEMENT.fullmatch(statement) for statement in _statements(text))
    return tuple(_pin(match) for match in found if match)


def _pin(match: re.Match[str]) -> Pin:
    hashes = frozenset(SHA256.findall(match[4]))
    return Pin(canonicalize_name(match[1]), match[2], hashes, match[3] or "")


def _statements(text: str) -> Iterator[str]:
    """Give the lines as pip reads them: joined where they end in a backslash, without comments and blanks."""
    joined = ""
    for line in text.splitlines():
        joined += line
        if joined.endswith("\\") and not COMMENT.match(line):
            joined = f"{joined[:-1]} "
            continue
        statement, joined = COMMENT.sub("", joined).strip(), ""
        if statement:
            yield statement
    if joined.strip():
        yield joined.strip()


def judge_texts(texts: Texts) -> list[str]:
    """Tell what in locks is wrong whatever the index has: options of a machine, pins without hashes or at odds."""
    found = [trouble for path, text in texts.items() for trouble in _judge_text(path, text)]
    return [*found, *_judge_shared(texts)]


def _judge_text(path: str, text: str) -> Iterator[str]:
    seen: set[str] = set()
    for statement in _statements(text):
        match = STATEMENT.fullmatch(statement)
        if match is None:
            yield f"{path}: {_foreign(statement)}"
            continue
        pin = _pin(match)
        if not pin.hashes:
            yield f"{path}: {pin.name}=={pin.version} has no hash"
        if pin.name in seen:
            yield f"{path}: {pin.name} is pinned twice"
        seen.add(pin.name)


def _foreign(statement: str) -> str:
    """Tell what a line is by its first word alone: the rest may be an address with a password."""
    if option := re.match(r"--?[a-z-]{1,40}", statement):
        return f"{option[0]} is an option of a machine and no pin"
    word = (re.findall(r"^[\w.-]{1,40}", statement) or [""])[0]
    return f"{word!a} begins a line that is no pin with a version and sha256 hashes"


def _judge_shared(texts: Texts) -> Iterator[str]:
    places: dict[str, dict[str, list[str]]] = {}
    for path, text in texts.items():
        for pin in read_pins(text):
            places.setdefault(pin.name, {}).setdefault(pin.version, []).append(path)
    for name, versions in places.items():
        if len(versions) > 1:
            told = ", ".join(f"{version} in {' and '.join(paths)}" for version, paths in versions.items())
            yield f"{name} has not one version: {told}"


def bare(text: str) -> str:
    """Give the pins of a lock and nothing else of it: what a resolver is to keep."""
    lines = (f"{pin.name}=={pin.version}{pin.marker and f' ; {pin.marker}'}\n" for pin in read_pins(text))
    return "".join(lines)


def without_hashes(text: str) -> str:
    """Give a lock as the resolver writes it when it is not asked for hashes."""
    return re.sub(r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", "", text, flags=re.MULTILINE)


def with_hashes(text: str, hashes: Mapping[tuple[str, str], Collection[str]]) -> str:
    """Give what the resolver wrote with the hashes by name and version, laid out as pip-compile does."""

    def add(match: re.Match[str]) -> str:
        known = hashes.get((canonicalize_name(match[1]), match[2]), ())
        return match[0] + "".join(f" \\\n    --hash=sha256:{sha256}" for sha256 in sorted(known))

    return HEAD.sub(add, text)


def render_diff(path: str, present: str, given: str) -> str:
    """Give the lines that change, at most forty; hashes only where nothing else does."""
    lines = _diff(path, without_hashes(present), without_hashes(given)) or _diff(path, present, given)
    more = [f"  and {len(lines) - LONGEST_DIFF} more lines"] if len(lines) > LONGEST_DIFF else []
    return "\n".join([*map(_shown, lines[:LONGEST_DIFF]), *more])


def _diff(path: str, present: str, given: str) -> list[str]:
    ends = present.split("\n"), given.split("\n")
    return list(difflib.unified_diff(*ends, path, f"{path} as it should be", n=1, lineterm=""))


def _shown(line: str) -> str:
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in line[:LONGEST_LINE])


def compare(old: Texts, new: Texts) -> tuple[Change, ...]:
    """Give what became of each package from one set of locks to another, by name."""
    files: dict[tuple[str, str, str], list[str]] = {}
    for path in dict.fromkeys([*old, *new]):
        before = {pin.name: pin.version for pin in read_pins(old.get(path, ""))}
        after = {pin.name: pin.version for pin in read_pins(new.get(path, ""))}
        for name in before.keys() | after.keys():
            row = (name, before.get(name, ""), after.get(name, ""))
            files.setdefault(row, []).append(path)
    return tuple(Change(*row, tuple(paths)) for row, paths in sorted(files.items()) if row[1] != row[2])


def render_table(changes: Collection[Change]) -> str:
    """Give what changed as a Markdown table; all that comes from a lock is code, of letters that end no cell."""
    if not changes:
        return NOTHING_NEWER
    rows = (f"| {code(each.name)} | {_versions(each)} | {', '.join(map(code, each.files))} |" for each in changes)
    return "\n".join(["| package | version | in |", "|---|---|---|", *rows]) + "\n"


def _versions(change: Change) -> str:
    if not change.old:
        return f"added: {code(change.new)}"
    if not change.new:
        return f"removed: {code(change.old)}"
    return f"{code(change.old)} → {code(change.new)}{_mark(change.old, change.new)}"


def _mark(old: str, new: str) -> str:
    try:
        before, after = Version(old), Version(new)
    except InvalidVersion:
        return ""
    if after < before:
        return " **older**"
    return " **major**" if (before.epoch, before.major) != (after.epoch, after.major) else ""


def code(text: str) -> str:
    """Give a text of a lock or of an index as code, of letters that end neither it nor a cell."""
    return f"`{re.sub(r'[^A-Za-z0-9._!+/-]', '?', text[:100])}`"

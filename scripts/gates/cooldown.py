"""Releases that are too young to be taken: what is published with a stolen account is mostly found within days.

A release is as old as its newest file, since whoever has the account may add a wheel to an old release, and a lock
that takes the release takes that wheel's hash. Where the index does not tell when, the age is unknown, and that is too
young. A pin that a lock has already never waits, and nor does a version that is named as the fix of a known
vulnerability of it: that one alone, not what came after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from packaging.version import InvalidVersion, Version

from scripts.foreign import plain
from scripts.gates.audit import Vulnerability
from scripts.gates.hashes import version_of
from scripts.gates.index import Uploads
from scripts.gates.pins import Texts, code, read_pins

DAY = timedelta(days=1)

Versions = Mapping[str, str]  # by package
Ages = Mapping[Version, float | None]  # days by version; None where it is unknown


@dataclass(frozen=True)
class Rule:
    """What may be taken: the days that a release waits, the present pins, and what fixes them, with the ids."""

    days: int
    present: Versions = field(default_factory=dict)
    fixes: Mapping[str, Mapping[Version, tuple[str, ...]]] = field(default_factory=dict)

    def allows(self, name: str, version: Version, age: float | None) -> bool:
        """Say whether a version may be pinned."""
        if version == read_version(self.present.get(name, "")) or version in self.fixes.get(name, {}):
            return True
        return _is_old(age, self.days)


@dataclass(frozen=True)
class Release:
    """A version of a package, its age in days, what it fixes, and whether it waits for another's sake."""

    name: str
    version: str
    age: float | None
    fixes: tuple[str, ...] = ()
    waits_for_another: bool = False


@dataclass(frozen=True)
class Waiting:
    """What was held back, and what went ahead of its time."""

    held: tuple[Release, ...] = ()
    early: tuple[Release, ...] = ()


def _is_old(age: float | None, days: int) -> bool:
    return age is not None and age >= days


def versions_in(texts: Texts | Mapping[str, str]) -> Versions:
    """Give the version by package of all locks together."""
    return {pin.name: pin.version for text in texts.values() for pin in read_pins(text)}


def read_version(text: str) -> Version | None:
    """Read a version; nothing where it is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def ages_of(uploads: Uploads, now: datetime) -> Ages:
    """Give by version the days since the newest of its files; unknown where that of one is."""
    ages: dict[Version, float | None] = {}
    for filename, uploaded in uploads.items():
        if (version := version_of(filename)) is None:
            continue
        age = None if uploaded is None else (now - uploaded) / DAY
        before = ages.get(version, age)
        ages[version] = None if age is None or before is None else min(age, before)
    return ages


def read_fixes(found: Iterable[Vulnerability]) -> Mapping[str, Mapping[Version, tuple[str, ...]]]:
    """Give by package the versions that fix something, with the ids of what they fix."""
    fixes: dict[str, dict[Version, tuple[str, ...]]] = {}
    for each in found:
        for version in filter(None, map(read_version, each.fixed)):
            ids = fixes.setdefault(each.name, {})
            ids[version] = (*ids.get(version, ()), each.ids[0])
    return fixes


def judge_ages(rule: Rule, versions: Versions, ages: Mapping[str, Ages]) -> list[Release]:
    """Give what a resolution took that may not be taken."""
    return [each for each in _releases(versions, ages) if not _allows(rule, each)]


def _releases(versions: Versions, ages: Mapping[str, Ages]) -> Iterable[Release]:
    for name, text in sorted(versions.items()):
        version = read_version(text)
        yield Release(name, text, ages.get(name, {}).get(version) if version else None)


def _allows(rule: Rule, release: Release) -> bool:
    version = read_version(release.version)
    return version is not None and rule.allows(release.name, version, release.age)


def plan_limits(rule: Rule, free: Versions, ages: Mapping[str, Ages]) -> str:
    """Give the constraints under which nothing too young is taken, and no pin is lowered for it.

    `free` is what would be taken without them: only what is lowered there may be.
    """
    lines = []
    for name in sorted(ages):
        least = _least(rule.present.get(name, ""), free.get(name, ""))
        barred = (each for each, age in ages[name].items() if not rule.allows(name, each, age))
        limits = [f">={least.public}"] if least else []
        limits += [f"!={each}" for each in sorted(barred) if not least or each > least]
        lines += [f"{name}{','.join(limits)}\n"] if limits else []
    return "".join(lines)


def _least(present: str, free: str) -> Version | None:
    now, then = read_version(present), read_version(free)
    return None if now is None or (then is not None and then < now) else now


def judge_waiting(rule: Rule, free: Versions, taken: Versions, ages: Mapping[str, Ages]) -> Waiting:
    """Tell what was not taken for its age or for that of another, and what was taken in spite of its age."""
    held = _releases(_apart(free, taken, rule.present), ages)
    early = _releases(_apart(taken, rule.present), ages)
    return Waiting(
        tuple(replace(each, waits_for_another=_allows(rule, each)) for each in held),
        tuple(replace(each, fixes=_fixed_by(rule, each)) for each in early if not _is_old(each.age, rule.days)),
    )


def _apart(versions: Versions, *others: Versions) -> Versions:
    """Give of some versions those that none of the others has."""
    return {name: each for name, each in versions.items() if all(other.get(name) != each for other in others)}


def _fixed_by(rule: Rule, release: Release) -> tuple[str, ...]:
    version = read_version(release.version)
    return rule.fixes.get(release.name, {}).get(version, ()) if version else ()


def render_waiting(waiting: Waiting, days: int) -> str:
    """Give what was held back, and what was not, as Markdown; nothing where nothing is young."""
    held = _table(f"Held back, since a release waits {_days(days)}:", waiting.held)
    early = _table(f"Taken before their {_days(days)}, since they fix a known vulnerability:", waiting.early)
    return "\n".join(filter(None, (held, early)))


def tell_waiting(waiting: Waiting) -> Iterator[str]:
    """Give a line where something waits that will not be older next week: its age is unknown."""
    if unknown := [each.name for each in waiting.held if each.age is None]:
        yield f"the index does not tell the age of what is newer of {plain(', '.join(unknown))}: these wait"


def _table(title: str, releases: Collection[Release]) -> str:
    if not releases:
        return ""
    head = f"{title}\n\n| package | version | age |\n|---|---|---|\n"
    return head + "".join(f"| {code(each.name)} | {code(each.version)} | {describe_age(each)} |\n" for each in releases)


def describe_age(release: Release) -> str:
    """Say how old a release is, what it fixes, and whether it waits for its own sake."""
    age = "age unknown" if release.age is None else f"{_days(max(0, int(release.age)))} old"
    fixes = f", fixes {', '.join(map(code, release.fixes))}" if release.fixes else ""
    return f"{age}{fixes}{', needs one that waits' if release.waits_for_another else ''}"


def _days(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"

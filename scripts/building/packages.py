"""Decides whether what the builder installed is what requirements.txt names, package by package and hash by hash.

Vercel's builder turns the pins into a uv.lock of its own and drops the hashes: without this comparison any file that
an index serves under the right name and version would be shipped. Nothing is read or run here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from scripts.verdict import Verdict, failed, passed

HASH = re.compile(r"\s--hash[=\s]\s*(sha256:[0-9a-f]{64})\b")
LINUX = re.compile(r"(many)?linux\w*_x86_64")
RUNS_ON = "linux_x86_64"
NEXT = "find out where the file came from before anything is shipped; if the lock is old: python3 -m scripts lock"


@dataclass(frozen=True)
class Pin:
    """A line of requirements.txt: the only version and the only files that may be installed."""

    name: str
    version: str
    hashes: frozenset[str]
    marker: Marker | None = None

    def applies(self, python: str) -> bool:
        """Whether it is to be installed on Linux with that Python, such as 3.13."""
        return self.marker is None or self.marker.evaluate(
            {"python_version": python, "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
            | {"platform_machine": "x86_64", "implementation_name": "cpython", "extra": ""}
        )


@dataclass(frozen=True)
class Locked:
    """A package of the uv.lock: the hash of each file that could be taken, by its name; empty where there is none."""

    name: str
    version: str
    wheels: Mapping[str, str]


class NotComparableError(ValueError):
    """A lock says something that cannot be compared."""


def read_requirements(text: str) -> tuple[Pin, ...]:
    """Read a locked requirements.txt; raises NotComparableError for a line that pins no version of a package."""
    lines = (line.strip() for line in re.sub(r"\\\r?\n", " ", text).splitlines())
    return tuple(_pin(line) for line in lines if line and not line.startswith("#"))


def read_uv_lock(text: str) -> tuple[Locked, ...]:
    """Read a uv.lock without the project itself; raises NotComparableError."""
    try:
        table = tomllib.loads(text)
        rows = [row for row in table["package"] if not {"virtual", "editable"} & set(row["source"])]
        return tuple(_locked(row) for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotComparableError(f"the builder's uv.lock cannot be read: {error!r}") from error


def judge_packages(
    pins: Sequence[Pin], locked: Sequence[Locked], installed: Mapping[str, str], runtime: Sequence[Pin], python: str
) -> Verdict:
    """Decide whether the bundle holds what requirements.txt names and nothing else.

    `installed` is the version of each package in the bundle, `runtime` what the builder itself adds, `python` the
    version that the function runs on.
    """
    wrong = [
        *(fault for row in locked for fault in _judge_locked(row, pins, python)),
        *_judge_installed(installed, locked, runtime),
        *_judge_missing(installed, pins, python),
    ]
    if wrong:
        return failed("; ".join(dict.fromkeys(wrong)), NEXT)
    if not locked or not pins:
        return failed("no package could be compared with requirements.txt", NEXT)
    return passed(f"{len(installed)} packages, each by a hash that requirements.txt names")


def _judge_locked(row: Locked, pins: Sequence[Pin], python: str) -> Iterable[str]:
    named = [pin for pin in pins if pin.name == row.name]
    if not named:
        yield f"{row.name} {row.version} was installed, and requirements.txt does not name it"
        return
    same = [pin for pin in named if _same(pin.version, row.version)]
    if not same:
        versions = " or ".join(pin.version for pin in named)
        yield f"{row.name} {row.version} was installed, and requirements.txt pins {versions}"
        return
    known = frozenset[str]().union(*(pin.hashes for pin in same))
    fitting = {name: value for name, value in row.wheels.items() if fits(name, python)}
    if not fitting:
        yield f"{row.name} {row.version}: no wheel in the uv.lock fits Python {python} on Linux, so it was built here"
    for name, value in fitting.items():
        if value not in known:
            yield f"{row.name} {row.version}: {name} has {value or 'no hash'}, which requirements.txt does not name"


def _judge_installed(installed: Mapping[str, str], locked: Sequence[Locked], runtime: Sequence[Pin]) -> Iterable[str]:
    rows: tuple[Locked | Pin, ...] = (*runtime, *locked)
    for name, version in installed.items():
        expected = [row.version for row in rows if row.name == name]
        if not expected:
            yield f"{name} {version} is in the bundle, and neither requirements.txt nor the runtime names it"
        elif not any(_same(version, each) for each in expected):
            yield f"{name} {version} is in the bundle, and {' or '.join(expected)} was locked"


def _judge_missing(installed: Mapping[str, str], pins: Sequence[Pin], python: str) -> Iterable[str]:
    for pin in pins:
        if pin.applies(python) and pin.name not in installed:
            yield f"{pin.name} {pin.version} of requirements.txt is not in the bundle"


def fits(filename: str, python: str) -> bool:
    """Whether a wheel could be installed by that Python on Linux x86-64; an unreadable name could."""
    try:
        tags = parse_wheel_filename(filename)[3]
    except (InvalidWheelFilename, InvalidVersion):
        return True
    return not _tags(python).isdisjoint(_on_linux(tag) for tag in tags)


def _on_linux(tag: Tag) -> Tag:
    # manylinux of whatever year: the newest that the builder would take is its own business.
    return Tag(tag.interpreter, tag.abi, RUNS_ON) if LINUX.fullmatch(tag.platform) else tag


def _tags(python: str) -> frozenset[Tag]:
    major, minor = (int(part) for part in python.split("."))
    version, platforms = (major, minor), [RUNS_ON]
    own = cpython_tags(version, platforms=platforms)
    return frozenset([*own, *compatible_tags(version, f"cp{major}{minor}", platforms)])


def _pin(line: str) -> Pin:
    head = re.split(r"\s(?:#|--hash\b)", line, maxsplit=1)[0].strip()
    hashes = frozenset(HASH.findall(line))
    try:
        row = Requirement(head)
    except InvalidRequirement as error:
        raise NotComparableError(f"requirements.txt: {head[:80]!r} is no pinned package") from error
    exact = [part.version for part in row.specifier if part.operator in {"==", "==="} and "*" not in part.version]
    if len(exact) != 1 or len(row.specifier) != 1 or row.url or not hashes:
        what = f"requirements.txt: {row.name} must be one version (==) with at least one sha256"
        raise NotComparableError(what)
    return Pin(canonicalize_name(row.name), exact[0], hashes, row.marker)


def _locked(row: Mapping[str, object]) -> Locked:
    wheels = row.get("wheels", [])
    if not isinstance(wheels, list):
        raise NotComparableError(f"the builder's uv.lock: wheels of {row['name']} are no list")
    named = {_filename(wheel): str(wheel.get("hash", "")) for wheel in wheels}
    return Locked(canonicalize_name(str(row["name"])), str(row["version"]), named)


def _filename(wheel: Mapping[str, object]) -> str:
    place = wheel.get("filename") or wheel.get("path") or wheel["url"]
    return unquote(str(place).split("#")[0].split("?")[0].rsplit("/", 1)[-1])


def _same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other

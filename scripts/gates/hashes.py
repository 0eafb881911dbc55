"""Whether the hashes of a lock are of files that the package index has, and which those files are.

pip-compile is not asked: it takes the hashes from the very lock that is to be checked, or downloads every file of every
pin to hash it, and hashes an error page as if it were one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from scripts.gates.index import Pages
from scripts.gates.pins import Pin

SDISTS = (".tar.gz", ".zip")


@dataclass(frozen=True)
class Known:
    """What the index has of one pin: the sha256 of each file, and of those that can be installed here."""

    all: frozenset[str]
    here: frozenset[str]


def judge_hashes(path: str, pins: Iterable[Pin], pages: Pages) -> list[str]:
    """Tell which pins of a lock have a hash of no file of that version, or none of a wheel that installs here.

    A lock may list fewer files than the index has: an old version may get new ones, as for a new Python. But one wheel
    that this interpreter takes must be left, since everything is installed from wheels alone.
    """
    return [f"{path}: {trouble}" for pin in pins if (trouble := _judge_pin(pin, known_of(pin, pages)))]


def _judge_pin(pin: Pin, known: Known) -> str:
    what = f"{pin.name}=={pin.version}"
    if not known.all:
        return f"{what}: the index names no file of it with a sha256"
    if unknown := sorted(pin.hashes - known.all):
        return f"{what}: {len(unknown)} of its {len(pin.hashes)} hashes are of no file that the index has: {unknown[0]}"
    if _is_for_here(pin.marker) and not pin.hashes & known.here:
        return f"{what}: none of its hashes is of a wheel that can be installed here"
    return ""


def _is_for_here(marker: str) -> bool:
    try:
        return not marker or Marker(marker).evaluate()
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True


def known_of(pin: Pin, pages: Pages) -> Known:
    """Give what the index has of a pin's very version."""
    wanted = _version(pin.version)
    files = [each for each in pages.get(pin.name, {}).items() if wanted and version_of(each[0]) == wanted]
    here = frozenset(sha256 for filename, sha256 in files if _installs_here(filename))
    return Known(frozenset(sha256 for _, sha256 in files), here)


def version_of(filename: str) -> Version | None:
    """Give the version that a wheel or an archive is of; nothing for another file."""
    if filename.endswith(".whl"):
        return _version(([*filename.split("-"), ""])[1])
    stem = next((filename.removesuffix(end) for end in SDISTS if filename.endswith(end)), "")
    return _version(stem.rpartition("-")[2])


@functools.cache  # a page of a thousand files has some fifty versions
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _installs_here(filename: str) -> bool:
    try:
        return not _tags_here().isdisjoint(parse_wheel_filename(filename)[3])
    except InvalidWheelFilename:
        return False


@functools.cache
def _tags_here() -> frozenset[object]:
    return frozenset(sys_tags())


def names_of(pins: Iterable[Pin]) -> list[str]:
    """Give the packages that pins are of, each once."""
    return sorted({pin.name for pin in pins})


def hashes_for(pins: Iterable[Pin], present: Iterable[Pin], pages: Pages) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Give each pin's hashes: those of the present lock while they are right, else all that the index has."""
    kept = {(pin.name, pin.version): pin for pin in present}
    for pin in pins:
        known, before = known_of(pin, pages), kept.get((pin.name, pin.version))
        right = before is not None and not _judge_pin(before, known)
        yield (pin.name, pin.version), set(before.hashes if before and right else known.all)

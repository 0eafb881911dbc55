"""Reads the data files of every part of the tests: what of the service's and the pipeline's files they covered."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import Coverage, CoverageData
from coverage.exceptions import CoverageException
from coverage.parser import PythonParser

from scripts.errors import ConfigError, UsageError

SERVICE = "app"  # always asked for, whatever .coveragerc says
SETTINGS = ".coveragerc"
DATA = ".coverage"
JOURNAL = "-journal"
AGAIN = "python3 -m scripts test --part unit, then --part integration, and keep the .coverage of each"


@dataclass(frozen=True)
class Sum:
    """Covered and all, of lines and of branches."""

    lines: tuple[int, int] = (0, 0)
    branches: tuple[int, int] = (0, 0)

    def __add__(self, other: Sum) -> Sum:
        """Add two up."""
        return Sum(_plus(self.lines, other.lines), _plus(self.branches, other.branches))

    @property
    def share(self) -> float:
        """The covered share of lines and branches together; of nothing, all of it."""
        covered, everything = _plus(self.lines, self.branches)
        return covered / everything if everything else 1.0

    @property
    def percent(self) -> str:
        """The share in per cent, rounded down: 79.99 is not to read as 80."""
        covered, everything = _plus(self.lines, self.branches)
        tenths = covered * 1000 // everything if everything else 1000
        return f"{tenths // 10}.{tenths % 10} %"

    def reaches(self, floor: int) -> bool:
        """Whether the share is at least the floor, in per cent, without rounding."""
        covered, everything = _plus(self.lines, self.branches)
        return covered * 100 >= floor * everything


def _plus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


@dataclass(frozen=True)
class Covered:
    """A file, the package that it counts for, and what of it was covered: of each statement the first line."""

    name: str
    package: str
    sum: Sum
    executed: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()


def read_packages(root: Path) -> tuple[str, ...]:
    """Give the folders that must have been measured: the service, and what .coveragerc names as source.

    Raises:
        ConfigError: there is no .coveragerc, or coverage cannot read it.
    """
    source = _open(root, root / DATA).get_option("run:source")
    named = source if isinstance(source, list) else []
    folders = [name if (root / name).exists() else name.replace(".", "/") for name in named]
    return tuple(dict.fromkeys([SERVICE, *(str(Path(name)) for name in folders)]))


def _open(root: Path, data: Path) -> Coverage:
    settings = root / SETTINGS
    try:
        if not settings.is_file():
            raise ConfigError(
                f"{settings} is not there",
                means="It says what is measured, so nobody knows what is missing.",
                next_step=f"run this in the repository's root, with the {SETTINGS} of the template",
            )
        return Coverage(data_file=str(data), config_file=str(settings))
    except CoverageException as error:
        raise ConfigError(f"{SETTINGS}: {error}", next_step=f"mend {SETTINGS}") from error


def find_data(given: Iterable[Path]) -> list[Path]:
    """Give the data files that are named, and those in the folders that are named and one level below.

    Raises:
        UsageError: something is not there, or has none.
    """
    found = [path for place in given for path in _find_in(place)]
    return list(dict.fromkeys(found))


def _find_in(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = [*filter(_is_data, place.glob("*")), *filter(_is_data, place.glob("*/*"))]
    if not found:
        what = "has no data file" if place.is_dir() else "is not there"
        raise UsageError(
            f"{place} {what}", means="A part of the tests that left no data is not a pass.", next_step=AGAIN
        )
    return sorted(found)


def _is_data(path: Path) -> bool:
    named = path.name == DATA or path.name.startswith(f"{DATA}.")
    return named and path.is_file() and not path.name.endswith(JOURNAL)


def package_of(name: str, packages: Iterable[str]) -> str | None:
    """Give the package that a file counts for, if any."""
    return next((each for each in packages if Path(name).is_relative_to(each)), None)


def first_lines(path: Path, lines: Iterable[int]) -> dict[int, int]:
    """Give for each line of a Python file that can be parsed where the statement that it is part of begins."""
    parser = PythonParser(filename=str(path))
    parser.parse_source()
    return {line: parser.first_line(line) for line in lines}


def add_up(
    root: Path, data: Sequence[Path], packages: Sequence[str], folder: Path, asked: Iterable[str] = ()
) -> list[Covered]:
    """Combine copies of the data files in an empty folder, and give every file of the packages.

    What is `asked` for by name is given too, as never run, where no part of the tests has seen it and .coveragerc does
    not leave it out.

    Raises:
        UsageError: a data file is torn, or tells of files that are not in this checkout.
    """
    copies = [_copy(path, folder / f"{number}{DATA}") for number, path in enumerate(data)]
    report = folder / "report.json"
    coverage = _open(root, folder / "combined")
    try:
        coverage.set_option("paths", _paths(coverage, packages))
        coverage.combine([str(copy) for copy in copies], strict=True, keep=True)
        _ask_for([str(root / name) for name in asked], coverage.get_data())
        coverage.json_report(outfile=str(report), omit=_omitted(coverage), ignore_errors=False)
    except (CoverageException, sqlite3.Error) as error:
        raise UsageError(
            f"the data cannot be added up: {error}",
            means="What was covered is not known: this is not a pass.",
            next_step=f"in this very commit, {AGAIN}",
        ) from error
    finally:
        coverage.get_data().close(force=True)
    return list(_files(json.loads(report.read_text(encoding="utf-8")), packages))


def _copy(path: Path, to: Path) -> Path:
    """Copy a data file that is whole: a torn one would be left out of the sum with a warning."""
    trouble = "its writer was killed" if path.with_name(path.name + JOURNAL).exists() else ""
    try:
        shutil.copyfile(path, to)
        trouble = trouble or _trouble_in(to)
    except OSError as error:
        trouble = error.strerror or type(error).__name__
    if trouble:
        raise UsageError(
            f"{path} is no whole data file: {trouble}",
            means="What that part of the tests covered is not known: this is not a pass.",
            next_step=f"delete it; {AGAIN}",
        )
    return to


def _trouble_in(copy: Path) -> str:
    """Say what is wrong with a data file; empty for nothing."""
    try:
        connection = sqlite3.connect(copy)
        try:
            (told,) = connection.execute("pragma integrity_check(1)").fetchone()
            (files,) = connection.execute("select count(*) from file").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    if told != "ok":
        return str(told)
    return "" if files else "it measured no file"


def _ask_for(paths: Sequence[str], data: CoverageData) -> None:
    """Enter files that were not measured, as never run."""
    known = {str(Path(name).absolute()) for name in data.measured_files()}
    if unknown := [path for path in paths if path not in known]:
        data.touch_files(unknown)


def _omitted(coverage: Coverage) -> list[str] | None:
    """Give what is measured nowhere or reported nowhere: what was asked for by name may be of the first kind too."""
    named = [coverage.get_option("run:omit"), coverage.get_option("report:omit")]
    return [str(each) for part in named if isinstance(part, list) for each in part] or None


def _paths(coverage: Coverage, packages: Sequence[str]) -> dict[str, list[str]]:
    """Give where the same files lie on other machines: as .coveragerc says, the rest in a checkout anywhere."""
    named = coverage.get_option("paths")
    told = dict(named) if isinstance(named, Mapping) else {}
    return {**{name: [name, f"*/{name}"] for name in packages if name != "."}, **told}


def _files(report: Mapping[str, Mapping[str, Mapping[str, object]]], packages: Sequence[str]) -> Iterator[Covered]:
    for name, told in report["files"].items():
        package = package_of(name, packages)
        if package is not None:
            lines = (_lines(told[kind]) for kind in ("executed_lines", "missing_lines"))
            yield Covered(name, package, _sum(told["summary"]), *lines)


def _lines(told: object) -> frozenset[int]:
    if not isinstance(told, list):
        raise TypeError("lines are a list")
    return frozenset(told)


def _sum(summary: object) -> Sum:
    if not isinstance(summary, Mapping):
        raise TypeError("a summary is a mapping")
    lines = (summary["covered_lines"], summary["num_statements"])
    return Sum(lines, (summary.get("covered_branches", 0), summary.get("num_branches", 0)))

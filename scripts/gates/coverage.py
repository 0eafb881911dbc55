"""The verb `coverage`: what every part of the tests covered, added up, and held against the floor.

Parts run on machines of their own, and each leaves a data file. Decides whether the sum is enough; reading the files is
left to `scripts.gates.covered`. What is missing or torn is never counted as nothing lost.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.foreign import for_markdown, plain
from scripts.gates.covered import Covered, Sum, add_up, find_data, read_packages
from scripts.gates.tables import append_summary, as_markdown, as_text
from scripts.gates.testing import COVERAGE_FLOOR
from scripts.verdict import Verdict, failed, passed

LEAST_COVERED = 10  # files that are named


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Add the data up and give the exit code: 0, 10 under the floor or where a package was not run, 2 without data."""
    start = time.monotonic()
    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    root = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(prefix="slipway-coverage-") as folder:
            packages = read_packages(root)
            covered = add_up(root, find_data(arguments.data or [root]), packages, Path(folder))
    except SlipwayError as error:
        console.fail(str(error))
        append_summary(environment, f"## Coverage: not known\n\n{for_markdown(str(error))}\n")
        return error.exit_code
    verdict = judge_coverage(covered, packages)
    tell(covered, packages, verdict, console, environment)
    console.end("coverage", verdict.outcome, verdict.reason, time.monotonic() - start)
    if not verdict.passed:
        console.say(f"next   {verdict.next_step}")
    return verdict.exit_code


def judge_coverage(covered: Sequence[Covered], packages: Sequence[str], floor: int = COVERAGE_FLOOR) -> Verdict:
    """Hold the sum against the floor, in per cent of lines and branches; a package that was never run is a failure."""
    idle = [name for name in packages if not any(row.ran for row in covered if row.package == name)]
    if idle:
        return failed(
            f"no line of {' and '.join(idle)} was run by any part of the tests",
            "give every part's data file, and see that [run] source of .coveragerc names what the tests import",
        )
    total = sum_of(covered)
    if not total.reaches(floor):
        return failed(f"{_percent(total)} of lines and branches are covered, under the floor of {floor} %", "test more")
    return passed(f"{_percent(total)} of lines and branches are covered, and {floor} % are asked for")


def sum_of(covered: Sequence[Covered]) -> Sum:
    """Add files up."""
    return sum((row.sum for row in covered), Sum())


def tell(
    covered: Sequence[Covered],
    packages: Sequence[str],
    verdict: Verdict,
    console: Console,
    environment: Mapping[str, str],
) -> None:
    """Give the packages and the least covered files on stdout, and with the verdict to the step's summary."""
    tables = [render_packages(covered, packages), render_least_covered(covered)]
    tables = [table for table in tables if len(table) > 1]
    console.result("\n\n".join(map(as_text, tables)))
    title = f"## Coverage: {for_markdown(verdict.reason)}"
    append_summary(environment, "\n\n".join([title, *map(as_markdown, tables)]) + "\n")


def render_packages(covered: Sequence[Covered], packages: Sequence[str]) -> list[tuple[str, ...]]:
    """Give a row for each package, and one for all."""
    rows = [(name, sum_of([row for row in covered if row.package == name])) for name in packages]
    rows = [*rows, ("total", sum_of(covered))]
    head = ("package", "lines", "branches", "covered")
    return [head, *((name, _of(row.lines), _of(row.branches), _percent(row)) for name, row in rows)]


def render_least_covered(covered: Sequence[Covered]) -> list[tuple[str, ...]]:
    """Give the files that miss most for their size."""
    wanting = sorted((row for row in covered if not row.sum.reaches(100)), key=lambda row: (row.sum.share, row.name))
    rows = [(plain(row.name), _of(row.sum.lines), _of(row.sum.branches), _percent(row.sum)) for row in wanting]
    return [("least covered", "lines", "branches", "covered"), *rows[:LEAST_COVERED]]


def _of(pair: tuple[int, int]) -> str:
    return f"{pair[0]} of {pair[1]}"


def _percent(total: Sum) -> str:
    """Give per cent, rounded down: 79.99 is not to read as 80."""
    return f"{math.floor(total.share * 1000) / 10:.1f} %"

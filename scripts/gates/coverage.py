"""The verb `coverage`: what every part of the tests covered, added up, and held against the floors of slipway.toml.

Parts run on machines of their own, and each leaves a data file. Decides whether each package reaches the floor; reading
the files is left to `scripts.gates.covered`, and the lines that a change adds to `scripts.gates.changed_lines`. What is
missing or torn is never counted as nothing lost.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.config import CoverageSection
from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.foreign import for_markdown, plain
from scripts.gates.changed_lines import Changed, fetch_change, judge_change, measure_change, render_change
from scripts.gates.covered import Covered, Sum, add_up, find_data, read_packages
from scripts.gates.order import read_config
from scripts.gates.tables import Rows, append_summary, as_markdown, as_text
from scripts.verdict import Verdict, failed, passed, worst

LEAST_COVERED = 10  # files that are named
ANNOTATIONS = 10  # that GitHub shows of one step and level


@dataclass(frozen=True)
class Held:
    """What was held against the floors: the packages' files, the changed ones where that was asked, the verdicts."""

    covered: Sequence[Covered]
    whole: Verdict
    changed: Sequence[Changed] = ()
    new: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """The worse of the two."""
        return worst([self.whole, self.new] if self.new else [self.whole])


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Add the data up and give the exit code: 0, 10 under a floor or where a package was not run, 2 without data."""
    start = time.monotonic()
    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    root = Path.cwd()
    try:
        floors = read_config(arguments.config).coverage
        packages = read_packages(root)
        held = hold(root, packages, floors, arguments.data, arguments.against or None)
    except SlipwayError as error:
        console.fail(str(error))
        append_summary(environment, f"## Coverage: not known\n\n{for_markdown(str(error))}\n")
        return error.exit_code
    tell(held, packages, floors, console, environment)
    verdict = held.verdict
    if held.new is None:
        console.say("skip   new lines: no commit is named with --against, so they have no floor here")
    console.end("coverage", verdict.outcome, verdict.reason, time.monotonic() - start)
    if not verdict.passed:
        console.say(f"next   {verdict.next_step}")
    return verdict.exit_code


def hold(
    root: Path, packages: Sequence[str], floors: CoverageSection, data: Sequence[Path], against: str | None = None
) -> Held:
    """Read what was covered, in all and of the lines added since a commit where one is named, and judge both.

    Raises:
        UsageError: the data or the change cannot be read.
    """
    change = None if against is None else fetch_change(root, against, packages)
    with tempfile.TemporaryDirectory(prefix="slipway-coverage-") as folder:
        covered = add_up(root, find_data(data or [root]), packages, Path(folder), change.lines if change else ())
    whole = judge_coverage(covered, packages, floors.floor)
    if change is None:
        return Held(covered, whole)
    changed = measure_change(root, change, covered)
    return Held(covered, whole, changed, judge_change(change, changed, floors.changed_floor))


def judge_coverage(covered: Sequence[Covered], packages: Sequence[str], floor: int) -> Verdict:
    """Hold each package against the floor, in per cent of lines and branches; one that was never run is a failure."""
    idle = [name for name in packages if not _ran(covered, name)]
    if idle:
        return failed(
            f"no line of {' and '.join(idle)} was run by any part of the tests",
            "give every part's data file, and see that [run] source of .coveragerc names what the tests import",
        )
    sums = {name: _sum_of(covered, name) for name in packages}
    low = [name for name, each in sums.items() if not each.reaches(floor)]
    told = ", ".join(f"{sums[name].percent} of {name}" for name in low or sums)
    if low:
        return failed(f"{told} covered, under the floor of {floor} % of lines and branches", "test more")
    return passed(f"{told} covered, and {floor} % of lines and branches are asked for")


def _ran(covered: Sequence[Covered], package: str) -> bool:
    return any(row.executed for row in covered if row.package == package)


def _sum_of(covered: Sequence[Covered], package: str) -> Sum:
    return sum((row.sum for row in covered if row.package == package), Sum())


def tell(
    held: Held, packages: Sequence[str], floors: CoverageSection, console: Console, environment: Mapping[str, str]
) -> None:
    """Give the tables on stdout, with the verdict in the step's summary, and mark the new lines that lack tests."""
    tables: list[Rows] = [render_packages(held.covered, packages, floors.floor)]
    tables += [render_change(held.changed)] if held.changed else []
    tables += [render_least_covered(held.covered)]
    tables = [table for table in tables if len(table) > 1]
    console.result("\n\n".join(map(as_text, tables)))
    reasons = [for_markdown(each.reason) for each in (held.whole, held.new) if each]
    reasons += [] if held.new else ["The lines that the change adds were not judged: no commit was named"]
    title = f"## Coverage: {'ok' if held.verdict.passed else 'FAIL'}\n\n" + "\n".join(f"- {each}" for each in reasons)
    append_summary(environment, "\n\n".join([title, *map(as_markdown, tables)]) + "\n")
    if held.new:
        _annotate(held.changed, held.new, console)


def _annotate(changed: Sequence[Changed], verdict: Verdict, console: Console) -> None:
    """Mark what GitHub can show; where the floor is broken, one of the errors is the verdict's own."""
    marks = [(file.name, run) for file in changed for run in file.uncovered]
    room = ANNOTATIONS if verdict.passed else ANNOTATIONS - 1
    for name, (first, last) in marks[:room]:
        what = f"line {first} is" if first == last else f"lines {first} to {last} are"
        console.annotate(
            "warning" if verdict.passed else "error",
            f"{what} new, and no test runs {'it' if first == last else 'them'}",
            path=name,
            line=first,
            end_line=last,
            title="new lines without a test",
        )
    if len(marks) > room:
        console.say(f"and {len(marks) - room} more places with new lines that no test runs: see the table")


def render_packages(covered: Sequence[Covered], packages: Sequence[str], floor: int) -> list[tuple[str, ...]]:
    """Give a row for each package, held against the floor alone, and one for all."""
    sums = [(name, _sum_of(covered, name)) for name in packages]
    good = {name for name, each in sums if _ran(covered, name) and each.reaches(floor)}
    rows = [(*_row(name, each), f"{floor} %", "ok" if name in good else "FAIL") for name, each in sums]
    total = (*_row("total", sum((each for _, each in sums), Sum())), "", "")
    return [("package", "lines", "branches", "covered", "floor", ""), *rows, total]


def render_least_covered(covered: Sequence[Covered]) -> list[tuple[str, ...]]:
    """Give the files that miss most for their size."""
    wanting = sorted((row for row in covered if not row.sum.reaches(100)), key=lambda row: (row.sum.share, row.name))
    return [
        ("least covered", "lines", "branches", "covered"),
        *(_row(row.name, row.sum) for row in wanting[:LEAST_COVERED]),
    ]


def _row(name: str, total: Sum) -> tuple[str, ...]:
    return plain(name), _of(total.lines), _of(total.branches), total.percent


def _of(pair: tuple[int, int]) -> str:
    return f"{pair[0]} of {pair[1]}"

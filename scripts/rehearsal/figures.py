"""The figures of drills that were played, what was expected and what was seen: for a screen, and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scripts.foreign import for_markdown
from scripts.report import Result

if TYPE_CHECKING:
    from scripts.rehearsal.play import Played

HEAD = ("drill", "targets", "stopped by", "exit", "serves", "result", "detected", "recovered", "users failed", "")


FEW = 5  # drills, of which classes say nothing more


def render_table(played: Sequence[Played]) -> str:
    """Give a line for each drill: what was expected, what was seen, and the figures."""
    rows = [HEAD, *(_row(row) for row in played)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    groups = ["", render_groups(played)] if len(played) > FEW else []
    return "\n".join([*lines, *groups, _good(played)])


def render_markdown(played: Sequence[Played]) -> str:
    """Give the same for the step summary, and for each drill that did not end as stated, in what."""
    rows = [HEAD, ("---",) * len(HEAD), *(tuple(map(for_markdown, _row(row))) for row in played)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    wrong = [f"- {for_markdown(row.drill.name)}: {for_markdown(line)}" for row in played for line in row.wrong]
    groups = ["### By what is at fault: median and worst", "", render_groups(played)] if len(played) > FEW else []
    return "\n".join([f"## {_good(played)}", "", *groups, *table, "", *wrong]).rstrip("\n") + "\n"


def _good(played: Sequence[Played]) -> str:
    return f"{sum(not row.wrong for row in played)} of {len(played)} drills ended as stated"


def _row(row: Played) -> tuple[str, ...]:
    want, seen = row.drill.expected, row.seen
    return (
        row.drill.name,
        "+".join(row.facts.targets),
        _pair(want.stage or "nothing", seen.stage or "nothing"),
        _pair(str(want.exit_code), str(seen.exit_code)),
        _pair(_words({name: want.serving_on(name) for name in row.facts.targets}), _words(seen.serving)),
        _pair(want.result, seen.result),
        _seconds(seen.detected_s),
        _seconds(seen.recovered_s),
        f"{seen.user_failures} of {seen.user_requests}",
        "FAIL" if row.wrong else "ok",
    )


def cells_of_drill(row: Played) -> list[tuple[str, str, str]]:
    """Give for each thing that a drill states what was stated and what was seen."""
    want, seen = row.drill.expected, row.seen
    stated = {name: want.serving_on(name) for name in row.facts.targets}
    floor = seen.platform_rollback_s
    within = "-" if want.recovered_s is None else f"within {want.recovered_s:g} s beyond the platform's own"
    back = _seconds(seen.recovered_s) + (f", of which the platform's own {floor:.1f} s" if floor else "")
    return [
        ("stopped by", want.stage or "nothing", seen.stage or "nothing"),
        ("exit code", str(want.exit_code), str(seen.exit_code)),
        ("serves at the end", _words(stated), _words(seen.serving)),
        ("result", want.result, seen.result),
        ("detected", "-" if want.detected_s is None else f"within {want.detected_s:g} s", _seconds(seen.detected_s)),
        ("recovered", within, back),
        ("user requests failed", f"at most {want.user_failures}", f"{seen.user_failures} of {seen.user_requests}"),
    ]


def _words(serving: Mapping[str, str]) -> str:
    words = set(serving.values())
    return words.pop() if len(words) == 1 else ", ".join(f"{name} {word}" for name, word in serving.items())


def _pair(want: str, seen: str) -> str:
    return seen if want == seen else f"{seen} (not {want})"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


GROUP_HEAD = ("at fault", "as stated", "detected", "recovered", "beyond the platform's own", "users failed, worst")


def render_groups(played: Sequence[Played]) -> str:
    """Give a row for each class of fault, median and worst, and what counts most: false greens and false rollbacks."""
    rows = (GROUP_HEAD, ("---",) * len(GROUP_HEAD), *rows_of_groups(played))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    greens, returns = count_false(played)
    return "\n".join([*lines, "", f"False greens: {greens}. False rollbacks: {returns}.", ""])


def rows_of_groups(played: Sequence[Played]) -> list[tuple[str, ...]]:
    """Give the cells of each class of fault, as `GROUP_HEAD` names them."""
    return [group.cells() for group in groups_of(played)]


def count_false(played: Sequence[Played]) -> tuple[int, int]:
    """Count the false greens and the false rollbacks."""
    return sum(map(is_false_green, played)), sum(map(is_false_rollback, played))


def is_false_green(row: Played) -> bool:
    """Whether a release passed that must not."""
    return row.drill.expected.exit_code != 0 and row.seen.exit_code == 0


def is_false_rollback(row: Played) -> bool:
    """Whether a release was taken back that must not."""
    kept = {Result.ROLLED_OUT, Result.SUPERSEDED}
    return row.drill.expected.result in kept and row.seen.result is Result.ROLLED_BACK


@dataclass(frozen=True)
class Group:
    """The figures of the drills of one class of fault; seconds are (median, worst), None where nothing was timed."""

    name: str
    drills: int
    as_stated: int
    detected_s: tuple[float, float] | None
    recovered_s: tuple[float, float] | None
    beyond_platform_s: tuple[float, float] | None
    most_failed: tuple[int, int, str]  # of how many, in which drill

    def cells(self) -> tuple[str, ...]:
        """Give them as people read them."""
        seconds = (self.detected_s, self.recovered_s, self.beyond_platform_s)
        told = ("-" if pair is None else f"{pair[0]:.1f} s, {pair[1]:.1f} s" for pair in seconds)
        failed, sent, drill = self.most_failed
        return (self.name, f"{self.as_stated} of {self.drills}", *told, f"{failed} of {sent} ({drill})")


def groups_of(played: Sequence[Played]) -> list[Group]:
    """Give the figures by class of fault, in the order of the book."""
    groups: dict[str, list[Played]] = {}
    for row in played:
        groups.setdefault(row.drill.group, []).append(row)
    return [_group(name, rows) for name, rows in groups.items()]


def _group(name: str, rows: Sequence[Played]) -> Group:
    back = [row.seen for row in rows if row.seen.recovered_s is not None]
    worst = max(rows, key=lambda row: row.seen.user_failures)
    return Group(
        name,
        len(rows),
        sum(not row.wrong for row in rows),
        _median_and_worst([row.seen.detected_s for row in rows]),
        _median_and_worst([seen.recovered_s for seen in back]),
        _median_and_worst([round((seen.recovered_s or 0) - (seen.platform_rollback_s or 0), 2) for seen in back]),
        (worst.seen.user_failures, worst.seen.user_requests, worst.drill.name),
    )


def _median_and_worst(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (round(statistics.median(known), 3), max(known)) if known else None


def as_json(played: Sequence[Played]) -> dict[str, object]:
    """Give what counts most for tools: how many were as stated, what is false, and the figures by class of fault."""
    greens, returns = count_false(played)
    return {
        "played": len(played),
        "as_stated": sum(not row.wrong for row in played),
        "false_greens": greens,
        "false_rollbacks": returns,
        "groups": [asdict(group) for group in groups_of(played)],
    }

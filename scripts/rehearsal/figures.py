"""The figures of drills that were played, what was expected and what was seen: for a screen, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scripts.foreign import for_markdown

if TYPE_CHECKING:
    from scripts.rehearsal.command import Played

HEAD = ("drill", "targets", "stopped by", "exit", "serves", "result", "detected", "recovered", "users failed", "")


def render_table(played: Sequence[Played]) -> str:
    """Give a line for each drill: what was expected, what was seen, and the figures."""
    rows = [HEAD, *(_row(row) for row in played)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, _good(played)])


def render_markdown(played: Sequence[Played]) -> str:
    """Give the same for the step summary, and for each drill that did not end as stated, in what."""
    rows = [HEAD, ("---",) * len(HEAD), *(tuple(map(for_markdown, _row(row))) for row in played)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    wrong = [f"- {for_markdown(row.drill.name)}: {for_markdown(line)}" for row in played for line in row.wrong]
    return "\n".join([f"## {_good(played)}", "", *table, "", *wrong]).rstrip("\n") + "\n"


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


def _words(serving: Mapping[str, str]) -> str:
    words = set(serving.values())
    return words.pop() if len(words) == 1 else ", ".join(f"{name} {word}" for name, word in serving.items())


def _pair(want: str, seen: str) -> str:
    return seen if want == seen else f"{seen} (not {want})"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"

"""Rows of a gate's result as text and as Markdown, and the step summary that they go to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.foreign import for_markdown

Rows = Sequence[Sequence[str]]


def as_text(rows: Rows) -> str:
    """Give aligned columns; the first row is the head."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def as_markdown(rows: Rows) -> str:
    """Give a Markdown table; the first row is the head."""
    head, *rest = ["| " + " | ".join(map(for_markdown, row)) + " |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def append_summary(environment: Mapping[str, str], text: str) -> None:
    """Add Markdown to the summary of the workflow's step; without a runner there is nobody to read it."""
    if file := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(f"{text}\n")

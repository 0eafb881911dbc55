"""Findings as text: lines for a person, Markdown for the run's summary. What they say may come from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scripts.doctoring.finding import Finding, count
from scripts.foreign import plain
from scripts.redaction import Redactor

AREA_WIDTH = 6
INDENT = " " * 13
# All that Markdown, GitHub's references and mathematics, or HTML would read as more than text.
MARKS = frozenset("\\|`*_[]<>@#~!&:$^{}")


def tidy(finding: Finding, redact: Redactor) -> Finding:
    """Give a finding without secrets and of bounded length; in a text that is cut or escaped none would be found."""
    name, says, why, mend = (plain(redact(part)) for part in (finding.name, finding.says, finding.why, finding.mend))
    return Finding(finding.area, name, finding.level, says, why, mend)


def render_lines(findings: Iterable[Finding]) -> str:
    """Give a line for each finding, and two more for each that is not well."""
    return "\n".join(line for finding in findings for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    first = f"{finding.level:<4} {finding.area:<{AREA_WIDTH}}  {finding.name} {finding.says}"
    return [first, *(INDENT + line for line in (finding.why, finding.mend and f"mend: {finding.mend}") if line)]


def render_heading(targets: Sequence[str], environment: str) -> str:
    """Say what is looked at, and with the secrets of which environment."""
    where = f", in the environment {environment}" if environment else ""
    return f"doctor: {', '.join(targets)}{where}"


def render_markdown(findings: Sequence[Finding], heading: str) -> str:
    """Give a heading and a table, what is worst first."""
    rows = sorted(findings, key=lambda finding: ["fail", "warn", "ok"].index(finding.level))
    lines = [f"## {_cell(heading)}: {count(findings)}", "", "| | where | what | why, and how to mend it |"]
    lines += ["|---|---|---|---|", *(_row(finding) for finding in rows)]
    return "\n".join(lines) + "\n"


def _row(finding: Finding) -> str:
    what = f"{finding.name} {finding.says}"
    why = " ".join(filter(None, (finding.why, finding.mend and f"Mend: {finding.mend}")))
    return f"| **{finding.level}** | {finding.area} | {_cell(what)} | {_cell(why)} |"


def _cell(text: str) -> str:
    """Keep a text inside its table cell, and from being read as anything but text."""
    return " ".join("".join(f"\\{mark}" if mark in MARKS else mark for mark in text).split())

"""What linters found, as one value for all of them: where, what, and who said it. The same trouble is told once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from scripts.foreign import plain
from scripts.gates.tables import as_markdown

LONGEST = 2000  # characters of a line
IN_SUMMARY = 100  # findings; GitHub drops a summary of more than a mebibyte whole

# What two linters call by different names.
ALIKE = {
    **dict.fromkeys(("invalid-syntax", "syntax"), "not Python"),
    **dict.fromkeys(("F821", "name-defined"), "an undefined name"),
    **dict.fromkeys(("F811", "no-redef"), "defined twice"),
    **dict.fromkeys(("schema", "parse", "syntax-check", "events", "permissions"), "not a workflow"),
}
INJECTION = "template-injection"
UNTRUSTED = "potentially untrusted"  # actionlint's words for an injection; its rule names every wrong expression


@dataclass(frozen=True, order=True)
class Finding:
    """One trouble at one place; lines and columns count from 1, and 0 is a column that is not known."""

    path: str
    line: int
    column: int
    rule: str
    message: str
    tool: str

    @property
    def text(self) -> str:
        """The finding as a line."""
        return plain(f"{self.place}: {self.message} [{self.rule}] ({self.tool})", LONGEST)

    @property
    def place(self) -> str:
        """Where it is, as editors and terminals take it."""
        return f"{self.path}:{self.line}:{self.column}" if self.column else f"{self.path}:{self.line}"


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Give each trouble once, in the order of the files: what several linters found on a line names them all.

    Where one of them found more of a kind on a line than the other, all of them stay.
    """
    alike: dict[tuple[str, int, str], dict[str, list[Finding]]] = {}
    for finding in dict.fromkeys(findings):
        by_tool = alike.setdefault((finding.path, finding.line, _trouble(finding)), {})
        by_tool.setdefault(finding.tool, []).append(finding)
    rows = (row for by_tool in alike.values() for row in zip_longest(*by_tool.values()))
    return sorted(_joined([finding for finding in row if finding]) for row in rows)


def _trouble(finding: Finding) -> str:
    if finding.rule == INJECTION or UNTRUSTED in finding.message:
        return INJECTION
    return ALIKE.get(finding.rule) or finding.message.casefold()


def _joined(alike: Sequence[Finding]) -> Finding:
    rules = ", ".join(dict.fromkeys(finding.rule for finding in alike))
    return replace(alike[0], rule=rules, tool=", ".join(finding.tool for finding in alike))


def render_findings(findings: Sequence[Finding]) -> str:
    """Give a Markdown table of the first findings, and say how many more there are."""
    rows = [(found.place, found.message, found.rule, found.tool) for found in findings[:IN_SUMMARY]]
    more = len(findings) - len(rows)
    table = as_markdown([("where", "what", "rule", "linter"), *rows])
    return f"{table}\n\nand {more} more, in the log" if more else table

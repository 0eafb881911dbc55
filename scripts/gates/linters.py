"""Every linter: its command, the exit codes that go with findings, and what it writes for machines read as findings.

A reader raises ValueError where the text is not what the linter writes: then nothing is known, and that is no pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AliasPath, BaseModel, Field, TypeAdapter

from scripts.gates.findings import Finding
from scripts.gates.places import compose, find_yaml_line, read_json_path

Reader = Callable[[str, Path, str], Iterable[Finding]]

WORKFLOWS = (".github/workflows/*.yml", ".github/workflows/*.yaml")
ACTIONS = (".github/actions/*/action.yml", ".github/actions/*/action.yaml")
DEPENDABOT = (".github/dependabot.yml", ".github/dependabot.yaml")
SCHEMA = ("check-jsonschema", "--output-format", "json", "--builtin-schema")
FROM_SHELLCHECK = re.compile(r"shellcheck reported issue in this script: (SC\d+):\w+:\d+:\d+: (.+)", re.DOTALL)


@dataclass(frozen=True)
class Tool:
    """A linter of its own process.

    `files` are globs of what it is given: without such a file nothing is looked at, which fails unless it is
    `optional`. `found` are the exit codes that go with findings, `beside` programs that it would silently do without,
    and `idle` are its words for having seen nothing.
    """

    name: str
    command: Sequence[str]
    read: Reader
    files: Sequence[str] = ()
    found: frozenset[int] = frozenset({1})
    optional: bool = False
    beside: Sequence[str] = ()
    idle: str = ""


class _Ruff(BaseModel):
    code: str | None
    filename: str
    message: str
    line: Annotated[int, Field(validation_alias=AliasPath("location", "row"))]
    column: Annotated[int, Field(validation_alias=AliasPath("location", "column"))]


class _Mypy(BaseModel):
    file: str
    line: int
    column: int
    message: str
    hint: str | None
    code: str | None
    severity: str


class _Actionlint(BaseModel):
    filepath: str
    line: int
    column: int
    kind: str
    message: str


class _ZizmorPlace(BaseModel):
    kind: Annotated[str, Field(validation_alias=AliasPath("symbolic", "kind"))]
    path: Annotated[str, Field(validation_alias=AliasPath("symbolic", "key", "Local", "verbatim_path"))]
    annotation: Annotated[str, Field(validation_alias=AliasPath("symbolic", "annotation"))]
    row: Annotated[int, Field(validation_alias=AliasPath("concrete", "location", "start_point", "row"))]
    column: Annotated[int, Field(validation_alias=AliasPath("concrete", "location", "start_point", "column"))]


class _Zizmor(BaseModel):
    ident: str
    desc: str
    ignored: bool
    locations: Annotated[list[_ZizmorPlace], Field(min_length=1)]


class _Miss(BaseModel):
    path: str = "$"
    message: str


class _SchemaError(_Miss):
    filename: str
    best_match: _Miss | None = None


class _SchemaReport(BaseModel):
    errors: list[_SchemaError]
    parse_errors: list[_SchemaError] = []


def read_ruff(text: str, root: Path, tool: str) -> list[Finding]:
    """Read the findings of `ruff check`."""
    return [
        Finding(_below(root, row.filename), row.line, row.column, row.code or "", row.message, tool)
        for row in TypeAdapter(list[_Ruff]).validate_json(text)
    ]


def read_format(text: str, root: Path, tool: str) -> list[Finding]:
    """Read the files that `ruff format` would change, each with the command that does it."""
    return [
        Finding(found.path, found.line, found.column, found.rule, f"not formatted: ruff format {found.path}", tool)
        if found.rule == "unformatted"
        else found
        for found in read_ruff(text, root, tool)
    ]


def read_mypy(text: str, root: Path, tool: str) -> list[Finding]:
    """Read mypy's errors, a line each; what a note says of one stands in its hint, and is no finding by itself."""
    rows = [_Mypy.model_validate_json(line) for line in text.split("\n") if line.strip()]
    return [
        Finding(_below(root, row.file), max(row.line, 1), row.column + 1, row.code or "", _with_hint(row), tool)
        for row in rows
        if row.severity == "error"
    ]


def _with_hint(row: _Mypy) -> str:
    return f"{row.message} ({row.hint})" if row.hint else row.message


def read_actionlint(text: str, root: Path, tool: str) -> list[Finding]:
    """Read actionlint's findings, and shellcheck's among them under their own names."""
    return [
        Finding(_below(root, row.filepath), max(row.line, 1), row.column, *_ruled(row), tool)
        for row in TypeAdapter(list[_Actionlint]).validate_json(text)
    ]


def _ruled(row: _Actionlint) -> tuple[str, str]:
    match = FROM_SHELLCHECK.fullmatch(row.message)
    return (match[1], match[2]) if match else (row.kind, row.message)


def read_zizmor(text: str, root: Path, tool: str) -> list[Finding]:
    """Read zizmor's findings, each at its primary place."""
    rows = [row for row in TypeAdapter(list[_Zizmor]).validate_json(text) if not row.ignored]
    places = [next((place for place in row.locations if place.kind == "Primary"), row.locations[0]) for row in rows]
    return [
        Finding(
            _below(root, place.path),
            place.row + 1,
            place.column + 1,
            row.ident,
            f"{row.desc}: {place.annotation}",
            tool,
        )
        for row, place in zip(rows, places, strict=True)
    ]


def read_schema(text: str, root: Path, tool: str) -> list[Finding]:
    """Read what check-jsonschema says of keys, and find their lines."""
    report = _SchemaReport.model_validate_json(text)
    nodes = {row.filename: _compose(root / row.filename) for row in report.errors}
    misses = [(row.filename, row.best_match or row) for row in report.errors]
    found = [
        Finding(
            _below(root, name), find_yaml_line(nodes[name], read_json_path(miss.path)), 0, "schema", _said(miss), tool
        )
        for name, miss in misses
    ]
    return found + [
        Finding(_below(root, row.filename), 1, 0, "parse", row.message, tool) for row in report.parse_errors
    ]


def _said(miss: _Miss) -> str:
    return f"{miss.path}: {miss.message}"


def _compose(path: Path) -> yaml.Node | None:
    try:
        return compose(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _below(root: Path, path: str) -> str:
    """Give a path as it is below the root, since an annotation has no other."""
    for folder in (root, root.resolve()):
        if Path(path).is_absolute() and Path(path).is_relative_to(folder):
            return Path(path).relative_to(folder).as_posix()
    return path


schema = partial(Tool, read=read_schema)

# In the order in which they are started, the longest first; of two that find the same, the first one's words are told.
TOOLS = (
    Tool("mypy", ("mypy", "--output", "json"), read_mypy, found=frozenset({1, 2})),  # 2: not Python
    Tool("actionlint", ("actionlint", "-format", "{{json .}}"), read_actionlint, beside=("shellcheck",)),
    schema("workflow schema", (*SCHEMA, "vendor.github-workflows"), files=WORKFLOWS),
    schema("action schema", (*SCHEMA, "vendor.github-actions"), files=ACTIONS, optional=True),
    schema("dependabot schema", (*SCHEMA, "vendor.dependabot"), files=DEPENDABOT, optional=True),
    Tool(
        "zizmor",
        # Without --strict-collection a workflow that it cannot read is left out with a warning, and the rest passes.
        ("zizmor", "--offline", "--quiet", "--strict-collection", "--persona=auditor", "--format=json-v1"),
        read_zizmor,
        files=(*WORKFLOWS, *ACTIONS, *DEPENDABOT),
        found=frozenset(range(10, 15)),
    ),
    Tool("ruff check", ("ruff", "check", "--output-format=json"), read_ruff, idle="No Python files found"),
    Tool(
        "ruff format",
        ("ruff", "format", "--check", "--output-format=json"),
        read_format,
        found=frozenset({1, 2}),  # 2: not Python
        idle="No Python files found",
    ),
)

"""Which line of a YAML, JSON or TOML file a key stands on, as near as the file lets one see."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import yaml

Keys = tuple[str | int, ...]

STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]*)['\"]\]")
TOML_HEAD = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]\]?\s*(?:#.*)?")
TOML_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def read_json_path(text: str) -> Keys:
    """Give the steps of a path such as `$.jobs.unit.steps[0]`."""
    return tuple(int(step[2]) if step[2] else step[1] or step[3] for step in STEP.finditer(text))


def compose(text: str) -> yaml.Node | None:
    """Give a YAML or JSON text with the places of its parts; nothing where it cannot be read."""
    try:
        node: yaml.Node | None = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)  # JSON may have tabs
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return node


def find_yaml_line(node: yaml.Node | None, keys: Keys) -> int:
    """Give the line of the deepest of nested keys that is there; 1 where the text could not be read."""
    line = node.start_mark.line if node else 0
    for key in keys:
        if (found := _enter(node, key)) is None:
            break
        line, node = found
    return line + 1


def _enter(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((name.start_mark.line, value) for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line, node.value[key]
    return None


def find_toml_line(lines: Mapping[Keys, int], keys: Keys) -> int:
    """Give the line of a section's key, else of its head, else 1."""
    return next((lines[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in lines), 1)


def read_toml_lines(text: str) -> dict[Keys, int]:
    """Give the line of each head and key; an item of an array of tables is named by its number.

    Strings of several lines are not understood: what looks like a key in one may be taken for it.
    """
    return dict(reversed([*_toml_lines(text)]))  # the first of several


def _toml_lines(text: str) -> Iterator[tuple[Keys, int]]:
    section: Keys = ()
    counted: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if head := TOML_HEAD.fullmatch(line):
            name = head[1]
            section = (name, counted[name]) if line.lstrip().startswith("[[") else (name,)
            counted[name] += 1
            yield section, number
        elif key := TOML_KEY.match(line):
            yield (*section, key[1]), number

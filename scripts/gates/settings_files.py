"""Whether render.yaml, vercel.json and slipway.toml say what the pipeline relies on; all else in them is their own.

What is asked of the first two is in `schemas/`, and of the third in `scripts.config`. Every finding says which key,
what is expected, why it matters and what to do.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from scripts.config import PLACEHOLDER, TARGETS, parse
from scripts.errors import ConfigError
from scripts.foreign import plain
from scripts.gates.findings import Finding
from scripts.gates.places import Keys, compose, find_toml_line, find_yaml_line, read_toml_lines

SCHEMAS = Path(__file__).parent / "schemas"
RENDER, VERCEL, SLIPWAY = "render.yaml", "vercel.json", "slipway.toml"
TOOL = "settings"
STAND_IN = "placeholder"  # what a value may be that is filled in later
SHOWN = 40  # characters
TOML_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True)
class SettingsFile:
    """A file, what judges its text, and what tells from the root why it is not needed; empty where it is."""

    name: str
    judge: Callable[[str], list[Finding]]
    missing: str
    unneeded: Callable[[Path], str] = lambda _root: ""


def judge_file(file: SettingsFile, root: Path) -> list[Finding]:
    """Judge one of the files below a root; one that is missing, or that nobody can make sense of, is a finding."""
    try:
        return file.judge((root / file.name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [_whole(file.name, f"missing: {file.missing}; next: take the template's", rule="missing")]
    except (OSError, ValueError, RecursionError) as error:  # of YAML also the date 2026-13-01
        return [_whole(file.name, f"cannot be read: {plain(str(error), 200)}; next: mend it", rule="parse")]


def judge_render(text: str) -> list[Finding]:
    """Judge a render.yaml: that it has a web service, and the first one, which is the one that is rehearsed."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        return [_whole(RENDER, f"not YAML: {plain(str(error), 200)}; next: mend it", line, "parse")]
    schema = _read_schema(RENDER)
    misses = dict(_misses(content, schema))
    if not misses:
        place = next(place for place, service in enumerate(content["services"]) if _is_web(service))
        misses = dict(_misses(content["services"][place], schema["$defs"]["service"], ("services", place)))
    return _told(RENDER, text, misses)


def _is_web(service: object) -> bool:
    return isinstance(service, Mapping) and service.get("type") == "web"


def judge_vercel(text: str) -> list[Finding]:
    """Judge a vercel.json."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return [_whole(VERCEL, f"not JSON: {plain(str(error), 200)}; next: mend it", error.lineno, "parse")]
    return _told(VERCEL, text, dict(_misses(content, _read_schema(VERCEL))))


def judge_slipway(text: str) -> list[Finding]:
    """Judge a slipway.toml as the pipeline reads it; a placeholder of the template is still to be filled in."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = TOML_LINE.search(str(error))
        line = int(match[1]) if match else 1
        return [_whole(SLIPWAY, f"not TOML: {plain(str(error), 200)}; next: mend it", line, "parse")]
    try:
        parse(_filled_in(table), SLIPWAY)
    except ConfigError as error:
        return list(_faults(error, text))
    return []


def _faults(error: ConfigError, text: str) -> Iterator[Finding]:
    """Give a finding for each fault; `scripts.config` has a line for each, in the order of its cause's."""
    words = error.what.split(f"\n{SLIPWAY}: ")
    faults = error.__cause__.errors(include_url=False) if isinstance(error.__cause__, ValidationError) else []
    keys, lines = [fault["loc"] for fault in faults], read_toml_lines(text)
    for place, said in enumerate(words):
        line = find_toml_line(lines, keys[place]) if len(keys) == len(words) else 1
        message = plain(said.removeprefix(f"{SLIPWAY}: "))
        yield Finding(SLIPWAY, line, 0, "schema", f"{message}; no release can begin; next: mend this key", TOOL)


def _filled_in(table: Mapping[str, object]) -> Mapping[str, object]:
    """Put something into the placeholders of what is released to: the template is to be sound as it is."""
    release = table.get("release")
    targets = release.get("targets", ["render"]) if isinstance(release, Mapping) else ["render"]
    wanted = {name for name in TARGETS if isinstance(targets, list) and name in targets}
    return {name: _replaced(value) if name in wanted else value for name, value in table.items()}


def _replaced(section: object) -> object:
    if not isinstance(section, Mapping):
        return section
    return {
        key: value.replace(PLACEHOLDER, STAND_IN) if isinstance(value, str) else value for key, value in section.items()
    }


def _no_vercel(root: Path) -> str:
    """Say that nothing is released to Vercel, where there is no vercel.json and slipway.toml has no such section."""
    if (root / VERCEL).exists():
        return ""
    try:
        table = tomllib.loads((root / SLIPWAY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    named = "vercel" in table or "vercel" in str(table.get("release"))
    return "" if named else f"there is none, and {SLIPWAY} releases nothing to Vercel"


def _read_schema(name: str) -> dict[str, dict[str, dict[str, object]]]:
    schema: dict[str, dict[str, dict[str, object]]] = json.loads(
        (SCHEMAS / name).with_suffix(".json").read_text(encoding="utf-8")
    )
    return schema


def _misses(value: object, schema: Mapping[str, object], where: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Give each key that is not as asked for, with the words about it."""
    for miss in Draft202012Validator(schema).iter_errors(value):
        path = (*where, *miss.absolute_path)
        if miss.validator != "required":
            yield path, f"{_shown(miss.instance)}, expected {_words(miss.schema)}"
            continue
        for name in miss.validator_value:
            if name not in miss.instance:
                yield (*path, name), f"missing, expected {_words(miss.schema['properties'][name])}"


def _words(schema: Mapping[str, object]) -> str:
    return f"{schema['expected']}: {schema['why']}; next: {schema['next']}"


def _shown(value: object) -> str:
    """Give a value that is short and cannot hold a credential, else its kind."""
    if isinstance(value, Mapping | list):
        return "a list" if isinstance(value, list) else "a mapping"
    told = json.dumps(value, default=str)
    return "another value" if len(told) > SHOWN or "//" in told or "@" in told else told


def _told(name: str, text: str, misses: Mapping[Keys, str]) -> list[Finding]:
    node = compose(text)
    return [
        Finding(name, find_yaml_line(node, keys), 0, "schema", f"{_joined(keys)}: {said}", TOOL)
        for keys, said in misses.items()
    ]


def _joined(keys: Keys) -> str:
    steps = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return plain(steps.lstrip("."), 100) or "the file"


def _whole(name: str, message: str, line: int = 1, rule: str = "schema") -> Finding:
    return Finding(name, line, 0, rule, message, TOOL)


SETTINGS_FILES = (
    SettingsFile(RENDER, judge_render, "the rehearsal and the load gate start the service that it describes"),
    SettingsFile(VERCEL, judge_vercel, f"{SLIPWAY} releases to Vercel, and a push would be deployed", _no_vercel),
    SettingsFile(SLIPWAY, judge_slipway, "no stage knows without it where a release goes"),
)

"""What the repository's own files say of a platform: render.yaml by a search of lines, vercel.json as JSON.

The release path has no YAML library, so render.yaml is not understood here: only lines of the wanted key are found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VALUE = r"""["']?([^\s"'#]+)["']?\s*(?:#.*)?"""


@dataclass(frozen=True)
class Blueprint:
    """What render.yaml says by a search of its lines; empty where it says nothing, or several things."""

    region: str = ""
    health_path: str = ""


def read_blueprint(folder: Path) -> Blueprint:
    """Read render.yaml."""
    lines = _read(folder / "render.yaml").splitlines()
    return Blueprint(find_value(lines, "region"), find_value(lines, "healthCheckPath"))


def find_value(lines: list[str], key: str) -> str:
    """Give the one value that lines of a YAML file give a key; empty where there is none, or more than one."""
    matches = (re.fullmatch(rf"\s*(?:-\s+)?{key}:\s+{VALUE}", line) for line in lines)
    values = {match[1] for match in matches if match}
    return values.pop() if len(values) == 1 else ""


def read_vercel_json(folder: Path) -> Mapping[str, object]:
    """Read vercel.json; empty where it is missing or no JSON object."""
    try:
        found = json.loads(_read(folder / "vercel.json"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""

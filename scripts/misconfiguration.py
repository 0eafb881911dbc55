"""What is wrong in slipway.toml, in a line: where, the value as it may be printed, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from scripts.redaction import SHOWN


def explain(name: str, fault: Mapping[str, object], known_keys: Callable[[list[str | int]], list[str]]) -> str:
    """Give one line for a fault that pydantic found; `known_keys` gives the keys that a place in the file may have."""
    where = _parts(fault["loc"])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".") or "the file"
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), known_keys(where[:-1]), 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(known_keys(where[:-1]))}"
        return f"{name}: {key}: unknown key{hint}"
    if fault["type"] == "missing":
        return f"{name}: {key}: missing, and it has no default"
    value = fault["input"]
    shown = "" if isinstance(value, Mapping | list | tuple) else f" = {_shown(value)!r}"
    return f"{name}: {key}{shown}: {_lowered(str(fault['msg']))}"


def _shown(value: object) -> object:
    """Give a value as it may be printed: only scheme and host of a URL that may hold a credential."""
    if not isinstance(value, str) or not re.search(r"//.*[@?]", value, re.DOTALL):
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return SHOWN
    return f"{parts.scheme}://{parts.hostname}/{SHOWN}" if parts.hostname else SHOWN


def _parts(where: object) -> list[str | int]:
    return [part for part in where if isinstance(part, str | int)] if isinstance(where, tuple) else []


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]

"""Secrets: taken from the environment, in a type that prints as redacted, and the filter that every output passes.

The deploy hook's key is part of a URL, so the key is a secret of its own beside the URL that holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from scripts.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SHOWN = "[redacted]"
SHORTEST = 4  # characters; replacing shorter values would shred ordinary text


class Secret:
    """A value that never prints: `reveal()` is the one way to it, and easy to search for."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Give the value to the one place that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({SHOWN})"

    def __str__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return SHOWN

    def __reduce__(self) -> str:
        raise TypeError("a secret is never pickled or copied into a file")


def read_secrets(
    environment: Mapping[str, str], required: Mapping[str, str], optional: Mapping[str, str]
) -> dict[str, Secret]:
    """Take secrets from the environment; the mappings give for each name what it is and where it comes from.

    Raises:
        ConfigError: a required one is missing or blank, each named in one message.
    """
    missing = [f"{name} is not set: {what}" for name, what in required.items() if not environment.get(name, "").strip()]
    if missing:
        raise ConfigError(
            "\n".join(missing),
            means="Nothing was started.",
            next_step="set it as a secret of the GitHub environment, or export it in this shell",
        )
    names = [*required, *optional]
    return {name: Secret(environment[name].strip()) for name in names if environment.get(name, "").strip()}


class Redactor:
    """Replace every known secret in a text, as it is and as it stands in a URL."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        values = {form for secret in secrets for form in _forms(secret.reveal()) if len(form) >= SHORTEST}
        self._values = sorted(values, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Give the text without the secrets."""
        for value in self._values:
            text = text.replace(value, SHOWN)
        return text


def redact_values(value: object, redact: Callable[[str], str]) -> object:
    """Give the value with every text inside it redacted; the names in a dict stay as they are."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: redact_values(part, redact) for name, part in value.items()}
        case list() | tuple():
            return [redact_values(part, redact) for part in value]
        case set() | frozenset():
            return {redact_values(part, redact) for part in value}
        case _:
            return value


def keys_in_url(url: str) -> list[str]:
    """Give the values of a URL's query that are credentials: for a deploy hook, its `key`."""
    return parse_qs(_query(url)).get("key", [])


def _query(url: str) -> str:
    """Give the query of any text; `urlsplit` would refuse some of what the environment may hold."""
    return url.partition("#")[0].partition("?")[2]


def _forms(value: str) -> set[str]:
    as_written = {part.removeprefix("key=") for part in _query(value).split("&") if part.startswith("key=")}
    plain = {value, *keys_in_url(value), *as_written}
    return plain | {quote(form, safe="", errors="replace") for form in plain}

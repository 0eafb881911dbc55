"""Values that an OpenAPI document allows, as a strategy: what a platform may say, if it keeps to its own document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

DEEPEST = 8  # references and lists; below, lists are empty and what is optional is left out
TEXTS: Mapping[str, st.SearchStrategy[str]] = {
    "date-time": st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='seconds')}Z"),
    "": st.text(max_size=12),
}


def values_of(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Give a strategy for the values of a schema of a document; it knows the keywords that say what shape it is."""
    if reference := schema.get("$ref"):
        return values_of(find(document, reference), document, depth + 1)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for name in ("oneOf", "anyOf"):
        if name in schema:
            return st.one_of([values_of(each, document, depth + 1) for each in schema[name]])
    if "allOf" in schema:
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        parts = [
            values_of(each, document, depth + 1) for each in [*schema["allOf"], rest] if each.keys() - {"description"}
        ]
        return parts[0] if len(parts) == 1 else st.tuples(*parts).map(merge)
    strategy = _of_type(schema, document, depth)
    return st.none() | strategy if schema.get("nullable") else strategy


def find(document: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """Give what a reference inside the document stands for."""
    place: Any = document
    for part in reference.removeprefix("#/").split("/"):
        place = place[part]
    found: Mapping[str, Any] = place
    return found


def merge(parts: tuple[Any, ...]) -> Any:
    """Put objects together; anything else is what the first of them is."""
    if not all(isinstance(part, dict) for part in parts):
        return parts[0]
    return {name: value for part in parts for name, value in part.items()}


def _of_type(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    match schema.get("type", "object" if "properties" in schema else ""):
        case "object":
            return _of_object(schema, document, depth)
        case "array":
            most = 0 if depth >= DEEPEST else 3
            return st.lists(values_of(schema.get("items", {}), document, depth + 1), max_size=most)
        case "string":
            return TEXTS.get(schema.get("format", ""), TEXTS[""])
        case "integer":
            return st.integers(schema.get("minimum", -5), schema.get("maximum", 500))
        case "number":
            return st.floats(schema.get("minimum", -5), schema.get("maximum", 500))
        case "boolean":
            return st.booleans()
        case _:
            return st.none() | st.booleans() | st.text(max_size=5)


def _of_object(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    required = set(schema.get("required", ()))
    known = {name: values_of(each, document, depth + 1) for name, each in schema.get("properties", {}).items()}
    always = {name: strategy for name, strategy in known.items() if name in required}
    optional = {} if depth >= DEEPEST else {name: each for name, each in known.items() if name not in required}
    return st.fixed_dictionaries(always, optional=optional)

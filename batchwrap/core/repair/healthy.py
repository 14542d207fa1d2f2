"""Checks whether arguments need no repair. Nearly none do, so parsers in C decide it first."""

from __future__ import annotations

import json
from typing import Any

import orjson

from batchwrap.core.tools.lenient import DEEPEST, typed_text
from batchwrap.core.tools.schema import resolved, types_of


def is_healthy(text: str, parameters: object) -> bool:
    """Whether a text is the JSON of one object that `lenient` would not change.

    Args:
        text: the arguments of a tool call.
        parameters: the tool's JSON schema, which says where a list or a number is expected.
    """
    try:
        value = orjson.loads(text)
        _UNIQUE.decode(text)  # orjson silently keeps the last of two equal keys
    except (ValueError, RecursionError):
        return False
    schema = parameters if isinstance(parameters, dict) else {}
    return isinstance(value, dict) and _fits(value, schema, schema, 0)


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")


_UNIQUE = json.JSONDecoder(object_pairs_hook=_once)


def _fits(value: object, schema: dict[str, Any], root: dict[str, Any], depth: int) -> bool:
    """Whether no string holds the number or the list that the schema asks for."""
    if not schema:
        return True
    if isinstance(value, str):
        types = types_of(schema)
        return not types or typed_text(value, types) is None
    if depth > DEEPEST:
        return False
    if isinstance(value, list):
        items = resolved(schema.get("items"), root)
        return not items or all(_fits(item, items, root, depth + 1) for item in value)
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return True
    known = ((name, inner) for name, inner in value.items() if name in properties)
    return all(
        _fits(inner, resolved(properties[name], root), root, depth + 1) for name, inner in known
    )

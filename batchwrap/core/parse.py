"""JSON as providers write it: what orjson refuses although the format allows it is read, too."""

from __future__ import annotations

import json
from typing import Any

import orjson


def parsed(text: str | bytes) -> Any:
    """What a JSON text says; half a surrogate, and NaN, which orjson refuses, included.

    Raises:
        ValueError: it is no JSON, or deeper than anybody reads.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("too deep") from None


def rendered(value: object) -> bytes:
    """The JSON of a value that `parsed` has read."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate
        return json.dumps(value).encode()


def is_object(text: str) -> bool:
    """Whether a text is the JSON of exactly one object, as every provider reads it."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        pass
    try:
        return isinstance(json.loads(text, parse_constant=_refused), dict)
    except (ValueError, RecursionError):
        return False


def _refused(name: str) -> None:
    raise ValueError(name)

"""JSON as providers write it: what orjson refuses although the format allows it is read, too."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_DECODER = json.JSONDecoder()
_END_MARK = "[DONE]"
_GLUE = re.compile(r"[\s,]*(?:data:[\s,]*)*")


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


def glued(data: bytes) -> list[bytes]:
    """The JSON objects that stand one behind the other in a payload, each as it came.

    Gateways lose the line breaks between events, or write their field name twice. Empty if
    anything else stands there, or half an object.
    """
    parts: list[bytes] = []
    try:
        text = data.decode()
        at = _past_glue(text, 0)
        while at < len(text):
            end = _part_end(text, at)
            parts.append(text[at:end].encode())
            at = _past_glue(text, end)
    except (ValueError, RecursionError):
        return []
    return parts


def _part_end(text: str, at: int) -> int:
    """Where the object or the end mark ends that begins at a place."""
    if text.startswith(_END_MARK, at):
        return at + len(_END_MARK)
    if text[at] != "{":
        raise ValueError("something else")
    return _DECODER.raw_decode(text, at)[1]


def _past_glue(text: str, at: int) -> int:
    glue = _GLUE.match(text, at)
    assert glue is not None
    return glue.end()


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

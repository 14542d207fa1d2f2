"""Reads JSON exactly: orjson is used first, and Python's parser for what orjson refuses or rounds.

orjson refuses half surrogates and NaN, which providers and agents write, and reads integers beyond
64 bits as rounded floats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

_DECODER = json.JSONDecoder()
_END_MARK = "[DONE]"
_GLUE = re.compile(r"[\s,]*(?:data:[\s,]*)*")
# From this number on, orjson reads integers as floats, which are rounded.
_FIRST_ROUNDED = 2.0**63
# The shortest of these integers has this many digits.
_MANY_DIGITS = b"0" * 19
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# In a text below this size it is cheaper to search the bytes for many digits (0.7 ns for each byte)
# than to walk over the values (1 us for each message). In a longer text the messages are long, and
# the walk skips their strings.
_SHORT = 131_072


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text, which may contain half surrogates and NaN.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, parse_constant=_Constant)
        except RecursionError:
            raise ValueError("too deep") from None


def glued(data: bytes) -> list[bytes]:
    """The JSON objects that follow each other in a payload, each as its own bytes.

    Some gateways lose the line breaks between events, or write the field name twice. The result is
    empty if the payload contains anything else, or an incomplete object.
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
    """The end of the object, or of the end mark, that begins at a place."""
    if text.startswith(_END_MARK, at):
        return at + len(_END_MARK)
    if text[at] != "{":
        raise ValueError("something else")
    return _DECODER.raw_decode(text, at)[1]


def _past_glue(text: str, at: int) -> int:
    glue = _GLUE.match(text, at)
    assert glue is not None
    return glue.end()


def parsed_exactly(text: str | bytes, *, strict: bool = False) -> Any:
    """The value of a JSON text, with integers of any length.

    Args:
        text: the JSON.
        strict: refuse what orjson refuses.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    return exactly(text, orjson.loads(text) if strict else parsed(text))


def exactly(text: str | bytes, value: Any) -> Any:
    """The exact value of a JSON text, given the value that orjson has read.

    Raises:
        ValueError: it is nested too deeply.
    """
    if _is_exact(text, value):
        return value
    try:
        return json.loads(text, parse_constant=_Constant)
    except RecursionError:
        raise ValueError("too deep") from None


def parsed_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object in some bytes, read exactly; None if they are anything else."""
    try:
        value = parsed_exactly(content, strict=True)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def rendered(value: object) -> bytes:
    """The JSON of a value that was parsed here. Whatever can be read can be written."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate, NaN, an integer beyond 64 bits, nesting beyond 254
        try:
            return json.dumps(value).encode()
        except RecursionError:  # orjson reads 1,024 levels, more than Python's stack may have left
            return "".join(_written(value)).encode()


class _Mark(str):
    """A piece of JSON between values."""

    __slots__ = ()


def _written(value: object) -> Iterator[str]:
    """The JSON of a value in pieces, without recursion."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is _Mark:
            yield one
        elif isinstance(one, dict):
            yield "{"
            parts = [(f"{json.dumps(name)}: ", item) for name, item in one.items()]
            waiting += _inside(parts, "}")
        elif isinstance(one, list):
            yield "["
            waiting += _inside([("", item) for item in one], "]")
        else:
            yield json.dumps(one)


def _inside(parts: list[tuple[str, Any]], end: str) -> list[Any]:
    """What is left to be written of an object or a list, the last first."""
    left: list[Any] = [_Mark(end)]
    for place in range(len(parts) - 1, -1, -1):
        name, item = parts[place]
        left += [item, _Mark(f", {name}" if place else name)]
    return left


class _Constant(float):
    """NaN or an infinity, in a class of its own: orjson would write a plain float as null."""


def _is_exact(text: str | bytes, value: object) -> bool:
    """Whether orjson has read all integers of a text exactly."""
    is_short = isinstance(text, bytes) and len(text) < _SHORT
    if is_short and _MANY_DIGITS not in text.translate(_TO_ZEROS):
        return True
    return not _has_rounded(value)


def _has_rounded(value: object) -> bool:
    """Whether a value from orjson contains a float that may be an integer beyond 64 bits."""
    waiting: list[Any] = [[value]]
    while waiting:
        one = waiting.pop()
        for item in one.values() if type(one) is dict else one:
            kind = type(item)
            if kind is str:  # first, since nearly all values are strings
                continue
            if kind is float:
                if abs(item) >= _FIRST_ROUNDED:
                    return True
            elif kind is dict or kind is list:
                waiting.append(item)
    return False


def is_json(text: str) -> bool:
    """Whether a text is any JSON value that can be put into other JSON unchanged."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def is_object(text: str) -> bool:
    """Whether a text is exactly one JSON object that every provider can read."""
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

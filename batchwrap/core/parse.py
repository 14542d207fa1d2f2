"""JSON as providers and agents write it, exactly: what orjson refuses or rounds is read, too."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_DECODER = json.JSONDecoder()
_END_MARK = "[DONE]"
_GLUE = re.compile(r"[\s,]*(?:data:[\s,]*)*")
# From here on orjson reads integers as floats, which are rounded.
_FIRST_ROUNDED = 2.0**63
# So many digits in a row has the shortest of them.
_MANY_DIGITS = b"0" * 19
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# Bytes of a text whose digits are cheaper to look at than its values. A longer one is a
# conversation: nearly all of it are strings, which the walk over the values passes.
_SHORT = 4_096


def parsed(text: str | bytes) -> Any:
    """What a JSON text says; half a surrogate, and NaN, which orjson refuses, included.

    Raises:
        ValueError: it is no JSON, or deeper than anybody reads.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, parse_constant=_Constant)
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


def parsed_exactly(text: str | bytes, *, strict: bool = False) -> Any:
    """The same, with integers of any length.

    Args:
        text: the JSON.
        strict: refuse what orjson refuses.

    Raises:
        ValueError: it is no JSON, or deeper than anybody reads.
    """
    return exactly(text, orjson.loads(text) if strict else parsed(text))


def exactly(text: str | bytes, value: Any) -> Any:
    """What a JSON text says, by what orjson has read there.

    Raises:
        ValueError: it is deeper than anybody reads.
    """
    if _is_exact(text, value):
        return value
    try:
        return json.loads(text, parse_constant=_Constant)
    except RecursionError:
        raise ValueError("too deep") from None


def parsed_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object that these bytes are, to the letter; None where they are anything else."""
    try:
        value = parsed_exactly(content, strict=True)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def rendered(value: object) -> bytes:
    """The JSON of a value that was parsed here.

    Raises:
        RecursionError: it is nested deeper than Python can walk.
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate, NaN, an integer beyond 64 bits, nesting beyond 254
        return json.dumps(value).encode()


class _Constant(float):
    """NaN or an infinity as it was written; orjson would write a plain one as null."""


def _is_exact(text: str | bytes, value: object) -> bool:
    """Whether orjson has rounded no integer of a text."""
    is_short = isinstance(text, bytes) and len(text) < _SHORT
    if is_short and _MANY_DIGITS not in text.translate(_TO_ZEROS):
        return True
    return not _has_rounded(value)


def _has_rounded(value: object) -> bool:
    """Whether a value of orjson's holds a float that may have been an integer beyond 64 bits."""
    waiting: list[Any] = [[value]]
    while waiting:
        one = waiting.pop()
        for item in one.values() if type(one) is dict else one:
            kind = type(item)
            if kind is str:  # as nearly all are
                continue
            if kind is float:
                if abs(item) >= _FIRST_ROUNDED:
                    return True
            elif kind is dict or kind is list:
                waiting.append(item)
    return False


def is_json(text: str) -> bool:
    """Whether a text is JSON of any kind that can go into other JSON as it is."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


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

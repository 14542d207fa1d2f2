"""JSON in texts: lists and objects that models send as strings, and what is left of a cut text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from batchwrap.core.parse import parsed, parsed_exactly

# A list in a text in a text: deeper than that nobody was seen to encode.
_MOST_ENCODINGS = 3
_OUTSIDE = re.compile(r'["{}\[\],]')
_INSIDE = re.compile(r'["\\]')
_CLOSERS = {"{": "}", "[": "]"}


class _Nothing:
    """Stands for "no JSON", since None is one."""


NOTHING: Final = _Nothing()


def decoded(text: str) -> Any:
    """The JSON value of a whole text; `NOTHING` if it is none.

    Control characters that stand raw in its strings are kept: models that send a list as a
    text often forget to escape them twice.
    """
    for parse in (parsed_exactly, parsed, _loosely):
        try:
            return parse(text)
        except (ValueError, RecursionError):
            continue
    return NOTHING


def _loosely(text: str) -> Any:
    return json.loads(text, strict=False)


def container_in(text: str) -> list[Any] | dict[str, Any] | None:
    """The list or object that a text holds as JSON; None if it holds none."""
    value: Any = text
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{", '"'):
            break
        value = decoded(value)
    return value if isinstance(value, list | dict) else None


@dataclass(frozen=True, slots=True, repr=False)
class Rest:
    """What is left of JSON that broke off.

    Attributes:
        text: valid JSON: what came up to the last whole item of the outermost list.
        lacks_item: whether an item was lost: the list was not closed.
    """

    text: str
    lacks_item: bool


def cut_back(text: str) -> Rest | None:
    """What is left of JSON that broke off; None if no item of its outermost list is whole.

    An item that is not whole is dropped with all that it holds: half a call is none.
    """
    opened: list[str] = []
    outermost, end, at, in_string = 0, 0, 0, False
    while (mark := (_INSIDE if in_string else _OUTSIDE).search(text, at)) is not None:
        at = mark.end()
        if mark[0] == "\\":
            at += 1
        elif mark[0] == '"':
            in_string = not in_string
        elif mark[0] in _CLOSERS:
            opened.append(mark[0])
            if mark[0] == "[" and not outermost:
                outermost = len(opened)
        elif mark[0] == ",":
            end = mark.start() if outermost == len(opened) else end
        elif not opened or _CLOSERS[opened.pop()] != mark[0]:
            return None
        elif outermost and len(opened) < outermost:
            return Rest(text[:at] + _closed(opened), lacks_item=False)
        elif len(opened) == outermost:
            end = at
    if not end:
        return None
    return Rest(text[:end] + _closed(opened[:outermost]), lacks_item=True)


def _closed(opened: list[str]) -> str:
    return "".join(_CLOSERS[one] for one in reversed(opened))

"""JSON in texts: lists and objects that models send as strings, and what is left of a cut text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from batchwrap.core.json_scanner import JsonScanner, closers
from batchwrap.core.parse import parsed, parsed_exactly

# A list in a text in a text: deeper than that nobody was seen to encode.
_MOST_ENCODINGS = 3


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
    scanner, outermost, end = JsonScanner(), 0, 0
    for at in scanner.marks(text):
        mark, depth = text[at], len(scanner.open)
        if not scanner.is_matched:
            return None
        if mark == "[" and not outermost:
            outermost = depth
        elif mark == "," and depth == outermost:
            end = at
        elif mark in "}]" and outermost and depth < outermost:
            return Rest(text[: at + 1] + closers(scanner.open), lacks_item=False)
        elif mark in "}]" and depth == outermost:
            end = at + 1
    if not end:
        return None
    return Rest(text[:end] + closers(scanner.open[:outermost]), lacks_item=True)

"""Decodes JSON that models send as a text, and cuts back JSON that broke off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from batchwrap.core.json_scanner import JsonScanner, closers
from batchwrap.core.parse import parsed, parsed_exactly

# Models have been seen to encode a list as a text within a text, and no deeper.
_MOST_ENCODINGS = 3


class _Nothing:
    """The type of `NOTHING`, which means "no JSON"; None is the value of the JSON `null`."""


NOTHING: Final = _Nothing()


def decoded(text: str) -> Any:
    """The JSON value of a complete text; `NOTHING` if the text is not JSON.

    Raw control characters in its strings are accepted, because models that send a list as a text
    often forget to escape them twice.
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
    """The list or object that a text encodes as JSON; None if it encodes neither."""
    value: Any = text
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{", '"'):
            break
        value = decoded(value)
    return value if isinstance(value, list | dict) else None


@dataclass(frozen=True, slots=True, repr=False)
class Rest:
    """The valid part of JSON that broke off.

    Attributes:
        text: valid JSON: the text up to the last complete item of the outermost list, closed.
        lacks_item: whether an item was lost, because the list was not closed.
    """

    text: str
    lacks_item: bool


def cut_back(text: str) -> Rest | None:
    """The valid part of JSON that broke off; None if its outermost list has no complete item.

    An incomplete item is dropped with everything in it, since an incomplete call must not run.
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

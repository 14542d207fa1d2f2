"""Reading the items of a multi-call out of its arguments, while they are being written.

Models send more shapes than the schema allows. Whatever has exactly one meaning is
understood: a list without its wrapper, the list as JSON text, one object in place of a
list, a bare path in place of an object.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchwrap.core.growing import Growing

# Outside strings only these marks matter; inside, only the closing quote and escapes. Patterns
# jump from one mark to the next, and over all escapes at once, without backtracking.
_OUTSIDE = re.compile(r'[^"{}\[\],:]*+')
_INSIDE = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


class ItemScanner:
    """Yields each item of ``{"<key>": [item, …]}`` as soon as it is known to be whole.

    Items are slices of the text that was fed, to the character. Any other shape yields
    nothing: `read_items` reads that when the arguments are complete. Each character is looked
    at once, and kept once.
    """

    def __init__(self, key: str) -> None:
        self.closed = False
        self._key = key
        self._said = Growing()
        self._item: Growing | None = None  # the one that is open, as far as it has come
        self._from = 0  # where it goes on in the piece at hand
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._is_object: bool | None = None  # whether the text begins with one
        self._name: str | None = None  # the string before the place, at the first level
        self._has_colon = False

    @property
    def text(self) -> str:
        """All that was fed."""
        return self._said.text

    def feed(self, text: str) -> list[str]:
        """Add arguments; returns the items that they complete."""
        self._said.add(text)
        items: list[str] = []
        at = self._from = 0
        while at < len(text) and not self.closed:
            at = self._inside(text, at) if self._in_string else self._outside(text, at, items)
        if self._item is not None and not self.closed:
            self._item.add(text[self._from :])
        return items

    def _inside(self, text: str, at: int) -> int:
        """Go on in a string; returns where it ends, or the piece does."""
        plain = _INSIDE.match(text, at + self._is_escaped)
        assert plain is not None
        end = plain.end()
        self._is_escaped = text[end : end + 1] == "\\"  # what it escapes has not come yet
        self._in_string = end == len(text) or self._is_escaped
        if self._name is not None:
            self._name = (self._name + text[at:end])[: len(self._key) + 1]
        return end + 1

    def _outside(self, text: str, at: int, items: list[str]) -> int:
        """Go on to the next mark between strings; returns the place behind it."""
        plain = _OUTSIDE.match(text, at)
        assert plain is not None
        at = plain.end()
        if plain[0] and not plain[0].isspace():
            self._name, self._is_object = None, self._is_object or False
        if at < len(text):
            self._step(text, at, items)
        return at + 1

    def _step(self, text: str, at: int, items: list[str]) -> None:
        mark = text[at]
        if self._is_object is None:
            self._is_object = mark == "{"
        if mark == '"':
            self._in_string = True
            seeks = self._depth == 1 and self._item is None
            self._name, self._has_colon = "" if seeks else None, False
        elif mark == ":":
            self._has_colon = True
        elif mark in "{[":
            self._depth += 1
            if mark == "[" and self._depth == 2 and self._opens:
                self._item, self._from = Growing(), at + 1
        elif self._item is not None and self._depth == 2:
            self._close_item(text, at, items)
            self.closed = mark != ","
        if mark in "}]":
            self._depth -= 1
        if mark not in '":':
            self._name = None

    @property
    def _opens(self) -> bool:
        """Whether the list that begins here is the one of the items."""
        named = self._name == self._key and self._has_colon
        return named and self._item is None and self._is_object is True

    def _close_item(self, text: str, at: int, items: list[str]) -> None:
        assert self._item is not None
        self._item.add(text[self._from : at])
        item = self._item.text.strip()
        if item:
            items.append(item)
        self._item, self._from = Growing(), at + 1


def read_items(arguments: str, key: str) -> list[str]:
    """The items of complete arguments in any shape that has one meaning, as JSON texts.

    Returns an empty list where the shape has no meaning, or the JSON is broken.
    """
    value: Any = arguments
    for _ in range(4):
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return []
        if isinstance(value, dict) and key in value and len(value) == 1:
            value = value[key]
        elif isinstance(value, (list, dict)):
            break
    if isinstance(value, dict):
        value = [value]
    return [as_text(item) for item in value] if isinstance(value, list) else []


def as_arguments(item: str, required: tuple[str, ...]) -> str | None:
    """The single call's arguments for one item, or None if it does not fit the tool.

    An object with the required parameters stays as it is to the byte; a bare text is the
    tool's one required parameter.
    """
    try:
        value = orjson.loads(item)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, dict):
        return item if all(name in value for name in required) else None
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return as_arguments(value, required)
    if isinstance(value, str) and len(required) == 1:
        return as_text({required[0]: value})
    return None


def as_text(value: Any) -> str:
    """A value as compact JSON; a text that is JSON of an object already stays as it is."""
    return orjson.dumps(value).decode()

"""Reading the items of a multi-call out of its arguments, while they are being written.

Only the form that was asked for is read here, since only there an item is known to be whole
before all is. Every other form is read when the arguments are complete (`meaning`).
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
    nothing, nor does one with a field before the list, which may belong to all items. Each
    character is looked at once, and kept once.

    Attributes:
        closed: whether the list has ended.
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
        self._is_first = True  # whether the field at the first level is the first one
        self._behind = 0  # where the list has ended

    @property
    def is_alone(self) -> bool:
        """Whether the list has ended, and nothing stands behind it."""
        return self.closed and self.text[self._behind :].strip() == "}"

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
            self._behind = len(self._said) - len(text) + at + 1
        elif mark == "," and self._depth == 1:
            self._is_first = False
        if mark in "}]":
            self._depth -= 1
        if mark not in '":':
            self._name = None

    @property
    def _opens(self) -> bool:
        """Whether the list that begins here is the one of the items."""
        named = self._name == self._key and self._has_colon and self._is_first
        return named and self._item is None and self._is_object is True

    def _close_item(self, text: str, at: int, items: list[str]) -> None:
        assert self._item is not None
        self._item.add(text[self._from : at])
        item = self._item.text.strip()
        if item:
            items.append(item)
        self._item, self._from = Growing(), at + 1


def as_text(value: Any) -> str:
    """A value as compact JSON."""
    return orjson.dumps(value).decode()

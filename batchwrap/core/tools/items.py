"""Reads the items of a multi-call while the model is still writing its arguments.

Only the offered form is read here, since in any other form later text could change what an earlier
item means. All other forms are read when the arguments are complete (`meaning`).
"""

from __future__ import annotations

from typing import Any

import orjson

from batchwrap.core.growing import Growing
from batchwrap.core.json_scanner import JsonScanner


class ItemScanner:
    """Returns each item of ``{"<key>": [item, …]}`` as soon as it is complete.

    Items are exact slices of the text. Any other shape has no items, nor has one with a field
    before the list, since that field may belong to all items. Each character is read once and
    stored once.

    Attributes:
        closed: whether the list has ended.

    Args:
        key: the field that lists the items.
    """

    def __init__(self, key: str) -> None:
        self.closed = False
        self._key = key
        self._said = Growing()
        self._item: Growing | None = None  # the open item, as received so far
        self._from = 0  # where it continues in the current piece
        self._scanner = JsonScanner()
        self._is_object: bool | None = None  # whether the text begins with an object
        self._name: str | None = None  # the last string at the first level, perhaps a field's name
        self._has_colon = False
        self._is_first = True  # whether it is the first field at the first level
        self._behind = 0  # the position after the list; 0 while it is open

    @property
    def is_alone(self) -> bool:
        """Whether the list has ended and no other field follows it."""
        return self.closed and self.text[self._behind :].strip() == "}"

    @property
    def text(self) -> str:
        """The whole text so far."""
        return self._said.text

    def feed(self, text: str) -> list[str]:
        """Add a piece of the arguments; returns the items that it completes."""
        self._said.add(text)
        items: list[str] = []
        if self._behind:
            return items
        # Nearly every piece is the inside of a string, without any structure.
        if self._item is not None and self._scanner.passes(text):
            self._item.add(text)
            return items
        at = self._from = 0
        for place in self._scanner.marks(text):
            if self._item is None:
                self._pass(text[at:place], in_string=text[place] == '"' and not self._is_open)
            self._step(text, place, items)
            at = place + 1
            if self.closed:
                return items
        if self._item is not None:
            self._item.add(text[self._from :])
        elif at < len(text):
            self._pass(text[at:], in_string=self._is_open)
        return items

    @property
    def _is_open(self) -> bool:
        """Whether a string is open."""
        return self._scanner.in_string

    def _pass(self, text: str, *, in_string: bool) -> None:
        """Record the text between two marks."""
        if in_string:
            if self._name is not None:
                self._name = (self._name + text)[: len(self._key) + 1]
        elif text and not text.isspace():
            self._name, self._is_object = None, self._is_object or False

    def _step(self, text: str, at: int, items: list[str]) -> None:
        """Read one structural character; adds an item if the character completes it."""
        mark, depth = text[at], len(self._scanner.open)
        if self._is_object is None:
            self._is_object = mark == "{"
        if mark == '"':
            if self._is_open:
                self._name = "" if depth == 1 and self._item is None else None
                self._has_colon = False
            return
        if mark == ":":
            self._has_colon = True
            return
        # The list is at depth 2, inside the object at depth 1. A comma at depth 2 ends an item, and
        # the closing bracket, after which the depth is 1, ends the last one.
        if mark == "[" and depth == 2 and self._opens:
            self._item, self._from = Growing(), at + 1
        elif self._item is not None and depth == (2 if mark == "," else 1) and mark not in "{[":
            self._close_item(text, at, items)
            self.closed = mark != ","
            self._behind = len(self._said) - len(text) + at + 1 if self.closed else 0
        elif mark == "," and depth == 1:
            self._is_first = False
        self._name = None

    @property
    def _opens(self) -> bool:
        """Whether the list that begins here is the list of items."""
        named = self._name == self._key and self._has_colon and self._is_first
        return named and self._item is None and self._is_object is True and self._scanner.is_matched

    def _close_item(self, text: str, at: int, items: list[str]) -> None:
        """End the open item at a position, and begin the next one."""
        assert self._item is not None
        self._item.add(text[self._from : at])
        item = self._item.text.strip()
        if item:
            items.append(item)
        self._item, self._from = Growing(), at + 1


def as_text(value: Any) -> str:
    """A value as compact JSON text."""
    return orjson.dumps(value).decode()

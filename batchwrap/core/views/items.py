"""Reading the items of a multi-call out of its arguments, while they are being written.

Models send more shapes than the schema allows. Whatever has exactly one meaning is
understood: a list without its wrapper, the list as JSON text, one object in place of a
list, a bare path in place of an object.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

# Outside strings only brackets, commas, colons and quotes matter; inside, only the closing
# quote and escapes. Jumping from one to the next keeps the cost low for long texts.
_OUTSIDE = re.compile(r'["{}\[\],]')
_INSIDE = re.compile(r'["\\]')
_KEY_BEFORE = re.compile(r'"([^"\\]*)"\s*:\s*$')


class ItemScanner:
    """Yields each item of ``{"<key>": [item, …]}`` as soon as it is known to be whole.

    Items are slices of the text that was fed, to the character. Any other shape yields
    nothing: `read_items` reads that when the arguments are complete.
    """

    def __init__(self, key: str) -> None:
        self.text = ""
        self.closed = False
        self._key = key
        self._at = 0
        self._depth = 0
        self._in_string = False
        self._item_start: int | None = None

    def feed(self, text: str) -> list[str]:
        """Add arguments; returns the items that they complete."""
        self.text += text
        items: list[str] = []
        while not self.closed:
            pattern = _INSIDE if self._in_string else _OUTSIDE
            match = pattern.search(self.text, self._at)
            if match is None:
                self._at = len(self.text)
                break
            if match[0] == "\\" and match.end() == len(self.text):
                self._at = match.start()  # what it escapes has not come yet
                break
            self._at = match.end()
            self._step(match[0], match.start(), items)
        return items

    def _step(self, mark: str, at: int, items: list[str]) -> None:
        if self._in_string:
            if mark == "\\":
                self._at += 1
            else:
                self._in_string = False
        elif mark == '"':
            self._in_string = True
        elif mark in "{[":
            self._depth += 1
            if self._item_start is None and self._depth == 2 and mark == "[":
                self._open(at)
        elif mark in "}]":
            if self._item_start is not None and self._depth == 2:
                self._close_item(at, items)
                self.closed = True
            self._depth -= 1
        elif self._item_start is not None and self._depth == 2:
            self._close_item(at, items)

    def _open(self, at: int) -> None:
        key = _KEY_BEFORE.search(self.text, 0, at)
        if key is not None and key[1] == self._key and self.text.lstrip().startswith("{"):
            self._item_start = at + 1

    def _close_item(self, at: int, items: list[str]) -> None:
        item = self.text[self._item_start : at].strip()
        if item:
            items.append(item)
        self._item_start = at + 1


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

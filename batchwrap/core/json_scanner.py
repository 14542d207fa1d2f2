"""Scans JSON while it is being written: where its marks are, and which brackets are open.

This is the only scanner for JSON that arrives in pieces or is cut off. It does not parse values, so
it also reads broken JSON. Each character is read once, wherever the text is cut: the patterns jump
from one mark to the next, and over all escapes of a string at once. They are possessive, so they
never backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSERS = {"{": "}", "[": "]"}
_ESCAPES = '"\\/bfnrtu'
# The six structural characters of RFC 8259, section 2, and the quotes of strings are marks.
_TO_MARK = re.compile(r'[^"{}\[\],:]*+')
# The longest valid part of a string, and the longest part without its end. The digits after "\u"
# are not checked.
_SOUND = re.compile(r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrtu])*+')
_ANYTHING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


class JsonScanner:
    """Finds the marks of a JSON text that is fed piece by piece.

        scanner = JsonScanner()
        [text[at] for at in scanner.marks(text := '{"a": [1')]  # { " " : [
        scanner.open  # ["{", "["]

    Attributes:
        open: the open brackets, the outermost first.
        in_string: whether a string is open.
        has_value: whether a list, an object or a string has ended.
        is_sound: whether all strings so far are valid JSON, without control characters and
            unknown escapes.
        is_matched: whether each closing bracket so far matches the one that was opened last.
    """

    __slots__ = ("_is_escaped", "has_value", "in_string", "is_matched", "is_sound", "open")

    def __init__(self) -> None:
        self.open: list[str] = []
        self.in_string = self.has_value = self._is_escaped = False
        self.is_sound = self.is_matched = True

    @property
    def is_closed(self) -> bool:
        """Whether a list, an object or a string has ended, and nothing is open."""
        return self.has_value and not self.open and not self.in_string

    def passes(self, text: str) -> bool:
        """Whether a piece changes no state: a part of a valid string, or space between marks.

        It is a quick check for what `marks` would find. If it is True, the piece counts as added.
        """
        if not self.in_string:
            return text.isspace()
        return self.is_sound and not self._is_escaped and _SOUND.fullmatch(text) is not None

    def feed(self, text: str) -> None:
        """Add a piece."""
        for _ in self.marks(text):
            pass

    def marks(self, text: str) -> Iterator[int]:
        """Add a piece, and yield the place of each mark in it.

        At each place the attributes have the state after the mark: `in_string` is True at a quote
        that opens a string, and False at one that closes it.
        """
        at, end = 0, len(text)
        while at < end:
            if self.in_string:
                at = self._string_end(text, at)
                if at >= end:
                    return
                self.in_string, self.has_value = False, True
            else:
                found = _TO_MARK.match(text, at)
                assert found is not None
                at = found.end()
                if at == end:
                    return
                self._take(text[at])
            yield at
            at += 1

    def _string_end(self, text: str, at: int) -> int:
        """The place of the quote that closes the string, or the end of the piece."""
        if self._is_escaped:
            self.is_sound = self.is_sound and text[at] in _ESCAPES
            self._is_escaped = False
            at += 1
        found = (_SOUND if self.is_sound else _ANYTHING).match(text, at)
        assert found is not None
        at = found.end()
        if at == len(text) or text[at] == '"':
            return at
        if text[at] == "\\" and at + 1 == len(text):
            self._is_escaped = True  # the escaped character is in the next piece
            return at + 1
        self.is_sound = False
        return self._string_end(text, at)

    def _take(self, mark: str) -> None:
        if mark == '"':
            self.in_string = True
        elif mark in _CLOSERS:
            self.open.append(mark)
        elif mark in "}]":
            opened = self.open.pop() if self.open else ""
            self.is_matched = self.is_matched and _CLOSERS.get(opened) == mark
            self.has_value = True


def closers(opened: list[str]) -> str:
    """The text that closes open brackets, which are given with the outermost first."""
    return "".join(_CLOSERS[one] for one in reversed(opened))

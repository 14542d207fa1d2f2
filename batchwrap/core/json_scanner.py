"""A look at JSON while it is being written: where its marks are, and what is open.

The one scanner for JSON that comes in pieces, or breaks off. It parses nothing, so it reads
what is broken as well; whoever needs values uses a parser. Each character is looked at once,
wherever the text is cut: patterns jump from one mark to the next, and over all escapes of a
string at once. They are possessive, so they never go back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSERS = {"{": "}", "[": "]"}
_ESCAPES = '"\\/bfnrtu'
# The six structural characters of RFC 8259, section 2, and the quotes of strings are marks.
_TO_MARK = re.compile(r'[^"{}\[\],:]*+')
# As much of a string as is sound, and as much as is not its end. Of "\u" the digits are not read.
_SOUND = re.compile(r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrtu])*+')
_ANYTHING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


class JsonScanner:
    """Finds the marks of a JSON text that is fed piece by piece.

        scanner = JsonScanner()
        [text[at] for at in scanner.marks(text := '{"a": [1')]  # { " " : [
        scanner.open  # ["{", "["]

    Attributes:
        open: the brackets that are open, the outermost first.
        in_string: whether a string is.
        has_value: whether a list, an object or a string has come to its end.
        is_sound: whether all strings so far are as JSON wants them: without control characters,
            and without escapes that it does not have.
        is_matched: whether each bracket so far closes the one that was opened last.
    """

    __slots__ = ("_is_escaped", "has_value", "in_string", "is_matched", "is_sound", "open")

    def __init__(self) -> None:
        self.open: list[str] = []
        self.in_string = self.has_value = self._is_escaped = False
        self.is_sound = self.is_matched = True

    @property
    def is_closed(self) -> bool:
        """Whether a list, an object or a string has come to its end, and nothing is open."""
        return self.has_value and not self.open and not self.in_string

    def passes(self, text: str) -> bool:
        """Whether a piece changes nothing: a part of a sound string, or space between marks.

        It tells at a glance what `marks` would find out; if it says so, the piece is added.
        """
        if not self.in_string:
            return text.isspace()
        return self.is_sound and not self._is_escaped and _SOUND.fullmatch(text) is not None

    def feed(self, text: str) -> None:
        """Add a piece."""
        for _ in self.marks(text):
            pass

    def marks(self, text: str) -> Iterator[int]:
        """Add a piece; yields the place of each mark in it.

        At each place the attributes say how things stand behind it: a quote that opens a string
        is yielded with `in_string`, one that closes it without.
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
            self._is_escaped = True  # what it escapes has not come yet
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
    """What closes brackets that are open, the outermost first."""
    return "".join(_CLOSERS[one] for one in reversed(opened))

"""How much of arguments that are still being written is healthy for certain.

A rough look, for the sake of speed: it may stop too early, which only holds text back, and
hardly ever too late, which `ArgumentStream` finds out.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[^\"\\\x00-\x1f]+")
_BARE = re.compile(r"[\s\d.+\-truefalsnE]+")  # white space, numbers, true, false, null
_SPACE = re.compile(r"\s*")
_ESCAPED = '"\\/bfnrtu'


class HealthyPrefix:
    """Finds the end of the healthy part of a text that grows.

    Args:
        not_text: names of parameters that are no texts: a string there stops it.
    """

    def __init__(self, not_text: frozenset[str]) -> None:
        self.stopped = False
        self._not_text = not_text
        self._open: list[str] = []
        self._at = 0
        self._is_inside = False
        self._is_escaped = False
        self._is_key = False
        self._is_over = False
        self._started_at = 0
        self._key = ""

    def run(self, text: str) -> int:
        """Where the part ends that can be handed on; `text` begins with what it was before."""
        while self._at < len(text) and not self.stopped:
            if not (self._inside(text) if self._is_inside else self._outside(text)):
                break
        return self._at

    def _inside(self, text: str) -> bool:
        plain = None if self._is_escaped else _PLAIN.match(text, self._at)
        if plain is not None:
            self._at = plain.end()
            return True
        mark = text[self._at]
        if self._is_escaped or mark == "\\":
            self.stopped = self._is_escaped and mark not in _ESCAPED
            self._at += not self.stopped
            self._is_escaped = not self._is_escaped
            return True
        self.stopped = mark != '"'
        if not self.stopped:
            self._is_inside = False
            if self._is_key:
                self._key = text[self._started_at : self._at]
            self._at += 1
        return True

    def _outside(self, text: str) -> bool:
        bare = (_BARE if self._open else _SPACE).match(text, self._at)
        if bare is not None and bare[0]:
            self._at = bare.end()
            return True
        mark = text[self._at]
        if mark == ",":
            return self._comma(text)
        self.stopped = self._is_over or not self._takes(mark)
        self._at += not self.stopped
        return True

    def _takes(self, mark: str) -> bool:
        """Whether a mark outside of strings is healthy; keeps track of what is open."""
        if mark in "{[":
            self._is_key = mark == "{"
            self._open.append(mark)
            return mark == "{" or len(self._open) > 1
        if not self._open:
            return False
        if mark in "}]":
            self._open.pop()
            self._is_over = not self._open
        elif mark == ":":
            self._is_key = False
        elif mark == '"':
            if not self._is_key and self._key in self._not_text:
                return False
            self._is_inside, self._started_at = True, self._at + 1
        else:
            return False
        return True

    def _comma(self, text: str) -> bool:
        """A comma goes out with what follows: it may be one too many."""
        space = _SPACE.match(text, self._at + 1)
        assert space is not None
        if space.end() == len(text):
            return False
        self.stopped = not self._open or text[space.end()] in "}],"
        if not self.stopped:
            self._is_key = self._open[-1] == "{"
            self._at = space.end()
        return True

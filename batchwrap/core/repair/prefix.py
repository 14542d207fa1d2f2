"""How much of arguments that are still being written is healthy for certain.

A rough look, for the sake of speed: it may stop too early, which only holds text back, and
hardly ever too late, which `ArgumentStream` finds out. Each character is looked at once.
"""

from __future__ import annotations

import re

_BARE = re.compile(r"[\s\d.+\-truefalsnE]*+")  # white space, numbers, true, false, null
_SPACE = re.compile(r"\s*+")
_ESCAPED = '"\\/bfnrtu'
# All of a string that can be read in one go, escapes included: healthy ones, or any at all.
_HEALTHY = re.compile(r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrtu])*+')
_ANY = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_LOOSE = re.compile(r'[^"{}\[\]]*+')


class HealthyPrefix:
    """Finds the end of the healthy part of a text that grows.

    Attributes:
        stopped: whether a defect has come.

    Args:
        not_text: names of parameters that are no texts: a string there stops it.
    """

    def __init__(self, not_text: frozenset[str]) -> None:
        self.stopped = False
        self._not_text = not_text
        self._longest = max(map(len, not_text), default=0)
        self._open: list[str] = []
        self._is_inside = False
        self._is_escaped = False
        self._is_key = False
        self._is_over = False
        self._has_more = False  # behind its end
        self._waits = False  # for what follows a comma
        self._key = ""

    def feed(self, text: str) -> bool:
        """Add a piece; returns whether all that has come can be handed on."""
        at = 0
        while at < len(text):
            if self.stopped:
                self._loosely(text, at)
                return False
            at = self._inside(text, at) if self._is_inside else self._outside(text, at)
        return not self.stopped and not self._waits

    @property
    def is_closed(self) -> bool:
        """Whether one object or list has come to its end, and nothing after it.

        Without that a text is no object, whatever else is wrong with it.
        """
        return self._is_over and not self._has_more

    def _inside(self, text: str, at: int) -> int:
        """Go on in a string; returns how far it is healthy."""
        if self._is_escaped:
            self.stopped = text[at] not in _ESCAPED
            self._is_escaped = False
            return at if self.stopped else at + 1
        healthy = _HEALTHY.match(text, at)
        assert healthy is not None
        end = healthy.end()
        if self._is_key and self._not_text:
            self._key = (self._key + text[at:end])[: self._longest + 1]
        if end == len(text):
            return end
        if text[end] == '"':
            self._is_inside = False
        elif text[end] == "\\" and end + 1 == len(text):
            self._is_escaped = True  # what it escapes has not come yet
        else:
            self.stopped = True
            return end
        return end + 1

    def _outside(self, text: str, at: int) -> int:
        """Go on between strings; returns how far it is healthy."""
        bare = (_BARE if self._open and not self._waits else _SPACE).match(text, at)
        assert bare is not None
        at = bare.end()
        if at == len(text):
            return at
        mark = text[at]
        if self._waits:
            self.stopped, self._waits = mark in "}],", False
            self._is_key = self._open[-1] == "{"
            return at
        if mark == "," and self._open:
            self._waits = True  # it goes out with what follows: it may be one too many
            return at + 1
        if self._is_over or not self._takes(mark):
            self.stopped = True
            return at
        return at + 1

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
            self._is_inside, self._key = True, "" if self._is_key else self._key
        else:
            return False
        return True

    def _loosely(self, text: str, at: int) -> None:
        """Go on behind a defect: what is open still tells whether the whole can be complete."""
        while at < len(text):
            if self._is_inside:
                plain = _ANY.match(text, at + self._is_escaped)
                assert plain is not None
                at = plain.end()
                self._is_escaped = text[at : at + 1] == "\\"
                self._is_inside = at >= len(text) or self._is_escaped
            else:
                plain = _LOOSE.match(text, at)
                assert plain is not None
                at = plain.end()
                blank = at == len(text) and (not plain[0] or plain[0].isspace())
                self._has_more = self._has_more or (self._is_over and not blank)
                if at < len(text):
                    self._opens_or_closes(text[at])
            at += 1

    def _opens_or_closes(self, mark: str) -> None:
        if mark == '"':
            self._is_inside = True
        elif mark in "{[":
            self._open.append(mark)
        elif self._open:
            self._open.pop()
            self._is_over = not self._open

"""How much of arguments that are still being written is healthy for certain.

A rough look, for the sake of speed: it may stop too early, which only holds text back, and
hardly ever too late, which `ArgumentStream` finds out. Each character is looked at once.
"""

from __future__ import annotations

import re

from batchwrap.core.json_scanner import JsonScanner

_BARE = re.compile(r"[\s\d.+\-truefalsnE]*+")  # white space, numbers, true, false, null


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
        self._scanner = JsonScanner()
        self._depth = 0  # behind the last mark
        self._is_key = False
        self._is_over = False
        self._has_more = False  # behind its end
        self._waits = False  # for what follows a comma
        self._key = ""

    def passes(self, text: str) -> bool:
        """Whether a piece changes nothing, and can be handed on; it is added then."""
        if self.stopped or self._waits or not self._scanner.passes(text):
            return False
        if self._is_key and self._scanner.in_string:
            self._string(text)
        return True

    def feed(self, text: str) -> bool:
        """Add a piece; returns whether all that has come can be handed on."""
        at = 0
        for place in self._scanner.marks(text):
            if text[place] == '"' and not self._scanner.in_string:
                self._string(text[at:place])
            else:
                self._bare(text[at:place])
                self._mark(text[place])
            at = place + 1
        if at < len(text):
            (self._string if self._scanner.in_string else self._bare)(text[at:])
        return not self.stopped and not self._waits

    @property
    def is_closed(self) -> bool:
        """Whether one object or list has come to its end, and nothing after it.

        Without that a text is no object, whatever else is wrong with it. Behind a defect, too,
        what is open tells whether the whole can be complete.
        """
        return self._is_over and not self._has_more

    def _string(self, text: str) -> None:
        """Go on in a string."""
        self.stopped = self.stopped or not self._scanner.is_sound
        if self._is_key and self._not_text:
            self._key = (self._key + text)[: self._longest + 1]

    def _bare(self, text: str) -> None:
        """Go on between two marks."""
        if not text or text.isspace():
            return
        self._waits = False
        self._has_more = self._has_more or self._is_over
        if not self._depth or _BARE.fullmatch(text) is None:
            self.stopped = True

    def _mark(self, mark: str) -> None:
        """Go on with a mark that is not the end of a string."""
        self._has_more = self._has_more or self._is_over
        self.stopped = self.stopped or self._is_over or not self._takes(mark)
        before, self._depth = self._depth, len(self._scanner.open)
        self._is_over = self._is_over or (before > 0 and not self._depth)

    def _takes(self, mark: str) -> bool:
        """Whether a mark is healthy where it stands."""
        waited, self._waits = self._waits, False
        if waited and mark in "}],":
            return False
        if mark in "{[":
            self._is_key = mark == "{"
            return self._is_key or self._depth > 0
        if not self._depth:
            return False
        if mark == ",":
            self._waits = True  # it goes out with what follows: it may be one too many
            self._is_key = self._scanner.open[-1] == "{"
        elif mark == ":":
            self._is_key = False
        elif mark == '"':
            self._key = "" if self._is_key else self._key
            return self._is_key or self._key not in self._not_text
        return self._scanner.is_matched

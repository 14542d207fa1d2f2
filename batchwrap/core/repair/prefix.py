"""Finds how much of incomplete arguments is certainly healthy.

The check is approximate, because it runs on every fragment. It may stop too early, which only
holds text back. It hardly ever stops too late, and `ArgumentStream` detects that. Each
character is read once.
"""

from __future__ import annotations

import re

from batchwrap.core.json_scanner import JsonScanner

_BARE = re.compile(r"[\s\d.+\-truefalsnE]*+")  # white space, numbers, true, false, null


class HealthyPrefix:
    """Finds the end of the healthy part of a growing text.

    Attributes:
        stopped: whether a defect was found.

    Args:
        not_text: names of parameters whose values are not strings: a string there is a defect.
    """

    def __init__(self, not_text: frozenset[str]) -> None:
        self.stopped = False
        self._not_text = not_text
        self._longest = max(map(len, not_text), default=0)
        self._scanner = JsonScanner()
        self._depth = 0  # after the last mark
        self._is_key = False
        self._is_over = False
        self._has_more = False  # after its end
        self._waits = False  # a comma is held until what follows it is known
        self._key = ""

    def passes(self, text: str) -> bool:
        """Whether a piece changes nothing, and can be handed on; it is added then."""
        if self.stopped or self._waits or not self._scanner.passes(text):
            return False
        if self._is_key and self._scanner.in_string:
            self._string(text)
        return True

    def feed(self, text: str) -> bool:
        """Add a piece; returns whether everything so far can be handed on."""
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
        """Whether one object or list is complete and nothing follows it.

        A text for which this is false is no object, whatever else is wrong with it. It is
        tracked after a defect, too, because the repair depends on whether the text is complete.
        """
        return self._is_over and not self._has_more

    def _string(self, text: str) -> None:
        """Continue inside a string."""
        self.stopped = self.stopped or not self._scanner.is_sound
        if self._is_key and self._not_text:
            self._key = (self._key + text)[: self._longest + 1]

    def _bare(self, text: str) -> None:
        """Continue between two marks."""
        if not text or text.isspace():
            return
        self._waits = False
        self._has_more = self._has_more or self._is_over
        if not self._depth or _BARE.fullmatch(text) is None:
            self.stopped = True

    def _mark(self, mark: str) -> None:
        """Continue with a mark that does not end a string."""
        self._has_more = self._has_more or self._is_over
        self.stopped = self.stopped or self._is_over or not self._takes(mark)
        before, self._depth = self._depth, len(self._scanner.open)
        self._is_over = self._is_over or (before > 0 and not self._depth)

    def _takes(self, mark: str) -> bool:
        """Whether a mark is allowed at its place."""
        waited, self._waits = self._waits, False
        if waited and mark in "}],":
            return False
        if mark in "{[":
            self._is_key = mark == "{"
            return self._is_key or self._depth > 0
        if not self._depth:
            return False
        if mark == ",":
            self._waits = True  # held until what follows is known: a trailing comma is a defect
            self._is_key = self._scanner.open[-1] == "{"
        elif mark == ":":
            self._is_key = False
        elif mark == '"':
            self._key = "" if self._is_key else self._key
            return self._is_key or self._key not in self._not_text
        return self._scanner.is_matched

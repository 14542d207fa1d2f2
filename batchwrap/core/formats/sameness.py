"""What counts as the same conversation.

Agents send a conversation again in other words: a cache mark has moved on, a text has become
a list of parts, arguments are spaced in another way, ids were cut. None of this makes it
another conversation. What was said, by whom, and which calls were made does.

A system prompt may hold a clock or a counter, so digits do not count in it. A system message
further down is a note of the agent's own, which may stand elsewhere in the next request; so
may an assistant message that says nothing. Neither counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from batchwrap.core.formats.entries import Entry

_DIGITS = re.compile(rb"[0-9]+")


class Conversation:
    """A digest of what was said up to one place, which benign changes leave as it is."""

    __slots__ = ("_has_begun", "_hasher")

    def __init__(self) -> None:
        self._hasher: Any = blake2b(digest_size=16)
        self._has_begun = False

    def copy(self) -> Conversation:
        """The same, to continue in another way."""
        new = Conversation.__new__(Conversation)
        new._hasher, new._has_begun = self._hasher.copy(), self._has_begun
        return new

    def take(self, entry: Entry) -> None:
        """Take in the next entry."""
        if entry.role == "system":
            if not self._has_begun:
                self._hasher.update(_DIGITS.sub(b"0", entry.canonical))
            return
        self._has_begun = True
        if not entry.says_nothing:
            self._hasher.update(entry.digest)

    @property
    def digest(self) -> bytes:
        """The digest of all that was taken in."""
        done: bytes = self._hasher.digest()
        return done


class Prefixes:
    """The digests of a conversation at each place of a request, worked out when asked for.

    Args:
        entries: of the request.
        start: how many of them `begun` has taken in.
        begun: the conversation up to there.
    """

    def __init__(self, entries: Sequence[Entry], start: int, begun: Conversation) -> None:
        self._entries = entries
        self._start = start
        self._known = [begun]
        self._earlier: Prefixes | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def before(self, place: int) -> Conversation:
        """The conversation before an entry; it must be copied before it takes in more."""
        if place < self._start:
            self._earlier = self._earlier or Prefixes(self._entries, 0, Conversation())
            return self._earlier.before(place)
        while len(self._known) <= place - self._start:
            new = self._known[-1].copy()
            new.take(self._entries[self._start + len(self._known) - 1])
            self._known.append(new)
        return self._known[place - self._start]

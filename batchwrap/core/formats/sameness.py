"""Decides whether two requests contain the same conversation, by a digest of it.

Agents do not repeat a conversation byte for byte: a cache mark moves, a text becomes a list of
parts, arguments are spaced in another way, ids are shortened. It is still the same conversation.
The digest covers what was said, by whom, and which calls were made (`Entry.canonical`).

A system prompt may contain a clock or a counter, so its digits are ignored. A later system message
is a note of the agent's own, which may be at another place in the next request, and so may an empty
assistant message. Both are ignored.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from batchwrap.core.formats.entries import Entry

_DIGITS = re.compile(rb"[0-9]+")
_END = b"\n"  # JSON contains no raw newline, so no entry can be read as a part of the next one


class Conversation:
    """The digest of a conversation up to one entry. Benign changes do not change it."""

    __slots__ = ("_beginning", "_has_begun", "_hasher")

    def __init__(self) -> None:
        self._hasher: Any = blake2b(digest_size=16)
        self._has_begun = False
        self._beginning: bytes | None = None  # once the model has spoken

    def copy(self) -> Conversation:
        """A copy that can be continued independently."""
        new = Conversation.__new__(Conversation)
        new._hasher, new._has_begun = self._hasher.copy(), self._has_begun
        new._beginning = self._beginning
        return new

    def take(self, entry: Entry) -> None:
        """Add the next entry."""
        role = entry.role
        if role == "system":
            if not self._has_begun:
                self._hasher.update(_DIGITS.sub(b"0", entry.canonical))
            return
        self._has_begun = True
        if role == "model" and self._beginning is None:
            self._beginning = self.digest
        if role == "model" and entry.says_nothing:
            return
        self._hasher.update(entry.canonical)
        self._hasher.update(_END)

    @property
    def digest(self) -> bytes:
        """The digest of all added entries."""
        done: bytes = self._hasher.digest()
        return done

    @property
    def beginning(self) -> bytes:
        """The digest of what came before the model's first entry, which names the conversation."""
        return self.digest if self._beginning is None else self._beginning


class Prefixes:
    """The digests of a conversation before each entry of a request, computed on demand.

    Args:
        entries: the entries of the request.
        start: how many of them are in `begun`.
        begun: the conversation up to there.
    """

    def __init__(self, entries: Sequence[Entry], start: int, begun: Conversation) -> None:
        self._entries = entries
        self._places = [start]
        self._known = [begun]  # the conversation before each of these places
        self._earlier: Prefixes | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def before(self, place: int) -> Conversation:
        """The conversation before an entry. Copy it before adding to it."""
        # `begun` holds only the digest at `start`: an earlier one is computed from the beginning.
        nearest = bisect_right(self._places, place) - 1
        if nearest < 0:
            self._earlier = self._earlier or Prefixes(self._entries, 0, Conversation())
            return self._earlier.before(place)
        begun, known = self._places[nearest], self._known[nearest]
        if begun == place:
            return known
        new = known.copy()
        for entry in self._entries[begun:place]:
            new.take(entry)
        self._places.insert(nearest + 1, place)
        self._known.insert(nearest + 1, new)
        return new

"""Finds out whether a conversation has mentioned a name before a certain entry.

Coalescing needs this: a path that was not mentioned before cannot have been read in one batch with
an earlier call. A name that was never mentioned is searched for in all texts, once for each new
turn. So the texts are joined into few large blocks, on demand, and each block is searched at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchwrap.core.formats.entries import Entry

_AT_ONCE = 64  # entries that are added to the blocks before the next search


class Mentions:
    """Searches the texts of entries, including the arguments of their calls.

    Args:
        entries: the conversation, which may grow at its end.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._ends: list[int] = []  # where each added entry ends, in characters
        self._blocks: list[tuple[int, str]] = []  # where each block begins, and its text

    def has(self, name: str, upto: int | None = None) -> bool:
        """Whether a name occurs in the entries before the index `upto`; None for all entries."""
        upto = len(self.entries) if upto is None else min(upto, len(self.entries))
        searched = 0
        while True:
            taken = min(upto, len(self._ends))
            end = self._ends[taken - 1] if taken else 0
            if any(self._found(name, block, searched, end) for block in self._blocks):
                return True
            if taken == upto:
                return False
            searched = end
            for entry in self.entries[taken : min(upto, taken + _AT_ONCE)]:
                self._take(entry)

    @staticmethod
    def _found(name: str, block: tuple[int, str], after: int, end: int) -> bool:
        """Whether a block contains a name between two positions of the conversation."""
        start, text = block
        if start + len(text) <= after or start >= end:
            return False
        return text.find(name, max(0, after - start), end - start) >= 0

    def _take(self, entry: Entry) -> None:
        """Add an entry. Blocks of similar size are merged, so that there are only few of them."""
        text = "\n".join([*texts_of(entry), ""])
        start = self._ends[-1] if self._ends else 0
        self._ends.append(start + len(text))
        while self._blocks and len(self._blocks[-1][1]) <= len(text):
            start, before = self._blocks.pop()
            text = before + text
        self._blocks.append((start, text))


def texts_of(entry: Entry) -> Iterator[str]:
    """The texts of an entry, and the arguments of its calls."""
    yield from entry.texts()
    for call in entry.calls:
        yield call.arguments

"""What a conversation has mentioned: whether a name stood in its texts before a place.

A name that nobody mentioned is looked for in all of them, once for each turn that is new. So the
texts are put together into few large ones as they are needed, and each is searched at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchwrap.core.formats.entries import Entry

_AT_ONCE = 64  # entries that are taken in before the next look


class Mentions:
    """The texts of entries, the arguments of their calls among them.

    Args:
        entries: the conversation, which may grow at its end.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._ends: list[int] = []  # of the entries that were taken in, in characters
        self._blocks: list[tuple[int, str]] = []  # where each begins, and its text

    def has(self, name: str, upto: int | None = None) -> bool:
        """Whether a name stands in the first entries; None: in any."""
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
        start, text = block
        if start + len(text) <= after or start >= end:
            return False
        return text.find(name, max(0, after - start), end - start) >= 0

    def _take(self, entry: Entry) -> None:
        """Take in one more entry; blocks of like size become one, so that they stay few."""
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

"""Counting texts with a tokenizer table: each text once, and never for long.

What is remembered of a text is its hash and its count, so the memory stays small however
long the texts are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchwrap._forks import ForkSafeLock
from batchwrap.encodings import EncodingName, load

# A tokenizer may take time by the square on one long run of letters or spaces (tiktoken 0.9
# does), or overflow its stack. In pieces of so many characters any text takes linear time;
# a cut costs a token or so.
_PIECE = 4_096
# So many pieces take 20-40 ms. Of a longer text a part of them stands for the whole.
_MOST_PIECES = 64
# Two generations of so many texts at about 120 bytes each: 4 MB at most.
_MOST_TEXTS = 16_384


def count_text(text: str, encoding: EncodingName) -> int:
    """Tokens of a text; above 260,000 characters by samples from all over it."""
    starts = range(0, len(text), _PIECE)
    step = max(1, -(-len(starts) // _MOST_PIECES))
    pieces = [text[start : start + _PIECE] for start in starts[::step]]
    table = load(encoding)
    counted = sum(len(table.encode_ordinary(piece)) for piece in pieces)
    return counted if step == 1 else round(counted * len(text) / sum(map(len, pieces)))


class Counts:
    """The counts of texts that were met before, for one encoding. Safe to share by threads.

    Args:
        encoding: the table to count with.
        most: texts in one generation; the texts of the last two are remembered.
    """

    def __init__(self, encoding: EncodingName, most: int = _MOST_TEXTS) -> None:
        self._encoding = encoding
        self._most = most
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        # Not a plain lock: the garbage collector may run anything while this thread is in here.
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def total(self, texts: Sequence[str]) -> int:
        """Tokens of all these texts together."""
        keys = list(map(hash, texts))
        try:
            # The usual case, a conversation known to its end, without a step in Python.
            return sum(map(self._young.__getitem__, keys))
        except KeyError:
            return sum(map(self._of_text, keys, texts))

    def of(self, key: int, make_text: Callable[[], str]) -> int:
        """Tokens of the text that `make_text` gives; it is only asked if `key` is not known."""
        count = self._young.get(key)
        if count is not None:
            return count
        count = self._old.get(key)
        if count is None:
            count = count_text(make_text(), self._encoding)
        with self._lock:
            if len(self._young) >= self._most:
                self._old, self._young = self._young, {}
            self._young[key] = count
        return count

    def _of_text(self, key: int, text: str) -> int:
        return self.of(key, lambda: text)

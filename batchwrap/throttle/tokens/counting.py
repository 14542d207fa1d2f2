"""Counts the tokens of texts: each text once, and in bounded time.

Only the hash and the count of a text are remembered, so the memory stays small for long texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchwrap._forks import ForkSafeLock
from batchwrap.encodings import EncodingName, load

# A tokenizer may need quadratic time for one long run of letters or spaces (tiktoken 0.9 does), or
# overflow its stack. In pieces of this many characters any text takes linear time; each cut adds
# about a token.
_PIECE = 4_096
# This many pieces take 20-40 ms. A longer text is estimated from a sample of its pieces.
_MOST_PIECES = 64
# Two generations of this many texts, at about 120 bytes each, take 4 MB at most.
_MOST_TEXTS = 16_384


def count_text(text: str, encoding: EncodingName) -> int:
    """The tokens of a text; above 260,000 characters estimated from samples of all its parts."""
    starts = range(0, len(text), _PIECE)
    step = max(1, -(-len(starts) // _MOST_PIECES))
    pieces = [text[start : start + _PIECE] for start in starts[::step]]
    table = load(encoding)
    counted = sum(len(table.encode_ordinary(piece)) for piece in pieces)
    return counted if step == 1 else round(counted * len(text) / sum(map(len, pieces)))


class Counts:
    """Remembers the counts of texts, for one encoding. Thread-safe.

    Args:
        encoding: the encoding to count with.
        most: texts in one generation; the last two generations are remembered.
    """

    def __init__(self, encoding: EncodingName, most: int = _MOST_TEXTS) -> None:
        self._encoding = encoding
        self._most = most
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        # Not a plain lock, since the garbage collector may run a finaliser that counts, too.
        self._lock = ForkSafeLock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def total(self, texts: Sequence[str]) -> int:
        """The total tokens of these texts."""
        keys = list(map(hash, texts))
        try:
            # Mostly all texts are known; then no Python code runs for each of them.
            return sum(map(self._young.__getitem__, keys))
        except KeyError:
            return sum(map(self._of_text, keys, texts))

    def of(self, key: int, make_text: Callable[[], str]) -> int:
        """The tokens of the text that `make_text` returns; called only if `key` is unknown."""
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

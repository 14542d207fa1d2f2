"""A text that arrives in pieces.

``text += piece`` on an attribute copies everything that came before, so the cost of a long answer
in small pieces grows with the square of its length. Here each piece costs only its own length.
"""

from __future__ import annotations

# Pieces are joined in groups of this size: a small string needs fifty bytes beyond its characters.
_PIECES_AT_ONCE = 1_024


class Growing:
    """A text that grows at its end.

    Args:
        text: the first piece.
    """

    __slots__ = ("_joined", "_length", "_pieces")

    def __init__(self, text: str = "") -> None:
        self._joined: list[str] = []
        self._pieces: list[str] = [text] if text else []
        self._length = len(text)

    def __len__(self) -> int:
        return self._length

    def add(self, piece: str) -> None:
        """Add a piece at the end."""
        self._pieces.append(piece)
        self._length += len(piece)
        if len(self._pieces) == _PIECES_AT_ONCE:
            self._joined.append("".join(self._pieces))
            self._pieces.clear()

    @property
    def text(self) -> str:
        """The whole text. Reading it after each piece would cost the copies that this avoids."""
        if not self._joined and len(self._pieces) == 1:
            return self._pieces[0]
        whole = "".join([*self._joined, *self._pieces])
        self._joined, self._pieces = [], [whole]
        return whole

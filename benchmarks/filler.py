"""Texts that stand for so many tokens, without being that long.

``~250~`` in a text stands for 250 tokens, and `FillerTokens` counts it so. All counts are
those of the recording, while the bodies that travel stay small: batchwrap's work and the
round trips do not depend on how long a text is. `spelled_out` gives the texts their full
length, to show that.
"""

from __future__ import annotations

import re
from typing import Any

from batchwrap.lab.tokenizing import Tokens

_FILLER = re.compile(r"~(\d+)~")
_WORD = " x"  # one token, alone and repeated


class FillerTokens(Tokens):
    """Counts like the lab, with the filler counted as what it stands for."""

    def _count(self, text: str) -> int:
        stood_for = sum(int(amount) for amount in _FILLER.findall(text))
        return super()._count(_FILLER.sub("", text)) + stood_for

    def padded(self, text: str, size: int) -> str:
        """The text with so much filler behind it that it counts `size` tokens."""
        missing = size - self.count(text)
        return f"{text}~{missing}~" if missing > 0 else text


def spelled_out(value: Any) -> Any:
    """A JSON value with all filler in its texts at full length."""
    if isinstance(value, str):
        return _FILLER.sub(lambda found: _WORD * int(found[1]), value)
    if isinstance(value, list):
        return [spelled_out(part) for part in value]
    if isinstance(value, dict):
        return {key: spelled_out(part) for key, part in value.items()}
    return value

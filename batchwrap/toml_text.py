"""Reads TOML that somebody else has written, in a bounded time."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MAX_BYTES = 1_000_000
# The parser's time grows with the square of the length of a dotted key. Options have three parts.
MAX_DOTS = 100
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def parsed(text: str) -> dict[str, Any]:
    """The table that a text holds.

    Raises:
        ValueError: it is too large, is not TOML, or is nested too deeply.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    if any(map(_has_many_dots, text.splitlines())):
        raise ValueError(f"a line has more than {MAX_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _has_many_dots(line: str) -> bool:
    """Whether a line has many dots outside of texts."""
    return line.count(".") > MAX_DOTS and _QUOTED.sub("", line).count(".") > MAX_DOTS

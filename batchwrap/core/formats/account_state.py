"""What ties a request to one account: files and the like, which only that account has."""

from __future__ import annotations

from collections.abc import Container
from typing import Any


def names_any(value: object, names: Container[str], *, beside: Container[str] = ()) -> bool:
    """Whether a field of one of these names has a value, at any depth.

    Args:
        value: where to look. No recursion: it may be nested deeply.
        names: of the fields.
        beside: fields whose content is not looked at, as the agent's own words may stand there.
    """
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            if any(name in names and content for name, content in one.items()):
                return True
            waiting.extend(content for name, content in one.items() if name not in beside)
    return False

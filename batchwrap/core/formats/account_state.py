"""Finds what ties a request to one account: ids of files and other state of that account.

If the keys of several accounts are pooled, such a request must keep its own key (`Format.is_kept`).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any


def names_any(value: object, names: Container[str], *, beside: Container[str] = ()) -> bool:
    """Whether a field with one of these names has a value, at any depth.

    Args:
        value: the JSON value to search.
        names: the names of the fields.
        beside: fields whose content is not searched, because it is the agent's own data.
    """
    # A list instead of recursion: a request may be nested more deeply than Python's stack allows.
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

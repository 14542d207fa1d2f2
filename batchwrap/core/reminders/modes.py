"""How an agent's mode shows in a conversation. What a file says must not be able to switch it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from batchwrap.core.formats import chat
from batchwrap.directives import Marker


def marker_in(
    message: chat.Message, markers: Sequence[Marker], tool: str | None = None
) -> Marker | None:
    """The last marker in a message; None if it has none.

    Args:
        message: any message.
        markers: what to look for.
        tool: the tool whose result it is, if it is one and that is known.
    """
    role = message.get("role")
    if role == "tool":
        fitting = [marker for marker in markers if marker.tool is not None and marker.tool == tool]
    elif role in ("user", "system", "developer"):
        fitting = [marker for marker in markers if marker.tool is None]
    else:
        fitting = []
    last = None
    for text in chat.texts(message.get("content")) if fitting else ():
        found = max(_found(text, fitting), key=lambda place: place[0], default=None)
        last = found[1] if found else last
    return last


def _found(text: str, markers: Sequence[Marker]) -> Iterator[tuple[int, Marker]]:
    for marker in markers:
        for match in re.finditer(marker.pattern, text):
            yield match.start(), marker

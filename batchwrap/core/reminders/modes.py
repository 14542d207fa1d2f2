"""How an agent's mode shows in a conversation. What a file says must not be able to switch it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from batchwrap.core.formats.entries import Entry
from batchwrap.directives import Marker


def marker_in(entry: Entry, markers: Sequence[Marker], tool: str | None = None) -> Marker | None:
    """The last marker in an entry; None if it has none.

    Args:
        entry: any entry.
        markers: what to look for.
        tool: the tool whose result it is, if it is one and that is known.
    """
    if entry.role == "result":
        fitting = [marker for marker in markers if marker.tool is not None and marker.tool == tool]
    elif entry.role in ("user", "system"):
        fitting = [marker for marker in markers if marker.tool is None]
    else:
        fitting = []
    last = None
    for text in entry.texts() if fitting else ():
        found = max(_found(text, fitting), key=lambda place: place[0], default=None)
        last = found[1] if found else last
    return last


def _found(text: str, markers: Sequence[Marker]) -> Iterator[tuple[int, Marker]]:
    for marker in markers:
        for match in re.finditer(marker.pattern, text):
            yield match.start(), marker

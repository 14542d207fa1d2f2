"""Reads an agent's mode (planning or building) from the markers in a conversation.

A marker counts only in messages of the user or the system, or in the result of the marker's own
tool. So the contents of a file, in the result of any other tool, cannot switch the mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from batchwrap.core.formats.entries import Entry
from batchwrap.directives import Marker


def marker_in(entry: Entry, markers: Sequence[Marker], tool: str | None = None) -> Marker | None:
    """The last marker in an entry; None if it has none.

    Args:
        entry: any entry.
        markers: the markers to search for.
        tool: for a result, the name of its tool; None if that is unknown.
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

"""Where a reminder stands: in the entry before it, or as one of its own."""

from __future__ import annotations

from collections.abc import Set

from batchwrap.core.formats.entries import Entry
from batchwrap.core.model import Refused
from batchwrap.options import Placement


def place(entry: Entry, text: str, placement: Placement, refused: Set[Refused]) -> list[Entry]:
    """The entry with a text at its end, or followed by one that says it.

    Args:
        entry: the user's, or a result, that the model answers next.
        text: the reminder.
        placement: what the user wants.
        refused: orders of messages that the model does not take; there it is appended.
    """
    orders: dict[Placement, Refused] = {
        "user": "user_after_tool" if entry.role == "result" else "user_after_user",
        "system": "late_system",
    }
    if placement == "append" or orders[placement] in refused or not entry.takes_beside(placement):
        return [entry.with_text(text)]
    return [entry, entry.beside(placement, text)]

"""Places a reminder: at the end of the preceding entry, or in a new entry after it."""

from __future__ import annotations

from collections.abc import Set

from batchwrap.core.formats.entries import Entry
from batchwrap.core.model import Refused
from batchwrap.options import Placement


def place(entry: Entry, text: str, placement: Placement, refused: Set[Refused]) -> list[Entry]:
    """The entry with a text at its end, or followed by a new entry with the text.

    Args:
        entry: the entry that the model answers next.
        text: the reminder.
        placement: the user's choice.
        refused: orders of messages that the model refuses; the text is then appended.
    """
    orders: dict[Placement, Refused] = {
        "user": "user_after_tool" if entry.role == "result" else "user_after_user",
        "system": "late_system",
    }
    if placement == "append" or orders[placement] in refused or not entry.takes_beside(placement):
        return [entry.with_text(text)]
    return [entry, entry.beside(placement, text)]

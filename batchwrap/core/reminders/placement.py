"""Places a reminder: at the end of the preceding entry, or in a new entry after it."""

from __future__ import annotations

from collections.abc import Sequence, Set

from batchwrap.core.formats.entries import Entry
from batchwrap.core.model import Order
from batchwrap.options import Placement


def place(entry: Entry, text: str, placement: Placement, avoided: Set[Order]) -> list[Entry]:
    """The entry with a text at its end, or followed by a new entry with the text.

    Args:
        entry: the entry that the model answers next.
        text: the reminder.
        placement: the user's choice.
        avoided: places where the model takes no message of its own; the text is then appended.
    """
    if placement == "append" or not entry.takes_beside(placement):
        return [entry.with_text(text)]
    after_user, after_result = orders_of(placement)
    if (after_result if entry.role == "result" else after_user) in avoided:
        return [entry.with_text(text)]
    return [entry, entry.beside(placement, text)]


def orders_of(placement: Placement) -> Sequence[Order]:
    """Where messages of this placement stand: after one of the user's, and after a result."""
    orders: dict[Placement, Sequence[Order]] = {
        "append": (),
        "user": ("user_after_user", "user_after_tool"),
        "system": ("late_system", "late_system"),
    }
    return orders[placement]

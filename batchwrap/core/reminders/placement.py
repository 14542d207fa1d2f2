"""Where a reminder stands: in the message before it, or as one of its own."""

from __future__ import annotations

from collections.abc import Set

from batchwrap.core.formats import chat
from batchwrap.core.model import Refused
from batchwrap.options import Placement


def takes(message: chat.Message) -> bool:
    """Whether a reminder may stand at the end of a message, or after it."""
    content = message.get("content")
    return message.get("role") in ("user", "tool") and (
        content is None or isinstance(content, (str, list))
    )


def place(
    message: chat.Message, text: str, placement: Placement, refused: Set[Refused]
) -> list[chat.Message]:
    """The message with a text at its end, or followed by a message that says it.

    Args:
        message: the user or tool message that the model answers next.
        text: the reminder.
        placement: what the user wants.
        refused: orders of messages that the model does not take; there it is appended.
    """
    after_tool = message.get("role") == "tool"
    orders: dict[Placement, Refused] = {
        "user": "user_after_tool" if after_tool else "user_after_user",
        "system": "late_system",
    }
    if placement == "append" or orders[placement] in refused:
        return [chat.with_text(message, text)]
    return [message, {"role": placement, "content": text}]

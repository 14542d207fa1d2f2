"""What is known of a model by its name, before it has said anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Messages of our own that a chat template or an API does not take: a user message right
# after a tool's result or another user message, a system message that is not the first.
Refused = Literal["user_after_tool", "user_after_user", "late_system"]


@dataclass(frozen=True, slots=True)
class Model:
    """Facts about one model.

    Attributes:
        thinks: whether it reasons before it answers unless a request says otherwise.
        refuses: orders of messages that it does not take.
    """

    thinks: bool = False
    refuses: frozenset[Refused] = frozenset()


UNKNOWN_MODEL = Model()

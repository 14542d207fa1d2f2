"""The facts about a model that are known by its name, before its first answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Messages of ours that a chat template or an API refuses: a user message directly after a tool's
# result or another user message, and a system message that is not the first one.
Refused = Literal["user_after_tool", "user_after_user", "late_system"]


@dataclass(frozen=True, slots=True)
class Model:
    """Facts about one model.

    Attributes:
        thinks: whether it reasons before it answers, unless a request says otherwise.
        refuses: the orders of messages that it refuses.
    """

    thinks: bool = False
    refuses: frozenset[Refused] = frozenset()


UNKNOWN_MODEL = Model()

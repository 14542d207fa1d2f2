"""The facts about a model that are known by its name, before its first answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Places where a reminder can be a message of its own: as the user's, directly after a tool's result
# or after another message of the user's; as the system's, where it is not the first message.
Order = Literal["user_after_tool", "user_after_user", "late_system"]
# What happens there: the request is refused; the chat template leaves the message out; it writes
# what stands before the message in another way, so that the prompt cache is lost; or it drops the
# reasoning of the turn that still goes on.
Effect = Literal["refused", "dropped", "reasoning", "prefix"]


@dataclass(frozen=True, slots=True)
class Model:
    """Facts about one model.

    Attributes:
        thinks: whether it reasons before it answers, unless a request says otherwise.
        unsupported: places where a reminder cannot be a message of its own, and what happens
            to one there.
    """

    thinks: bool = False
    unsupported: Mapping[Order, Effect] = field(default_factory=dict)


UNKNOWN_MODEL = Model()

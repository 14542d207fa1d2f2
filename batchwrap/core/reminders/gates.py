"""What a reminder may rest on besides the conversation, and when that holds one back."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.recent import Recent
from batchwrap.directives import Mode


@dataclass(frozen=True, slots=True)
class Facts:
    """What was known when the model was asked at one place of a conversation.

    Attributes:
        mode: the mode that was told from outside; None: none was.
        thinks: whether the model thinks before it answers.
        slow: whether it was measured to generate below `Reminders.min_tokens_per_s`.
    """

    mode: Mode | None = None
    thinks: bool = False
    slow: bool = False


@dataclass(slots=True)
class Places:
    """The facts at each place of a conversation where the model was asked.

    A place is told by the digest of what was said before it. What was decided there with
    facts that no message shows is decided in the same way in every later request.

    Args:
        now: the facts of this request.
        kept: the facts of earlier ones, by place; one that is not there had none that
            count, but for thinking, which rarely changes within a conversation.
        is_fixed: whether the facts of this request hold at every place.

    Attributes:
        is_new: whether nothing was asked before at the end of this request's messages.
    """

    now: Facts = field(default_factory=Facts)
    kept: Recent[bytes, Facts] = field(default_factory=lambda: Recent(1))
    is_fixed: bool = False
    is_new: bool = False

    def at(self, place: bytes, *, is_last: bool) -> Facts:
        """The facts at a place; those at the last one are this request's."""
        known = self.kept.get(place)
        if not is_last and self.is_fixed:
            return self.now
        if not is_last:
            return known or Facts(thinks=self.now.thinks)
        self.is_new = known is None
        self.kept.put(place, self.now)
        return self.now

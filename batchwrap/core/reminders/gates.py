"""Remembers the facts outside of a conversation that decided about its reminders.

Such a fact (a mode that was set in code, a measured speed) may change between two requests. An
earlier reminder must not change with it, since the prompt prefix has to stay the same. So the facts
at each place are recorded, and used again in every later request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.recent import Recent
from batchwrap.directives import Mode


@dataclass(frozen=True, slots=True)
class Facts:
    """What was known when the model was asked at one place of a conversation.

    Attributes:
        mode: the mode that the user's code has set; None if it has set none.
        thinks: whether the model thinks before it answers.
        slow: whether its measured speed is below `Reminders.min_tokens_per_s`.
    """

    mode: Mode | None = None
    thinks: bool = False
    slow: bool = False


@dataclass(slots=True)
class Places:
    """The facts at each place of a conversation where the model was asked.

    A place is identified by the digest of the conversation before it.

    Args:
        prefixes: the digests of the conversation at each place, in the agent view.
        now: the facts of this request.
        kept: the facts of earlier requests, by place.
        unknown: the facts at a place that is not there: none except for thinking, which rarely
            changes within a conversation.
        fixed_from: the place from which on the facts of this request hold; None for its end only.

    Attributes:
        is_new: whether this is the first request that ends at its place.
    """

    prefixes: Prefixes
    now: Facts = field(default_factory=Facts)
    kept: Recent[bytes, Facts] = field(default_factory=lambda: Recent(1))
    unknown: Facts = field(default_factory=Facts)
    fixed_from: int | None = None
    is_new: bool = False

    def at(self, place: int, *, is_last: bool) -> Facts:
        """The facts at a place, before an entry. At the last place they are those of this request.

        Args:
            place: the number of entries before it, in the agent view.
            is_last: whether the conversation ends there.
        """
        is_fixed = self.fixed_from is not None and place >= self.fixed_from
        if not is_last and is_fixed:  # signed thinking: the view must not depend on memory
            return self.now
        digest = self.prefixes.before(place).digest
        known = self.kept.get(digest)
        if not is_last:
            return known or self.unknown
        self.is_new = known is None
        self.kept.put(digest, self.now)
        return self.now

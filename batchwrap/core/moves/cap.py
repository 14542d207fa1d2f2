"""How many items a batch may have: less where edits fail in batches, less as the room shrinks.

The error rate of batched edits is held against that of single ones. A rate above halves the
cap, a batch without an error lets it grow by one (additive increase, multiplicative
decrease).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import results
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import MultiTool

LEAST = 2
# Batched edits that must be seen before their rate says anything.
_ENOUGH = 6
# Tokens for each item of a batch that the room in the context must have: a long file, and
# the answer to it.
_ROOM_PER_ITEM = 4_000
# Good enough to tell how full a context is; the limits count with a real tokenizer.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the edits of one call turned out; items is 1 for a single call."""

    is_batch: bool
    items: int
    failed: int


@dataclass(slots=True)
class Cap:
    """The cap of one model, or of one conversation.

    Attributes:
        ceiling: what the user allows.
        most: items that a batch may have now.
    """

    ceiling: int
    most: int
    _batched: tuple[int, int] = (0, 0)  # edits, and how many of them failed
    _single: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, ceiling: int) -> Cap:
        """A cap of which nothing is known yet."""
        return cls(ceiling, ceiling)

    def copy(self) -> Cap:
        """The same, for what may turn out otherwise."""
        return replace(self)

    def take(self, outcome: Outcome) -> None:
        """Take note of how some edits turned out."""
        if not outcome.is_batch:
            self._single = self._single[0] + 1, self._single[1] + outcome.failed
            return
        edits, failed = self._batched[0] + outcome.items, self._batched[1] + outcome.failed
        self._batched = edits, failed
        # One more of each, one of them failed: nothing is known of no edits at all.
        single = (self._single[1] + 1) / (self._single[0] + 10)
        if outcome.failed and edits >= _ENOUGH and failed / edits > single:
            self.most, self._batched = max(LEAST, self.most // 2), (0, 0)
        elif not outcome.failed:
            self.most = min(self.ceiling, self.most + 1)


def outcome(
    calls: Mapping[str, Call],
    answer: Entry,
    multis: Mapping[str, MultiTool],
    singles: Mapping[str, SingleTool],
    failed: Callable[[str], bool],
) -> Outcome | None:
    """How the edits turned out that a result in the provider view answers; None: it answers none.

    Args:
        calls: of the turn, by id.
        answer: the result.
        multis: the multi-tools, by name.
        singles: the tools that they run, by name.
        failed: whether a result's text reads as failed.
    """
    call = calls.get(answer.call_id or "")
    if call is None:
        return None
    name = call.function
    multi = multis.get(name)
    if multi is None:
        is_edit = _changes(singles.get(name))
        return Outcome(False, 1, int(failed(answer.text))) if is_edit else None
    if not any(map(_changes, multi.tools.values())):
        return None
    listed = results.split(answer.text)
    ran = [result for tool, result in listed if _changes(singles.get(tool))]
    return Outcome(True, len(ran), sum(map(failed, ran))) if len(ran) > 1 else None


def by_room(most: int, room: int | None) -> int:
    """The cap where so many tokens are left in the context; None: nobody knows."""
    return most if room is None else max(LEAST, min(most, room // _ROOM_PER_ITEM))


def tokens_of(text: str) -> int:
    """A rough estimate of the tokens of a text."""
    return len(text) // _CHARACTERS_PER_TOKEN


def tokens_in(entry: Entry) -> int:
    """A rough estimate of what an entry takes up, in tokens."""
    said = sum(map(tokens_of, entry.texts()))
    return said + sum(tokens_of(call.arguments) for call in entry.calls)


def _changes(tool: SingleTool | None) -> bool:
    return tool is not None and tool.kind in ("edit", "write")

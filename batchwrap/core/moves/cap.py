"""The cap: how many items a batch may have.

It falls if a model's edits fail more often in batches, and as the room in the context shrinks. The
error rate of batched edits is compared with that of single edits: a higher rate halves the cap, and
each batch without an error raises it by one (additive increase, multiplicative decrease).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import results
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import MultiTool

LEAST = 2
# With fewer batched edits their error rate is too uncertain to halve the cap.
_ENOUGH = 6
# The tokens of free context for each item of a batch: a long file, and the answer to it.
_ROOM_PER_ITEM = 4_000
# Accurate enough to estimate how full a context is. The limits are counted with a tokenizer.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of the edits of one call.

    Attributes:
        is_batch: whether it was a multi-call.
        items: how many edits it had; 1 for a single call.
        failed: how many of them failed.
    """

    is_batch: bool
    items: int
    failed: int


@dataclass(slots=True)
class Cap:
    """The cap of one model, or of one conversation.

    Attributes:
        ceiling: the number of items that the user allows.
        most: the number of items that a batch may have now.
    """

    ceiling: int
    most: int
    _batched: tuple[int, int] = (0, 0)  # the number of edits, and how many of them failed
    _single: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, ceiling: int) -> Cap:
        """A new cap, before any outcome is known."""
        return cls(ceiling, ceiling)

    def copy(self) -> Cap:
        """A copy that can change independently."""
        return Cap(self.ceiling, self.most, self._batched, self._single)

    def take(self, outcome: Outcome) -> None:
        """Record the outcome of the edits of one call."""
        if not outcome.is_batch:
            self._single = self._single[0] + 1, self._single[1] + outcome.failed
            return
        edits, failed = self._batched[0] + outcome.items, self._batched[1] + outcome.failed
        self._batched = edits, failed
        # As if one of ten more single edits had failed: without any, their rate is not known to
        # be 0. Otherwise one failure in a batch would be enough to halve the cap.
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
    """The outcome of the edits that a result in the provider view answers.

    Args:
        calls: the calls of the turn, by id.
        answer: the result.
        multis: the multi-tools, by name.
        singles: the tools that they run, by name.
        failed: whether the text of a result reports a failure.

    Returns:
        None if the result answers no edits.
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
    """The cap for a context with this many free tokens; `room` is None if that is unknown."""
    return most if room is None else max(LEAST, min(most, room // _ROOM_PER_ITEM))


def tokens_of(text: str) -> int:
    """A rough estimate of the tokens of a text."""
    return len(text) // _CHARACTERS_PER_TOKEN


def tokens_in(entry: Entry) -> int:
    """A rough estimate of the tokens of an entry's texts and arguments."""
    said = sum(map(tokens_of, entry.texts()))
    return said + sum(tokens_of(call.arguments) for call in entry.calls)


def _changes(tool: SingleTool | None) -> bool:
    return tool is not None and tool.kind in ("edit", "write")

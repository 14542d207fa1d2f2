"""Turns snapshots into deltas: texts of a stream that each repeat everything before them.

Some gateways send snapshots (https://github.com/team-telnyx/ai/issues/252). From the second delta
on, texts are held while each begins with the one before it, until it is certain that they are
snapshots. In a healthy stream the second text already differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats import chat

Choice = dict[str, Any]
_HELD_AT_MOST = 64  # deltas; then it is decided by what has arrived
# (times that the text grew, its length in characters) from which deltas count as snapshots: in the
# middle of an answer, and at its end. A text of fewer different characters may be a line that grows
# ("=", "==", "====").
_IN_THE_MIDDLE, _AT_THE_END, _SIGNS = (3, 20), (2, 8), 4


@dataclass(slots=True)
class _Text:
    """One text of the choice.

    Attributes:
        last: the last text, read as a snapshot.
        done: what has gone out, once the texts are known to be snapshots.
        grown: how often a text was longer than the one before.
        is_snapshots: whether the texts are snapshots; None while that is undecided.
    """

    last: str = ""
    done: str = ""
    grown: int = 0
    is_snapshots: bool | None = None

    def continues(self, text: str) -> bool:
        """Whether a text may be the next snapshot. If so, it is recorded."""
        if not text.startswith(self.last):
            return False
        self.grown += len(text) > len(self.last)
        self.last = text
        return True

    def convinces(self, grown: int, characters: int) -> bool:
        """Whether the texts so far are certainly snapshots."""
        is_text = len(self.last) >= characters and len(set(self.last)) >= _SIGNS
        return self.grown >= grown and is_text

    def new_in(self, text: str) -> str:
        """The new part of a snapshot; an older one that arrives late has none."""
        if text.startswith(self.done):
            new, self.done = text[len(self.done) :], text
            return new
        if self.done.startswith(text):
            return ""
        self.done += text
        return text


class TextSnapshots:
    """Converts the snapshots of one choice into deltas, if the texts are snapshots.

    Attributes:
        held: choices that are held until it is decided.

    Args:
        count: called once for each text that turns out to be snapshots.
    """

    def __init__(self, count: Callable[[], None]) -> None:
        self.held: list[Choice] = []
        self._count = count
        self._texts = {key: _Text() for key in chat.TEXTS}
        self._key = chat.TEXTS[0]

    def feed(self, choice: Choice) -> list[Choice]:
        """The choices to continue with for one that arrived."""
        key, text = _text_of(choice)
        before = self.finish() if text and key != self._key else []
        self._key = key if text else self._key
        return [*before, *self._next(choice, self._texts[self._key], text)]

    def passes(self, key: str) -> bool:
        """Whether a choice that holds nothing but a piece passes unchanged.

        Args:
            key: of the text that the piece belongs to; empty if it belongs to none.
        """
        if self.held:
            return False
        return not key or (key == self._key and self._texts[key].is_snapshots is False)

    def finish(self) -> list[Choice]:
        """The held choices, at the end of their text."""
        current = self._texts[self._key]
        if self.held and current.is_snapshots is None:
            self._decide(current, is_snapshots=current.convinces(*_AT_THE_END))
        return self._released(current)

    def _next(self, choice: Choice, current: _Text, text: str) -> list[Choice]:
        ends = bool(choice.get("finish_reason"))
        if current.is_snapshots is not None:
            return [self._cut(choice, current)]
        if not text:
            if self.held and not ends:
                self.held.append(choice)
                return []
            return [*(self.finish() if ends else ()), choice]
        if not current.last:
            current.last = current.done = text  # the first text is the same in either case
            return [choice]
        if not current.continues(text):
            self._decide(current, is_snapshots=False)
            return [*self._released(current), choice]
        self.held.append(choice)
        if current.convinces(*_IN_THE_MIDDLE):
            self._decide(current, is_snapshots=True)
        elif not ends and len(self.held) < _HELD_AT_MOST:
            return []
        return self.finish()

    def _decide(self, current: _Text, *, is_snapshots: bool) -> None:
        current.is_snapshots = is_snapshots
        if is_snapshots:
            self._count()

    def _released(self, current: _Text) -> list[Choice]:
        held, self.held = self.held, []
        return [self._cut(one, current) for one in held]

    def _cut(self, choice: Choice, current: _Text) -> Choice:
        """The choice with only the new part of its text."""
        delta = chat.part_of(choice)
        text = delta.get(self._key)
        if not current.is_snapshots or not isinstance(text, str) or not text:
            return choice
        return {**choice, "delta": {**delta, self._key: current.new_in(text)}}


def _text_of(choice: Choice) -> tuple[str, str]:
    """The key of the first text of a choice, and the text."""
    delta = chat.part_of(choice)
    found = ((key, delta.get(key)) for key in chat.TEXTS)
    return next(((key, text) for key, text in found if isinstance(text, str) and text), ("", ""))

"""Texts of a stream whose deltas each hold all that came before, and should hold what is new.

Some gateways send such snapshots. From the second delta on they are held while each begins with
the one before it, until it is certain what they are; in a healthy stream the second does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.repair.shape import TEXTS

Choice = dict[str, Any]
_HELD_AT_MOST = 64
# Deltas that grow so often, into a text of so many characters, are snapshots: in the middle of an
# answer, and at its end. Fewer different signs are no text ("=", "==", "====").
_IN_THE_MIDDLE, _AT_THE_END, _SIGNS = (3, 20), (2, 8), 4


@dataclass(slots=True)
class _Text:
    """One text of the choice.

    Attributes:
        last: what came last, as a snapshot.
        done: what has gone out, once it is known that they are snapshots.
        grown: how often one was longer than the one before.
        is_snapshots: whether it comes in snapshots; None as long as nobody knows.
    """

    last: str = ""
    done: str = ""
    grown: int = 0
    is_snapshots: bool | None = None

    def goes_on(self, text: str) -> bool:
        """Whether a text may be the next snapshot; takes note of it."""
        if not text.startswith(self.last):
            return False
        self.grown += len(text) > len(self.last)
        self.last = text
        return True

    def convinces(self, grown: int, characters: int) -> bool:
        """Whether what came is snapshots for certain."""
        is_text = len(self.last) >= characters and len(set(self.last)) >= _SIGNS
        return self.grown >= grown and is_text

    def new_in(self, text: str) -> str:
        """What is new in a snapshot; an older one that comes late has nothing new."""
        if text.startswith(self.done):
            new, self.done = text[len(self.done) :], text
            return new
        if self.done.startswith(text):
            return ""
        self.done += text
        return text


class TextSnapshots:
    """Makes deltas of the snapshots of one choice, if they are some.

    Attributes:
        held: choices that wait for what follows.

    Args:
        count: is called once for each text that comes in snapshots.
    """

    def __init__(self, count: Callable[[], None]) -> None:
        self.held: list[Choice] = []
        self._count = count
        self._texts = {key: _Text() for key in TEXTS}
        self._key = TEXTS[0]

    def feed(self, choice: Choice) -> list[Choice]:
        """The choices to go on with for one that came."""
        key, text = _text_of(choice)
        before = self.finish() if text and key != self._key else []
        self._key = key if text else self._key
        return [*before, *self._next(choice, self._texts[self._key], text)]

    def passes(self, key: str) -> bool:
        """Whether a choice that holds nothing but a piece goes through as it is.

        Args:
            key: of the text that the piece belongs to; empty: it is none of a text.
        """
        if self.held:
            return False
        return not key or (key == self._key and self._texts[key].is_snapshots is False)

    def finish(self) -> list[Choice]:
        """The choices that wait, at the end of their text."""
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
            current.last = current.done = text  # it is the same in either case
            return [choice]
        if not current.goes_on(text):
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
        """The choice with what is new in its text."""
        delta = chat.part_of(choice)
        text = delta.get(self._key)
        if not current.is_snapshots or not isinstance(text, str) or not text:
            return choice
        return {**choice, "delta": {**delta, self._key: current.new_in(text)}}


def _text_of(choice: Choice) -> tuple[str, str]:
    """The first text of a choice, after its key."""
    delta = chat.part_of(choice)
    found = ((key, delta.get(key)) for key in TEXTS)
    return next(((key, text) for key, text in found if isinstance(text, str) and text), ("", ""))

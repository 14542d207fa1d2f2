"""Turns of the model that were taken apart: what the agent got for them, and where they belong.

Bounded, safe for threads. Folding works without it (arguments are then written anew from the
items); with it the model sees its own message again to the byte. Calls that are held back live
only here: if they are forgotten, the model is told that they were not run, and asks again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call, Written
from batchwrap.core.recent import Recent

MOST_AGE_S = 24 * 3_600.0
# The numbers of the waves that stand behind the first script of a turn, behind the second, …
SCRIPT_WAVES = 1_000_000
_MOST_TURNS = 4_096
# Turns at one place of one conversation, with the same first call.
_MOST_ALIKE = 16


@dataclass(frozen=True, slots=True, repr=False)
class Placed:
    """One of the agent's calls.

    Attributes:
        written: the tool call, which may still be being written.
        wave: calls of wave 0 go out with the answer, the others when those before them
            have their results.
        kind: the kind of its tool; ``"barrier"`` for one that nobody knows.
    """

    written: Written
    wave: int
    kind: str

    @property
    def call(self) -> Call:
        """The tool call as far as it is written."""
        return self.written.call

    @property
    def call_id(self) -> str:
        """Its id."""
        return self.written.call_id


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a request must have in common with the one that a turn answers, to get what waits.

    Attributes:
        conversation: the digest of its messages.
        model: the model.
        tools: names of its tools.
        choice: its choice of tools; None where the model was free.
    """

    conversation: bytes
    model: object
    tools: Set[str]
    choice: object


@dataclass(frozen=True, slots=True, repr=False)
class WrittenScript:
    """A script of the model's. How far it has come follows from the results of its calls.

    Attributes:
        origin: the id of the model's call, as derived ids keep it.
        nonce: names it in the derived ids of its calls.
        place: how many scripts stand before it in its turn.
        code: the program; None where the call held none.
        name: the tool that the model called to run it.
        asked: a digest of the conversation that it answers, and of its model; it travels with the
            program. Empty where nothing may travel with the agent's calls.
    """

    origin: str
    nonce: str
    place: int
    code: str | None
    name: str
    asked: str

    @property
    def first_wave(self) -> int:
        """The wave of its first call, where that does not go out with the answer."""
        return self.place * SCRIPT_WAVES + 1


@dataclass(slots=True, repr=False)
class Turn:
    """All calls of one assistant message, in the order of the model.

    Attributes:
        said: the model's own calls.
        calls: the agent's calls for them; those of scripts as far as they were handed out.
        scripts: the scripts among the model's calls.
        later: ids of the calls that were handed out after the answer, wave by wave.
        counts: how many items each multi-call has, by the model's id.
        nonce: what names it in the derived ids; empty if nothing was expanded.
        notes: why items of a multi-call did not run, by the model's id and their place.
        refused: what the model is told of multi-calls of which nothing ran, by its id.
        readings: how well each multi-call was understood, with the name of its multi-tool.
        asked: the request that it answers, as far as a local answer depends on it.
        head: id, model and the like of the answer that it came with.
        usage: what that answer reported.
        room: tokens that were left in the context; None: nobody knew.
        is_over: whether the message has come to its end; else it is cut off, as far as is known.
        is_restored: whether it was not remembered, and holds no more than a history shows.
    """

    said: list[Written] = field(default_factory=list)
    calls: list[Placed] = field(default_factory=list)
    scripts: list[WrittenScript] = field(default_factory=list)
    later: list[tuple[str, ...]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    nonce: str = ""
    notes: dict[str, dict[int, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    readings: list[tuple[str, str]] = field(default_factory=list)
    asked: TurnRequest | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    usage: Any = None
    room: int | None = None
    is_over: bool = False
    is_restored: bool = False

    @property
    def malformed(self) -> bool:
        """Whether a multi-call was not understood, or not all of it."""
        return any(understood in ("in_part", "not_at_all") for _, understood in self.readings)

    @property
    def original(self) -> list[Call]:
        """The model's own calls."""
        return [written.call for written in self.said]

    def add(self, calls: Sequence[Placed], script: WrittenScript) -> None:
        """Take in calls that a script has made, before those that stand behind it."""
        known = {placed.call_id for placed in self.calls}
        behind = (script.place + 1) * SCRIPT_WAVES
        at = next((i for i, it in enumerate(self.calls) if it.wave >= behind), len(self.calls))
        self.calls[at:at] = [placed for placed in calls if placed.call_id not in known]

    def hand_out(self, wave: tuple[str, ...]) -> None:
        """Take note of calls, by their ids, that were handed out after the answer."""
        if wave not in self.later:
            self.later.append(wave)

    @property
    def deliveries(self) -> list[list[Placed]]:
        """What was handed out so far, answer by answer."""
        by_id = {placed.call_id: placed for placed in self.calls}
        first = [placed for placed in self.calls if not placed.wave]
        return [first, *([by_id[one] for one in wave] for wave in self.later)]

    @property
    def delivered(self) -> set[str]:
        """Ids of the calls that were handed out."""
        return {placed.call_id for wave in self.deliveries for placed in wave}


class Turns:
    """Turns that were taken apart, by their nonces, and by the place where they belong.

    Providers repeat their ids, and prompts are sent twice, so several turns may have the same
    place. Whoever looks one up compares its calls.

    Args:
        lock: held during each change; without one it is for a single thread.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        lock = lock or nullcontext()
        self._kept: Recent[Hashable, tuple[Turn, ...]] = Recent(_MOST_TURNS, MOST_AGE_S, lock)
        self._plain: Recent[tuple[bytes, ...], bool] = Recent(_MOST_TURNS, MOST_AGE_S, lock)

    def of(self, owner: str) -> Turns:
        """The turns of one account."""
        own = copy(self)
        own._kept, own._plain = self._kept.of(owner), self._plain.of(owner)
        return own

    def keep(self, turn: Turn, now_s: float) -> None:
        """Remember a turn, as far as it has come."""
        keys: list[Hashable] = [turn.nonce]
        if turn.asked is not None and turn.calls:
            keys.append(_place(turn.asked.conversation, turn.calls[0].call))
        for key in keys:
            self._kept.change(key, partial(_with, turn), now_s)

    def named(self, nonce: str, now_s: float) -> tuple[Turn, ...]:
        """The turns whose derived ids have a nonce, the newest first."""
        return self._kept.get(nonce, now_s) or ()

    def at(self, conversation: bytes, first: Call, now_s: float) -> tuple[Turn, ...]:
        """The turns that began with a call at a place of a conversation, the newest first."""
        return self._kept.get(_place(conversation, first), now_s) or ()

    def keep_plain(self, conversation: bytes, calls: Sequence[Call], now_s: float) -> None:
        """Remember an answer whose calls went out as they were, with none behind them."""
        self._plain.put(_plain(conversation, calls), True, now_s)

    def has_plain(self, conversation: bytes, calls: Sequence[Call], now_s: float) -> bool:
        """Whether these calls were a whole answer at a place of a conversation."""
        return self._plain.get(_plain(conversation, calls), now_s) is not None

    def __len__(self) -> int:
        return len(self._kept)


def _plain(conversation: bytes, calls: Sequence[Call]) -> tuple[bytes, ...]:
    return tuple(_place(conversation, call) for call in calls)


def _with(turn: Turn, known: tuple[Turn, ...] | None) -> tuple[Turn, ...]:
    others = (other for other in known or () if other is not turn)
    return (turn, *others)[:_MOST_ALIKE]


def _place(conversation: bytes, first: Call) -> bytes:
    """Where a turn stands, and what it begins with."""
    written = fingerprint(first.canonical)
    return blake2b(written, key=conversation, digest_size=16).digest()

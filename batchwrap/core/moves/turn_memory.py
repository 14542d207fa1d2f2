"""The memory of expanded turns: the calls that the agent got for them, and where they belong.

It is bounded in number and age, and safe for threads with the lock that is passed in. Folding also
works without it, and then rewrites arguments from the items; with it the model sees its own calls
again to the byte. Calls that are held back are stored only here: if they are lost, the model is
told that they were not run, and can make them again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call, Written
from batchwrap.core.recent import Recent
from batchwrap.core.tools.multi import SCRIPT
from batchwrap.core.tools.script_tool import ScriptTool
from batchwrap.core.tools.tidied import is_same_call

# What all derived ids of one call of the model have in common (`DerivedId.group`).
Group = tuple[str, str, str]
MOST_AGE_S = 24 * 3_600.0
# The numbers of the waves that stand behind the first script of a turn, behind the second, …
SCRIPT_WAVES = 1_000_000
_MOST_TURNS = 4_096
# Turns with the same nonce, or with the same conversation and first call.
_MOST_ALIKE = 16


@dataclass(frozen=True, slots=True, repr=False)
class Placed:
    """One of the agent's calls in a turn.

    Attributes:
        written: the call, which may still be incomplete.
        wave: its wave. Wave 0 goes out with the answer, each later one when the calls of the
            earlier waves have their results.
        kind: the kind of its tool; ``"barrier"`` for an unknown tool.
        defaults: the defaults of its tool's parameters.
    """

    written: Written
    wave: int
    kind: str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> Call:
        """The call as received so far."""
        return self.written.call

    @property
    def call_id(self) -> str:
        """Its id."""
        return self.written.call_id

    def is_same(self, call: Call) -> bool:
        """Whether a call in the history is this one, as it was handed out or tidied up."""
        own = self.call
        if call.is_same(own):
            return True
        is_alike = (call.form, call.name) == (own.form, own.name)
        return is_alike and is_same_call(call.arguments, own.arguments, self.defaults)


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """The request that a turn answers: what a later one must share to get the waiting calls.

    Attributes:
        conversation: the digest of its conversation.
        model: the model.
        tools: the names of its tools.
        choice: its tool choice; None if the model could choose freely.
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
        name: the tool that the model called to run it.
        arguments: what it called it with, as JSON.
        code: the program in these; None where they hold none.
        asked: a digest of the conversation that it answers, and of its model; it travels with the
            program. Empty where nothing may travel with the agent's calls.
    """

    origin: str
    nonce: str
    place: int
    name: str
    arguments: str
    code: str | None
    asked: str = ""

    @property
    def group(self) -> Group:
        """What the derived ids of its calls have in common. Nonces alone come again."""
        return self.nonce, SCRIPT, self.origin

    @property
    def first_wave(self) -> int:
        """The wave of its first call, where that does not go out with the answer."""
        return self.place * SCRIPT_WAVES + 1

    @property
    def waves(self) -> range:
        """The waves of its calls."""
        return range(self.first_wave, self.first_wave + SCRIPT_WAVES - 1)


@dataclass(slots=True, repr=False)
class Turn:
    """All calls of one turn of the model, in the model's order.

    Attributes:
        said: the model's own calls.
        calls: the agent's calls that were made from them; those of scripts once they are handed
            out.
        scripts: the scripts among the model's calls.
        script_tool: what runs these, whatever tools later requests have; None: those say.
        later: ids of the calls that were handed out after the answer, wave by wave.
        counts: the number of items of each multi-call, by the model's id.
        nonce: its nonce in the derived ids; empty if nothing was expanded.
        notes: why items of a multi-call did not run, by the model's id and the item's index.
        refused: the result for each multi-call of which nothing ran, by the model's id.
        readings: (multi-tool, how well it was understood) of each multi-call.
        asked: what a later request must have in common with the one that it answers; None if
            nothing was expanded.
        head: the fields of its answer that local answers repeat.
        usage: the usage that its answer reported.
        room: the free tokens of the context when it began; None if that was unknown.
        is_over: whether the model's message is complete; otherwise it may be cut off.
        waves: when calls of its scripts were handed out, in seconds since 1970, and how many they
            were, by the group of the script.
        told: what the model was told of its scripts, by the digests of the calls that had run, and
            of the runs.
        is_restored: whether it was not remembered, and holds no more than a history shows.
    """

    said: list[Written] = field(default_factory=list)
    calls: list[Placed] = field(default_factory=list)
    scripts: list[WrittenScript] = field(default_factory=list)
    script_tool: ScriptTool | None = None
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
    waves: dict[Group, list[tuple[float, int]]] = field(default_factory=dict)
    told: dict[bytes, dict[bytes, str]] = field(default_factory=dict)
    is_restored: bool = False

    @property
    def malformed(self) -> bool:
        """Whether a multi-call was not understood, or only in part."""
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

    def take_in(self, other: Turn) -> None:
        """Take in how far another process has come with the same turn.

        Only scripts make calls after the answer, and only what is known can have been handed out.
        """
        for script in self.scripts:
            self.add([placed for placed in other.calls if placed.wave in script.waves], script)
        known = {placed.call_id for placed in self.calls}
        for wave in other.later:
            if known.issuperset(wave):
                self.hand_out(wave)
        for calls, accounts in other.told.items():
            self.told.setdefault(calls, {}).update(accounts)

    def is_of(self, other: Turn) -> bool:
        """Whether both are the same answer of the model."""
        return self._beginning == other._beginning

    @property
    def _beginning(self) -> list[str]:
        """The ids of its calls, of which a turn that was cut off may have only the agent's."""
        said = [written.call_id for written in self.said]
        return [*said, *(placed.call_id for placed in self.calls[:1])]

    def hand_out(self, wave: tuple[str, ...]) -> None:
        """Record calls, by their ids, that were handed out after the answer."""
        if wave not in self.later:
            self.later.append(wave)

    @property
    def deliveries(self) -> list[list[Placed]]:
        """The calls that were handed out so far, answer by answer."""
        by_id = {placed.call_id: placed for placed in self.calls}
        first = [placed for placed in self.calls if not placed.wave]
        return [first, *([by_id[one] for one in wave] for wave in self.later)]

    @property
    def delivered(self) -> set[str]:
        """Ids of the calls that were handed out."""
        return {placed.call_id for wave in self.deliveries for placed in wave}


class Turns:
    """Remembered turns, by their nonces, and by their conversation and first call.

    Nonces are short and a prompt may be sent twice, so several turns may have the same key, and
    callers must compare the calls.

    Args:
        lock: held during each change. Without a lock the memory is for a single thread.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        lock = lock or nullcontext()
        self._only_scripts = False
        self._note: Callable[[Turn], None] | None = None
        self._kept: Recent[Hashable, tuple[Turn, ...]] = Recent(_MOST_TURNS, MOST_AGE_S, lock)
        self._plain: Recent[tuple[bytes, ...], bool] = Recent(_MOST_TURNS, MOST_AGE_S, lock)

    def of(self, owner: str) -> Turns:
        """The part of the memory that belongs to one account."""
        own = copy(self)
        own._kept, own._plain = self._kept.of(owner), self._plain.of(owner)
        return own

    def noting(
        self, note: Callable[[Turn], None], note_plain: Callable[[tuple[bytes, ...], bool], None]
    ) -> Turns:
        """A view that reports what is kept through it: turns, and the keys of plain answers."""
        own = copy(self)
        own._note, own._plain = note, self._plain.noting(note_plain)
        return own

    def of_scripts(self) -> Turns:
        """The part of the memory that holds turns with scripts, to look things up in."""
        own = copy(self)
        own._only_scripts = True
        return own

    def keep(self, turn: Turn, now_s: float) -> None:
        """Remember a turn, which may still be incomplete."""
        # The second key finds the turn if the agent has replaced its ids.
        keys: list[Hashable] = [turn.nonce]
        if turn.asked is not None and turn.calls:
            keys.append(_place(turn.asked.conversation, turn.calls[0].call))
        for key in keys:
            self._kept.change(key, partial(_with, turn), now_s)
        if self._note is not None:
            self._note(turn)

    def take_in(self, turn: Turn, now_s: float, *, is_whole: bool) -> None:
        """Remember what another process has recorded of a turn, which may be known here.

        Args:
            turn: the turn.
            now_s: the time.
            is_whole: whether it is all of the turn; else only how far it has come.
        """
        same = [one for one in self.named(turn.nonce, now_s) if one.asked == turn.asked]
        for known in same:
            known.take_in(turn)
        if is_whole and not any(known.is_of(turn) for known in same):
            self.keep(turn, now_s)

    def take_in_plain(self, places: tuple[bytes, ...], now_s: float) -> None:
        """Remember an answer that another process has handed out unchanged."""
        self._plain.put(places, True, now_s)

    def named(self, nonce: str, now_s: float) -> tuple[Turn, ...]:
        """The turns with this nonce, the newest first."""
        return self._of_interest(self._kept.get(nonce, now_s))

    def at(self, conversation: bytes, first: Call, now_s: float) -> tuple[Turn, ...]:
        """The turns after a conversation that begin with this call, the newest first."""
        return self._of_interest(self._kept.get(_place(conversation, first), now_s))

    def _of_interest(self, found: tuple[Turn, ...] | None) -> tuple[Turn, ...]:
        if not self._only_scripts:
            return found or ()
        return tuple(turn for turn in found or () if turn.scripts)

    def keep_plain(self, conversation: bytes, calls: Sequence[Call], now_s: float) -> None:
        """Remember an answer whose calls went out unchanged, and none of which waits."""
        self._plain.put(_plain(conversation, calls), True, now_s)

    def has_plain(self, conversation: bytes, calls: Sequence[Call], now_s: float) -> bool:
        """Whether such an answer with exactly these calls followed a conversation."""
        return self._plain.get(_plain(conversation, calls), now_s) is not None

    def __len__(self) -> int:
        return len(self._kept)


def _plain(conversation: bytes, calls: Sequence[Call]) -> tuple[bytes, ...]:
    return tuple(_place(conversation, call) for call in calls)


def _with(turn: Turn, known: tuple[Turn, ...] | None) -> tuple[Turn, ...]:
    others = (other for other in known or () if other is not turn)
    return (turn, *others)[:_MOST_ALIKE]


def _place(conversation: bytes, first: Call) -> bytes:
    """The key of a turn: a digest of its conversation and its first call."""
    written = fingerprint(first.canonical)
    return blake2b(written, key=conversation, digest_size=16).digest()

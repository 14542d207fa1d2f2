"""What may be forgotten: the turns that were taken apart, by the nonces of their ids.

Folding works without them (arguments are then written anew from the items); with them the
model sees its own message again to the byte. Calls that are held back live only here: if
they are forgotten, the model is told that they were not run, and asks again.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from batchwrap.core import chat
from batchwrap.core.views import ids


@dataclass(frozen=True, slots=True)
class Placed:
    """One of the agent's calls.

    Attributes:
        call: the tool call, in the form of the API.
        wave: calls of wave 0 go out with the answer, the others when those before them
            have their results.
        kind: the kind of its tool; ``"barrier"`` for one that nobody knows.
    """

    call: chat.ToolCall
    wave: int
    kind: str


@dataclass(slots=True)
class Turn:
    """All calls of one assistant message, in the order of the model.

    Attributes:
        original: the model's own calls.
        calls: the agent's calls for them.
        counts: how many items each multi-call has, by the model's id.
        nonces: what names its groups in the derived ids; empty if nothing was expanded.
        malformed: whether a multi-call had items that did not fit, or none at all.
        length: messages in the request that it answers.
        digest: of that request.
        head: id, model and the like of the answer that it came with.
        usage: what that answer reported.
    """

    original: list[chat.ToolCall] = field(default_factory=list)
    calls: list[Placed] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    nonces: list[str] = field(default_factory=list)
    malformed: bool = False
    length: int = 0
    digest: bytes = b""
    head: chat.Body = field(default_factory=dict)
    usage: Any = None


# Messages of the agent view, and the messages of the provider view that they became.
Folded = tuple[list[chat.Message], list[chat.Message]]
_MOST_FOLDED = 1_024
# Malformed multi-calls in a row after which a model is offered none any more.
_MOST_MALFORMED = 3


class Turns:
    """Turns by nonce, and by the ids of their calls that went out as they were.

    Those that were not asked for the longest are dropped first.
    """

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._kept: OrderedDict[str, Turn] = OrderedDict()
        self._folded: OrderedDict[str, Folded] = OrderedDict()
        self._off: set[str] = set()
        self._malformed: Counter[str] = Counter()  # in a row, by model
        self._plain: OrderedDict[bytes, None] = OrderedDict()  # conversations without an offer
        self._lock = Lock()  # one client serves many threads

    def keep(self, turn: Turn) -> None:
        """Remember a turn that was taken apart."""
        own = {str(call.get("id")) for call in turn.original}
        passed_on = (placed.call["id"] for placed in turn.calls if placed.call["id"] in own)
        with self._lock:
            for key in (*turn.nonces, *passed_on):
                self._kept[key] = turn
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def get(self, key: str) -> Turn | None:
        """The turn, or None if it is forgotten; being asked for keeps it longer."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep_folded(self, key: str, source: list[chat.Message], made: list[chat.Message]) -> None:
        """Remember what some messages of the agent view become; `key` is their first call's id."""
        with self._lock:
            self._folded[key] = source, made
            self._folded.move_to_end(key)
            while len(self._folded) > _MOST_FOLDED:
                self._folded.popitem(last=False)

    def folded(self, key: str) -> Folded | None:
        """The messages of the agent view that begin with this call, and what they became."""
        return self._folded.get(key)

    def switch_off(self, model: object) -> None:
        """Remember that this model's endpoint does not take what we make of requests."""
        with self._lock:
            self._off.add(str(model))

    def is_off(self, model: object) -> bool:
        """Whether requests to this model stay as the agent wrote them."""
        return str(model) in self._off

    def judge(self, model: object, *, malformed: bool) -> None:
        """Take note of how a model's multi-call turned out."""
        with self._lock:
            self._malformed[str(model)] = self._malformed[str(model)] + 1 if malformed else 0

    def stumbles(self, model: object) -> bool:
        """Whether the model's latest multi-calls were all malformed."""
        return self._malformed[str(model)] >= _MOST_MALFORMED

    def keep_plain(self, conversation: bytes) -> None:
        """Remember a conversation that is offered nothing, so that this never changes within it."""
        with self._lock:
            self._plain[conversation] = None
            while len(self._plain) > self._most:
                self._plain.popitem(last=False)

    def is_plain(self, conversation: bytes) -> bool:
        """Whether it was decided at its start that a conversation is offered nothing."""
        return conversation in self._plain

    def of(self, call: chat.ToolCall) -> Turn | None:
        """The turn that one of the agent's calls belongs to, if it is known."""
        derived = ids.decode(call.get("id"))
        return self.get(derived.nonce if derived else str(call.get("id")))

"""What may be forgotten. Bounded, shared by all exchanges of one target, safe for threads.

Folding works without it (arguments are then written anew from the items); with it the
model sees its own message again to the byte. Calls that are held back live only here: if
they are forgotten, the model is told that they were not run, and asks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchwrap.core import chat
from batchwrap.core.habits import Habits
from batchwrap.core.recent import Recent
from batchwrap.core.views import ids
from batchwrap.core.views.written import Written

if TYPE_CHECKING:
    from batchwrap.core.reminders.gates import Facts
    from batchwrap.core.views.choice import Choice
    from batchwrap.core.views.kit import Kit
    from batchwrap.core.views.settled import Settled

_MOST_TURNS = 4_096
_MOST_AGE_S = 24 * 3_600.0
# A settled conversation holds its messages: half a megabyte at 128k tokens.
_MOST_SETTLED = 64
_MOST_KITS = 64
_MOST_EMPTIES = 256
_MOST_THOUGHTS = 1_024
_MOST_CHOICES = 4_096
_MOST_PLACES = 16_384  # each request is one


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
    def call(self) -> chat.ToolCall:
        """The tool call, in the form of the API."""
        return self.written.call


@dataclass(slots=True, repr=False)
class Turn:
    """All calls of one assistant message, in the order of the model.

    Attributes:
        said: the model's own calls.
        calls: the agent's calls for them.
        counts: how many items each multi-call has, by the model's id.
        nonces: what names its groups in the derived ids; empty if nothing was expanded.
        notes: why items of a multi-call did not run, by the model's id and their place.
        refused: what the model is told of multi-calls of which nothing ran, by its id.
        readings: how well each multi-call was understood, with the name of its multi-tool.
        length: messages in the request that it answers.
        digest: of that request.
        head: id, model and the like of the answer that it came with.
        usage: what that answer reported.
        room: tokens that were left in the context; None: nobody knew.
    """

    said: list[Written] = field(default_factory=list)
    calls: list[Placed] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    nonces: list[str] = field(default_factory=list)
    notes: dict[str, dict[int, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    readings: list[tuple[str, str]] = field(default_factory=list)
    length: int = 0
    digest: bytes = b""
    head: chat.Body = field(default_factory=dict)
    usage: Any = None
    room: int | None = None

    @property
    def malformed(self) -> bool:
        """Whether a multi-call was not understood, or not all of it."""
        return any(understood in ("in_part", "not_at_all") for _, understood in self.readings)

    @property
    def original(self) -> list[chat.ToolCall]:
        """The model's own calls, in the form of the API."""
        return [written.call for written in self.said]


class Turns:
    """Turns that were taken apart, by nonce, and by the ids of calls that went out as they were."""

    def __init__(self) -> None:
        self._kept: Recent[str, Turn] = Recent(_MOST_TURNS, _MOST_AGE_S)

    def keep(self, turn: Turn, now_s: float) -> None:
        """Remember a turn."""
        own = {str(call.get("id")) for call in turn.original}
        passed_on = (placed.call["id"] for placed in turn.calls if placed.call["id"] in own)
        for key in (*turn.nonces, *passed_on):
            self._kept.put(key, turn, now_s)

    def get(self, key: str, now_s: float) -> Turn | None:
        """The turn, or None if it is forgotten."""
        return self._kept.get(key, now_s)

    def of(self, call: chat.ToolCall, now_s: float) -> Turn | None:
        """The turn that one of the agent's calls belongs to, if it is known."""
        derived = ids.decode(call.get("id"))
        return self.get(derived.nonce if derived else str(call.get("id")), now_s)


class Memory:
    """Everything that may be forgotten.

    Attributes:
        turns: turns that were taken apart.
        habits: what models and their endpoints turned out to do.
        choices: what was chosen when a conversation began, by the digest of its start.
        settled: conversations as they were sent, by the id of their last settled call.
        places: what was known at each place where a model was asked, by digest.
        kits: what follows from a list of tools, by its JSON.
        empties: requests whose answer was empty, by their digest.
        thoughts: of turns whose provider wants them back, by the id of their first call.
    """

    def __init__(self) -> None:
        self.turns = Turns()
        self.habits = Habits()
        self.choices: Recent[bytes, Choice] = Recent(_MOST_CHOICES)
        self.settled: Recent[str, Settled] = Recent(_MOST_SETTLED, _MOST_AGE_S)
        self.places: Recent[bytes, Facts] = Recent(_MOST_PLACES)
        self.kits: Recent[bytes, Kit] = Recent(_MOST_KITS)
        self.empties: Recent[bytes, bool] = Recent(_MOST_EMPTIES, _MOST_AGE_S)
        self.thoughts: Recent[str, str] = Recent(_MOST_THOUGHTS, _MOST_AGE_S)

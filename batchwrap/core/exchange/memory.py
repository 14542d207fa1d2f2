"""The memory that all exchanges of one target share. It is bounded, and may be lost at any time.

Losing an entry costs a batch or some work done twice, never a request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from typing import Any, Literal

from batchwrap.core.exchange.frozen_prefix import FrozenPrefix
from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.exchange.offer_choice import OfferChoice
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.moves.turn_memory import MOST_AGE_S, Turns
from batchwrap.core.recent import Recent
from batchwrap.core.reminders.gates import Facts
from batchwrap.core.tools.tool_set import ToolSet

# A frozen prefix holds its messages, half a megabyte at 128k tokens.
_MOST_PREFIXES = 64
_MOST_TOOL_SETS = 64
_MOST_EMPTIES = 256
_MOST_THOUGHTS = 1_024
_MOST_ATTEMPTS = 1_024
_MOST_OUTCOMES = 1_024  # each holds what a script printed
_MOST_CHOICES = 4_096
_MOST_PLACES = 16_384  # each request adds one
_MOST_OWNERS = 64  # the parts of further owners are made again for each request; nothing is lost


Kind = Literal["turn", "plain", "choice", "facts", "attempt", "thoughts"]
Note = Callable[[Kind, Any, Any], None]


class Memory:
    """What exchanges remember for later ones.

    Args:
        lock: held during each change; None if only one thread uses the memory.

    Attributes:
        turns: turns whose calls were split, for folding and for waiting calls.
        observations: what models and their endpoints have done.
        choices: what was chosen when a conversation began, by the digest of its start.
        frozen_prefixes: frozen prefixes, by the newest id in them.
        places: the facts at each point where a model was asked, by digest of the conversation.
        tool_sets: what follows from a list of tools, by the list's fingerprint.
        empties: requests whose answer was empty, by their digest.
        outcomes: how scripts turned out, by the digests of their runs.
        attempts: what was asked again, by the digests of the answers that came in its place.
        thoughts: reasoning content of turns, for providers that require it to be sent back, by
            a digest of the conversation before the turn and of its call.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        lock = lock or nullcontext()
        self.turns = Turns(lock)
        self.observations = ModelObservations(lock)
        self.choices: Recent[bytes, OfferChoice] = Recent(_MOST_CHOICES, lock=lock)
        self.frozen_prefixes: Recent[str, FrozenPrefix] = Recent(_MOST_PREFIXES, MOST_AGE_S, lock)
        self.places: Recent[bytes, Facts] = Recent(_MOST_PLACES, lock=lock)
        self.tool_sets: Recent[bytes, ToolSet] = Recent(_MOST_TOOL_SETS, lock=lock)
        self.empties: Recent[bytes, bool] = Recent(_MOST_EMPTIES, MOST_AGE_S, lock)
        self.outcomes: Recent[bytes, ScriptOutcome] = Recent(_MOST_OUTCOMES, MOST_AGE_S, lock)
        self.attempts: Recent[bytes, tuple[Entry, ...]] = Recent(_MOST_ATTEMPTS, MOST_AGE_S, lock)
        self.thoughts: Recent[bytes, str] = Recent(_MOST_THOUGHTS, MOST_AGE_S, lock)
        self._owned: Recent[str, Memory] = Recent(_MOST_OWNERS, lock=lock)

    def of(self, owner: str) -> Memory:
        """The memory of one account. Observations and tool sets are shared by all accounts."""
        own = self._owned.get(owner)
        if own is None:
            own = self._part_of(owner)
            self._owned.put(owner, own)
        return own

    def noting(self, note: Note) -> Memory:
        """A view that reports what is remembered through it, with its kind and its key.

        Args:
            note: gets what other processes need as well. What can be computed again is left out.
        """
        own = copy(self)
        own.turns = self.turns.noting(
            lambda turn: note("turn", turn.nonce, turn), partial(note, "plain")
        )
        own.choices = self.choices.noting(partial(note, "choice"))
        own.places = self.places.noting(partial(note, "facts"))
        own.attempts = self.attempts.noting(partial(note, "attempt"))
        own.thoughts = self.thoughts.noting(partial(note, "thoughts"))
        return own

    def aside(self) -> Memory:
        """A copy for a request that is only counted, not sent: its changes stay in the copy."""
        own = copy(self)
        own.observations = self.observations.aside()
        own.choices = self.choices.aside()
        own.frozen_prefixes = self.frozen_prefixes.aside()
        own.places = self.places.aside()
        return own

    def _part_of(self, owner: str) -> Memory:
        # What holds contents of conversations must never be found by another account.
        own = copy(self)
        own.turns = self.turns.of(owner)
        own.choices = self.choices.of(owner)
        own.frozen_prefixes = self.frozen_prefixes.of(owner)
        own.places = self.places.of(owner)
        own.empties = self.empties.of(owner)
        own.outcomes = self.outcomes.of(owner)
        own.attempts = self.attempts.of(owner)
        own.thoughts = self.thoughts.of(owner)
        return own

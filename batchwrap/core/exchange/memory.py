"""Everything that may be forgotten: bounded, and shared by all exchanges of one target."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

from batchwrap.core.exchange.frozen_prefix import FrozenPrefix
from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.exchange.offer_choice import OfferChoice
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.moves.turn_memory import MOST_AGE_S, Turns
from batchwrap.core.recent import Recent
from batchwrap.core.reminders.gates import Facts
from batchwrap.core.tools.tool_set import ToolSet

# A frozen prefix holds its messages: half a megabyte at 128k tokens.
_MOST_PREFIXES = 64
_MOST_TOOL_SETS = 64
_MOST_EMPTIES = 256
_MOST_THOUGHTS = 1_024
_MOST_OUTCOMES = 1_024  # each holds what a script printed
_MOST_CHOICES = 4_096
_MOST_PLACES = 16_384  # each request is one
_MOST_OWNERS = 64  # more are made anew for each request


class Memory:
    """Everything that may be forgotten.

    Args:
        lock: held during each change; without one it is for a single thread.

    Attributes:
        turns: turns that were taken apart.
        observations: what models and their endpoints turned out to do.
        choices: what was chosen when a conversation began, by the digest of its start.
        frozen_prefixes: conversations as they were sent, by the id of their last call.
        places: what was known at each place where a model was asked, by digest.
        tool_sets: what follows from a list of tools, by its JSON.
        empties: requests whose answer was empty, by their digest.
        outcomes: how scripts turned out, by the digests of their runs.
        thoughts: of turns whose provider wants them back, by a digest of the conversation
            before them and of their first call.
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
        self.thoughts: Recent[bytes, str] = Recent(_MOST_THOUGHTS, MOST_AGE_S, lock)
        self._owned: Recent[str, Memory] = Recent(_MOST_OWNERS, lock=lock)

    def of(self, owner: str) -> Memory:
        """What was kept for one account. What models do, and what tools are, all share."""
        own = self._owned.get(owner)
        if own is None:
            own = self._part_of(owner)
            self._owned.put(owner, own)
        return own

    def aside(self) -> Memory:
        """The same to look at: what a request leaves behind in it nobody else sees."""
        own = copy(self)
        own.observations = self.observations.aside()
        own.choices = self.choices.aside()
        own.frozen_prefixes = self.frozen_prefixes.aside()
        own.places = self.places.aside()
        return own

    def _part_of(self, owner: str) -> Memory:
        own = copy(self)
        own.turns = self.turns.of(owner)
        own.choices = self.choices.of(owner)
        own.frozen_prefixes = self.frozen_prefixes.of(owner)
        own.places = self.places.of(owner)
        own.empties = self.empties.of(owner)
        own.outcomes = self.outcomes.of(owner)
        own.thoughts = self.thoughts.of(owner)
        return own

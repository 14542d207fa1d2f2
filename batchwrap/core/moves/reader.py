"""Translates one choice of an answer, complete or streamed, into the agent view.

The calls run through these moves: gather (native multi-tools) -> expand -> read ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.format import Delta, Take
from batchwrap.core.moves.expand import Expander
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.moves.scripts import TurnScripts
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.core.tools.find import SingleTool

Reads = list[tuple[SingleTool, str]]


class ChoiceReader:
    """Translates one choice into the agent view.

    Args:
        gatherer: merges calls for the agent's own multi-tools; None to switch this off.
        expander: expands multi-calls.
        ahead: returns the reads to add to a turn with a single read.

    Attributes:
        is_over: whether the choice is complete.
    """

    def __init__(
        self,
        gatherer: Gatherer | None,
        expander: Expander,
        ahead: Callable[[Turn], Reads],
    ) -> None:
        self._gatherer = gatherer
        self._expander = expander
        self._ahead = ahead
        self.is_over = False
        # Calls that the gatherer has released; they go out with the next event.
        self._released: list[Fragment] = []

    @property
    def turn(self) -> Turn:
        """The turn, as far as it has arrived."""
        return self._expander.turn

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with each call, by its id, if none of them was understood."""
        return self._expander.problems

    @property
    def is_clear(self) -> bool:
        """Whether no calls wait to go out with the next event."""
        return not self._released

    def take_of(self, place: int) -> Take | None:
        """The function that processes the next piece of a call's arguments.

        Args:
            place: the index of the call.

        Returns:
            None if pieces of this call must go through `delta`.
        """
        is_gathered = self._gatherer is not None and not self._gatherer.passes(place)
        return None if is_gathered else self._expander.take_of(place)

    def whole(self, said: Delta) -> list[Fragment]:
        """The calls of a complete answer in the agent view."""
        self._look_at(said)
        if said.is_tied:
            self._expander.wait_no_more()
        return [*self._fragments(said.fragments), *self.finish(), *self._reads()]

    def delta(self, delta: Delta) -> list[Fragment] | None:
        """The calls of an event in the agent view; None if they are unchanged."""
        self._look_at(delta)
        calls = self._fragments(delta.fragments)
        if delta.is_tied and self._expander.has_calls:
            calls += self._expander.wait_no_more()
        if delta.ended is not None and self._gatherer is None:
            calls += self._expander.end(delta.ended)
        if delta.is_over:
            calls += [*self.finish(), *self._reads()]
        is_same = len(calls) == len(delta.fragments) and all(
            new is old for new, old in zip(calls, delta.fragments, strict=True)
        )
        return None if is_same else calls

    def finish(self) -> list[Fragment]:
        """The remaining calls when the turn is complete."""
        gathered = self._gatherer.finish() if self._gatherer is not None else []
        calls = [call for given in gathered for call in self._expander.fragment(given)]
        return calls + self._expander.finish()

    def run_scripts(self, scripts: TurnScripts) -> list[Fragment]:
        """The first calls of the turn's scripts, once it is known which they are."""
        return self._expander.run_scripts(scripts)

    def _reads(self) -> list[Fragment]:
        """The calls of the reads that are added; none when called again."""
        if self.is_over:
            return []
        self.is_over = True
        return self._expander.add_reads(self._ahead(self._expander.turn))

    def _fragments(self, given: Sequence[Fragment]) -> list[Fragment]:
        """The fragments in the agent view that replace some of the provider's."""
        if self._gatherer is not None:
            released, self._released = self._released, []
            given = [*released, *(held for call in given for held in self._gatherer.fragment(call))]
        return [made for call in given for made in self._expander.fragment(call)]

    def _look_at(self, said: Delta) -> None:
        """Stop merging calls if something belongs to them as the model wrote them (`is_bound`)."""
        if said.is_bound:
            self._expander.bind()
        if self._gatherer is not None and (said.is_bound or said.is_tied):
            self._released += self._gatherer.release(for_good=said.is_bound or said.is_over)

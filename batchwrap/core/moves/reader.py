"""The way back, for one choice of an answer, whole or streamed.

gather (native multi-tools) -> expand -> read ahead
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
        gatherer: merges calls for the agent's own multi-tools; None switches it off.
        expander: takes multi-calls apart.
        ahead: the reads to add to a turn of a single read.

    Attributes:
        is_over: whether its end has come.
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
        self._let_go: list[Fragment] = []

    @property
    def turn(self) -> Turn:
        """The calls that have come so far."""
        return self._expander.turn

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with its calls, by their ids, where none of them was understood."""
        return self._expander.problems

    @property
    def is_clear(self) -> bool:
        """Whether no calls wait to be handed out with whatever comes next."""
        return not self._let_go

    def take_of(self, place: int, handed_out: Callable[[], None]) -> Take | None:
        """What takes in the next piece of a call's arguments; None where more is to be read.

        Args:
            place: the index of the call.
            handed_out: is called when calls come to light in it.
        """
        is_gathered = self._gatherer is not None and not self._gatherer.passes(place)
        return None if is_gathered else self._expander.take_of(place, handed_out)

    def whole(self, said: Delta) -> list[Fragment]:
        """The calls that a whole answer holds for the agent."""
        self._look_at(said)
        return [*self._fragments(said.fragments), *self.finish(), *self._reads()]

    def delta(self, delta: Delta) -> list[Fragment] | None:
        """The calls that an event holds for the agent; None if they are the same as they came."""
        self._look_at(delta)
        calls = self._fragments(delta.fragments)
        if delta.ended is not None and self._gatherer is None:
            calls += self._expander.end(delta.ended)
        if delta.is_over:
            calls += [*self.finish(), *self._reads()]
        is_same = len(calls) == len(delta.fragments) and all(
            new is old for new, old in zip(calls, delta.fragments, strict=True)
        )
        return None if is_same else calls

    def finish(self) -> list[Fragment]:
        """What is left when the turn is complete."""
        gathered = self._gatherer.finish() if self._gatherer is not None else []
        calls = [call for given in gathered for call in self._expander.fragment(given)]
        return calls + self._expander.finish()

    def run_scripts(self, scripts: TurnScripts) -> list[Fragment]:
        """The first calls of the turn's scripts, once it is known which they are."""
        return self._expander.run_scripts(scripts)

    def _reads(self) -> list[Fragment]:
        """The calls of the reads that are added, once."""
        if self.is_over:
            return []
        self.is_over = True
        return self._expander.add_reads(self._ahead(self._expander.turn))

    def _fragments(self, given: Sequence[Fragment]) -> list[Fragment]:
        if self._gatherer is not None:
            let_go, self._let_go = self._let_go, []
            given = [*let_go, *(held for call in given for held in self._gatherer.fragment(call))]
        return [made for call in given for made in self._expander.fragment(call)]

    def _look_at(self, said: Delta) -> None:
        """Gather no calls beside something that belongs to them as they are."""
        if said.is_bound:
            self._expander.bind()
            if self._gatherer is not None:
                self._let_go += self._gatherer.release()

"""The readers of an answer's choices: how its calls are expanded and handed out to the agent."""

from __future__ import annotations

from typing import Any

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.passthrough import NoRepair
from batchwrap.core.exchange.provider_view import Asked
from batchwrap.core.exchange.response_repair import ResponseRepair
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.conflict import Waves
from batchwrap.core.moves.expand import Expander
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.moves.read_ahead import next_reads
from batchwrap.core.moves.reader import ChoiceReader, Reads
from batchwrap.core.moves.scripts import digest_of
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.options import Batching


class AnswerReaders(dict[Any, ChoiceReader]):
    """The readers by choice. One is made when its choice begins, for the view that was sent then.

    Args:
        context: what the exchange gets from outside.
        asked: the request.
        repair: holds the provider view.
        prefixes: digests of the conversation.
        is_understood: whether the request was understood.
    """

    def __init__(
        self,
        context: Context,
        asked: Asked,
        repair: ResponseRepair | NoRepair,
        prefixes: Prefixes,
        *,
        is_understood: bool,
    ) -> None:
        super().__init__()
        self._context = context
        self._asked = asked
        self._repair = repair
        self._prefixes = prefixes
        self._is_understood = is_understood
        self._batching = context.options.batching

    def __missing__(self, choice: Any) -> ChoiceReader:
        context, view, form = self._context, self._repair.view, self._asked.form
        # A forced `tool_choice` may not allow the native multi-tool.
        gathers = view.tool_set.natives and not self._asked.settings.is_forced
        reader = self[choice] = ChoiceReader(
            Gatherer(view.tool_set.natives, context.metrics) if gathers else None,
            Expander(
                view.tool_set,
                self.waves(view.most),
                context.random_text,
                context.metrics,
                is_offered=view.is_offered and form.binding is not None,
                is_bound=self._asked.is_bound,
                asked=self._digest if self._carries_scripts else None,
            ),
            self._ahead,
        )
        return reader

    @property
    def answers_locally(self) -> bool:
        """Whether calls that are held back now can be handed out later."""
        is_one = self._asked.settings.is_one_answer
        return self._batching is not None and self._is_understood and is_one

    @property
    def is_serial(self) -> bool:
        """Whether the agent takes one call at a time."""
        delivery = self._batching.delivery if self._batching is not None else "at_once"
        is_asked = self._asked.settings.parallel is False
        return delivery == "serial" or (is_asked and delivery == "auto")

    def waves(self, most: int) -> Waves:
        """How calls are split into waves.

        Args:
            most: the largest number of calls in a batch.
        """
        batching = self._batching or Batching()
        return Waves(
            most,
            one_by_one=self.is_serial,
            changes_one_by_one=batching.approvals,
            at_once=batching.delivery == "at_once",
            own_wait=self.answers_locally and self._may_mark,
        )

    @property
    def _carries_scripts(self) -> bool:
        """Whether programs may travel with the agent's calls, in a field that no API knows.

        Without batchwrap a bound conversation is refused in any case, so the field does no harm.
        """
        return self._asked.form.carries_scripts or self._asked.is_bound

    def _digest(self) -> str:
        """What travels with a program: which conversation it answers."""
        whole = self._prefixes.before(len(self._asked.entries))
        return digest_of(whole.digest, self._asked.model)

    @property
    def _may_mark(self) -> bool:
        """Whether calls may have ids of ours.

        In a bound conversation such ids mean that multi-tools were offered.
        """
        return self._repair.view.is_offered or not self._asked.is_bound

    def _ahead(self, turn: Turn) -> Reads:
        """The reads that are added to a turn, which has to be one single read."""
        options = self._batching.read_ahead if self._batching else None
        if (
            options is None
            or len(turn.calls) != 1
            or turn.counts
            or turn.scripts
            or not self._is_understood
            or not self._may_mark
        ):
            return []
        view = self._repair.view
        reads = next_reads(
            self._asked.entries,
            turn.calls[0].call,
            view.tool_set.singles,
            options,
            room=view.room,
        )
        if reads:
            self._context.metrics.add("read_ahead", len(reads))
            self._context.metrics.note("read_ahead", reads=len(reads))
        return reads

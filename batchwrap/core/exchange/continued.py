"""Requests that continue a response by its id (`previous_response_id` in the Responses API).

The provider holds the conversation, in the provider view. The agent sends the results of derived
calls, which the provider never saw. If the turn is remembered, they become results of the model's
own calls; nothing else of the request is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.passthrough import OnlyThrottled
from batchwrap.core.exchange.provider_view import shown
from batchwrap.core.formats.endpoints import Endpoint
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format
from batchwrap.core.formats.sameness import Conversation, Prefixes
from batchwrap.core.moves import ids
from batchwrap.core.moves.fold import fold
from batchwrap.core.moves.past_turns import HistoryReader
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.options import Batching


class Continued(OnlyThrottled):
    """Folds the results of one turn, and leaves the rest as it is.

    Args:
        context: what the exchange gets from outside.
        body: the agent's request.
        endpoint: where it goes.
        form: the format of the request.
    """

    def __init__(self, context: Context, body: Body, endpoint: Endpoint, form: Format) -> None:
        super().__init__(endpoint, context.metrics)
        self._context = context
        self._body = body
        self._form = form

    def names(self) -> Sequence[str]:
        """The names under which other processes may have kept the turn."""
        recall, form = self._context.recall, self._form
        if recall is None or not form.understands(self._body):
            return ()
        return recall.names_of_results(form.read(form.items(self._body)))

    def request(self) -> Body | None:
        """The request with results of the model's own calls; None if no result is of ours."""
        super().request()
        return self._folded() if self._form.understands(self._body) else None

    def folded(self) -> None:
        """The request stays as it is: if `request` failed, folding would fail the same way."""

    def _folded(self) -> Body | None:
        form, turns = self._form, self._context.memory.turns
        entries = form.read(form.items(self._body))
        answered = {entry.call_id: place for place, entry in reversed([*enumerate(entries)])}
        turn = self._turn_of(entries)
        calls = [] if turn is None else [it.call for it in turn.calls if it.call_id in answered]
        if not calls:
            return None
        start = min(answered[call.call_id] for call in calls)
        # Folding expects a turn with its calls, which the provider has and the request has not.
        whole = [*entries[:start], form.said("model", None, calls), *entries[start:]]
        prefixes = Prefixes(whole, 0, Conversation())
        reader = HistoryReader(whole, prefixes, turns, self._context.now_s)
        for spoken in reader.spoken(start):
            spoken.is_same = True  # the provider keeps the conversation that it came from
        batching = self._context.options.batching or Batching()
        first, *segments = fold(start, reader, shown(batching))
        if not first.is_folded:
            return None
        results = [*first.entries[1:], *(one for segment in segments for one in segment.entries)]
        self._context.metrics.add("folds")
        return form.with_items(self._body, form.write([*entries[:start], *results]))

    def _turn_of(self, entries: list[Entry]) -> Turn | None:
        """The newest turn that a result belongs to."""
        turns, now_s = self._context.memory.turns, self._context.now_s
        for entry in entries:
            derived = ids.decode(entry.call_id)
            for turn in turns.named(derived.turn, now_s) if derived is not None else ():
                if any(placed.call_id == entry.call_id for placed in turn.calls):
                    return turn
        return None

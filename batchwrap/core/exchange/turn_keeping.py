"""Remembers the turns of an answer as they are handed out, and what the answer shows of its model.

An agent may stop reading at the end of the message, or be cut off before it. So a turn is
remembered when it is handed out, not at the end of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.core.exchange.answer_readers import AnswerReaders
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.pace import Pace
from batchwrap.core.exchange.provider_view import Asked, ProviderView
from batchwrap.core.formats.format import Body
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.deliver import request_of
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.stats import malformed_counter, model_name


class TurnKeeping:
    """Keeps the turns of the answers to one request.

    Args:
        context: the memory, and the counters.
        asked: the request.
        prefixes: digests of the conversation.
        readers: the readers of the answer's choices.
    """

    def __init__(
        self, context: Context, asked: Asked, prefixes: Prefixes, readers: AnswerReaders
    ) -> None:
        self._context = context
        self._asked = asked
        self._prefixes = prefixes
        self._readers = readers
        self.begin()

    def begin(self) -> None:
        """Forget what the answer before has told: the model is asked again."""
        self._head: Mapping[str, Any] = {}
        self._usage: Any = None
        self._pace = Pace()
        self._judged: set[Any] = set()  # choices that the observations have counted

    def note(self, answer: Body) -> None:
        """Remember the parts of an answer that local answers repeat, and measure its pace."""
        form = self._asked.form
        self._head = self._head or form.head(answer)
        self._usage = form.usage(answer) or self._usage
        if self._context.clock is not None:
            self._pace.see(*form.timing(answer), self._context.clock())

    def keep(self, choice: Any, view: ProviderView, *, is_over: bool) -> None:
        """Remember a turn as far as it was handed out, for folding and for waiting calls.

        Args:
            choice: the choice of the answer.
            view: what the answer belongs to.
            is_over: whether the choice is over.
        """
        turn, memory = self._readers[choice].turn, self._context.memory
        turn.is_over = is_over
        if not turn.nonce and not (is_over and turn.calls):
            return
        whole = self._prefixes.before(len(self._asked.entries))
        # None of its calls has an id of ours: it is remembered as one that went out unchanged.
        if not turn.nonce:
            calls = [placed.call for placed in turn.calls]
            memory.turns.keep_plain(whole.digest, calls, self._context.now_s)
            return
        if turn.asked is None:
            turn.asked = request_of(self._asked.model, self._asked.settings, whole.digest)
        # For local answers, which repeat the head and the usage of the provider's answer.
        turn.head, turn.usage, turn.room = self._head, self._usage, view.room
        memory.turns.keep(turn, self._context.now_s)
        if is_over and turn.counts and choice not in self._judged:
            self._judged.add(choice)
            self._count_readings(turn)

    def _count_readings(self, turn: Turn) -> None:
        """Count the multi-calls of a turn that were not understood exactly."""
        model, metrics = self._asked.model, self._context.metrics
        self._context.memory.observations.judge_call(model, malformed=turn.malformed)
        for tool, understood in turn.readings:
            if understood != "exactly":
                metrics.add(malformed_counter(model, understood))
                metrics.note("malformed", model=model_name(model), tool=tool, understood=understood)

    def judge(self, view: ProviderView) -> None:
        """Record what a whole answer shows of its model."""
        observations, model = self._context.memory.observations, self._asked.model
        cached = self._asked.form.cached(self._usage)
        if cached is not None and view.is_follow_up:  # it could have been cached
            observations.judge_cache(model, *cached)
        if (pace := self._pace.tokens_per_s) is not None:
            observations.judge_pace(model, pace)

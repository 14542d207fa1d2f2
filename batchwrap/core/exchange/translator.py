"""The translator between the two views: one for each request and its answer.

    agent view  -> outgoing (fold, coalesce, offer, remind) -> provider view
    agent view  <- reader (read ahead, expand), repair      <- provider view

What changes nothing returns None, so that the caller can hand on the original bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.frozen_prefix import NOTHING, find_prefix
from batchwrap.core.exchange.model_observations import Rewrite
from batchwrap.core.exchange.pace import Pace
from batchwrap.core.exchange.provider_view import ProviderView, rewrite
from batchwrap.core.exchange.response_repair import ResponseRepair
from batchwrap.core.failures import looks_failed
from batchwrap.core.formats import chat
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.again import asked_again, says_something
from batchwrap.core.moves.conflict import Waves
from batchwrap.core.moves.deliver import (
    LocalAnswer,
    goes_on,
    next_calls,
    open_turn,
    request_of,
)
from batchwrap.core.moves.expand import Expander
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.moves.past_turns import HistoryReader
from batchwrap.core.moves.read_ahead import next_reads
from batchwrap.core.moves.reader import ChoiceReader, Reads, without_calls
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.options import Batching
from batchwrap.stats import malformed_counter


class Translator:
    """Translates one request into the provider view and its answer back."""

    def __init__(self, context: Context, body: chat.Body) -> None:
        self._context = context
        self._body = body
        self._batching = context.options.batching
        self._rewrite: Rewrite = "offer"
        self._readers: dict[Any, ChoiceReader] = {}
        self._judged: set[Any] = set()  # choices of which the model's observations know
        self._may_ask = False  # whether the model may be asked again, if it is not understood
        self._has_said = False  # whether the agent has got a part of the answer
        self.again: chat.Body | None = None
        self._head: chat.Body = {}
        self._usage: Any = None
        self._pace = Pace()
        self._frozen = NOTHING
        if self._batching is not None:
            self._frozen = find_prefix(body, context.memory.frozen_prefixes, context.now_s)
        self._understood = chat.is_understood(body, len(self._frozen.source))
        self.repair = ResponseRepair(context, body, is_understood=self._understood)
        messages = body["messages"] if self._understood else []
        self._prefixes = Prefixes(messages, len(self._frozen.source), self._frozen.said)
        self._history = HistoryReader(messages, self._prefixes, context.memory.turns, context.now_s)

    def local_answer(self) -> LocalAnswer | None:
        """What the agent gets without a round trip: the next wave of a turn, if it is due."""
        batching = self._batching
        if batching is None or not self._answers_locally:
            return None
        messages = self._body["messages"]
        last = next(reversed(self._history.spoken(len(self._frozen.source))), None)
        turn = open_turn(messages, last)
        if turn is None or last is None or turn.asked is None:
            return None
        if not goes_on(self._body, turn.asked):
            return None
        calls = next_calls(
            turn,
            last,
            batching.failed or looks_failed,
            go_on=batching.on_failure == "go_on",
            serial=self._is_serial,
        )
        if calls is None:
            return None
        turn.hand_out(tuple(str(call["id"]) for call in calls))
        self._context.tally.add("local_answers")
        usage = turn.usage if batching.local_usage == "last_prompt" else None
        return LocalAnswer(turn, calls, f"chatcmpl-bw{self._context.random_text(24)}", usage)

    @property
    def _answers_locally(self) -> bool:
        """Whether what is held back of this answer can be handed out later."""
        one_choice = self._body.get("n") in (None, 1)
        return self._batching is not None and self._understood and one_choice

    def request(self) -> chat.Body | None:
        """The request in the provider view; None if it stays as it is."""
        if not self._understood:
            self._context.tally.add("not_understood")
            return None
        observations, model = self._context.memory.observations, self._body.get("model")
        if observations.is_off(model, "offer"):
            self._context.tally.add("switched_off")
            self._rewrite = "fold"
        if observations.is_off(model, "fold"):
            return None
        if self._batching is not None:
            offers = self._rewrite == "offer"
            self.repair.view = rewrite(
                self._body, self._frozen, self._history, self._context, offers=offers
            )
            self._may_ask = self._answers_locally
        sent = self._body if self.repair.view.body is None else self.repair.view.body
        mended = self.repair.mended(sent)
        if mended is not sent:
            self.repair.view = replace(self.repair.view, body=mended)
        if self.repair.view.body is None:
            self._rewrite = "usage"  # all that the exchange may still change
        return self.repair.view.body

    @property
    def asks_usage(self) -> bool:
        """Whether a stream may be asked for its usage."""
        observations = self._context.memory.observations
        known = bool(self._context.provider.usage_in_streams)
        return known and not observations.is_off(self._body.get("model"), "usage")

    def folded(self) -> chat.Body | None:
        """The request with its earlier batches folded, and nothing else; None if it has none.

        No function of the user's is needed for it.
        """
        off = self._context.memory.observations.is_off(self._body.get("model"), "fold")
        if self._batching is None or not self._understood or off:
            self.withdraw()
            return None
        options = replace(self._context.options, batching=replace(self._batching, failed=None))
        context = replace(self._context, options=options)
        self._rewrite = "fold"
        self.repair.view = rewrite(self._body, NOTHING, self._history, context, offers=False)
        return self.repair.view.body

    def withdraw(self) -> None:
        """Nothing of what was made of the request goes out: its answer has none of our calls."""
        self.repair.view, self._readers, self._may_ask = ProviderView(), {}, False

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can still be asked again: the agent has got nothing of the answer."""
        return self._may_ask and not self._has_said and self.again is None

    def _consider_asking(self, choice: dict[str, Any], said: object) -> None:
        """Prepare to ask again, where an answer is nothing but multi-calls that mean nothing.

        What the agent gets otherwise is made all the same: whether it is asked again is for the
        exchange to say. A model that ran out of output tokens would only do so again.
        """
        reader = next(iter(self._readers.values()))
        is_cut = choice.get("finish_reason") == "length"
        if self.may_ask_again and reader.problems and not is_cut:
            sent = self._body if self.repair.view.body is None else self.repair.view.body
            self.again = asked_again(sent, said, reader.turn.original, reader.problems)

    def ask_again(self) -> chat.Body | None:
        """The request that asks again. Whatever comes next is the answer to it, and counts."""
        assert self.again is not None
        body = self.repair.again(self.again)
        self.again, self._may_ask, self._readers, self._judged = None, False, {}, set()
        self._head, self._usage, self._pace = {}, None, Pace()
        self.repair.view = replace(self.repair.view, body=body)
        self._context.tally.add("asked_again")
        self._context.tally.note("asked_again", model=str(self._body.get("model")))
        return body

    def _count_readings(self, turn: Turn) -> None:
        """Count how well a model's multi-calls were understood, where they were not as wanted."""
        model, tally = self._body.get("model"), self._context.tally
        self._context.memory.observations.judge_call(model, malformed=turn.malformed)
        for tool, understood in turn.readings:
            if understood != "exactly":
                tally.add(malformed_counter(model, understood))
                tally.note("malformed", model=str(model), tool=tool, understood=understood)

    def refused(self) -> None:
        """The provider did not understand the request: it goes out as the agent wrote it."""
        self.withdraw()
        self._context.tally.add("failed_open")
        self._context.tally.note("failed_open", model=str(self._body.get("model")))

    def give_up(self) -> None:
        """The agent's own request was understood: this model gets no more of that rewrite."""
        self._context.memory.observations.switch_off(self._body.get("model"), self._rewrite)

    def response(self, completion: chat.Body) -> chat.Body | None:
        """A plain completion in the agent view; None if it stays as it is.

        Raises:
            Broken: it cannot be used.
        """
        repaired = self.repair.whole(completion)
        listed, changed = repaired.get("choices"), repaired is not completion
        completion = repaired
        new = list(listed) if isinstance(listed, list) else []
        places = (place for place, choice in enumerate(new) if isinstance(choice, dict))
        for place, (index, choice) in zip(places, chat.choices(completion), strict=True):
            seen = self._reader(index).plain(choice)
            self._consider_asking(choice, chat.part_of(choice).get("content"))
            if seen is not choice:
                new[place], changed = seen, True
        self.note(completion)
        self.commit()
        self._judge()
        return {**completion, "choices": new} if changed else None

    @property
    def mends(self) -> bool:
        """Whether streams are put into shape."""
        repair = self._context.options.repair
        return repair is not None and repair.stream

    @property
    def reads_errors(self) -> bool:
        """Whether errors inside of streams are read."""
        repair = self._context.options.repair
        return repair is not None and repair.errors

    @property
    def fits_forms(self) -> bool:
        """Whether answers come in the form that was asked for, stream or whole."""
        repair = self._context.options.repair
        return repair is not None and repair.stream

    def chunk(self, chunk: chat.Body, piece: chat.Piece | None = None) -> list[chat.Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is.

        A chunk with an ``error`` is the last one.

        Args:
            chunk: of the stream.
            piece: all that it adds, where that is one piece of a text.
        """
        reader = None if piece is None else self._readers.get(piece[0])
        if piece is not None and reader is not None and reader.continues(piece[1]):
            goes_out = self.repair.continues(chunk, piece)
        else:
            goes_out = None
        if goes_out is None or piece is None or reader is None:
            repaired = self.repair.chunk(chunk)
            out = self._seen(chunk) if repaired is None else self._each_seen(repaired)
        else:
            out = self._continued(reader, chunk, piece) if goes_out else []
        if self._may_ask and not self._has_said:
            handed = [chunk] if out is None else out
            self._has_said = any(says_something(one.get("choices")) for one in handed)
        return out

    def _continued(
        self, reader: ChoiceReader, chunk: chat.Body, piece: chat.Piece
    ) -> list[chat.Body] | None:
        """The short way for nearly all chunks: a piece of a text that was begun before."""
        index, place, text = piece
        if self._context.clock is not None:
            self._pace.tick(self._context.clock())
        calls = None if place is None else reader.continued(place, text)
        if not calls:
            return calls
        self._commit(index, is_over=False)
        choice = {**chunk["choices"][0], "delta": {"tool_calls": calls}}
        return _one_call_each({**chunk, "choices": [choice]})

    def _each_seen(self, chunks: list[chat.Body]) -> list[chat.Body]:
        out: list[chat.Body] = []
        for chunk in chunks:
            seen = self._seen(chunk)
            out += [chunk] if seen is None else seen
        return out

    def _seen(self, chunk: chat.Body) -> list[chat.Body] | None:
        self.note(chunk)
        before: list[chat.Body] = []
        new, changed = [], False
        for index, choice in chat.choices(chunk):
            seen = self._reader(index).delta(choice)
            is_over = bool(choice.get("finish_reason"))
            if is_over:
                self._consider_asking(choice, None)
            if is_over or (seen is not choice and chat.tool_calls(chat.part_of(seen or {}))):
                self._commit(index, is_over=is_over)
            if seen is not choice:
                changed = True
                if seen is None and chunk.get("usage"):
                    seen = {**choice, "delta": {}}
                elif seen is not None and seen.get("finish_reason"):
                    before += _calls_before_finish(chunk, index, seen)
                    seen = {**seen, "delta": without_calls(chat.part_of(seen))}
            if seen is not None:
                new.append(seen)
        if not changed:
            return None
        return [*before, *_one_call_each({**chunk, "choices": new})] if new else before

    def end(self, chunk: chat.Body | None, *, marked: bool | None = None) -> list[chat.Body]:
        """What is left at the end of a stream.

        Args:
            chunk: any chunk of the stream, whose other fields the new ones take over.
            marked: whether it ended with its end mark; None where that cannot be seen.
        """
        out = self._each_seen(self.repair.end(marked=marked))
        return out if self.repair.is_over else [*out, *self._left(chunk)]

    def _left(self, chunk: chat.Body | None) -> list[chat.Body]:
        """The calls of choices that were not finished."""
        left = [(index, reader.finish()) for index, reader in self._readers.items()]
        if left:
            self._consider_asking({}, None)
        self.commit()
        self._judge()
        like = chunk or {"object": "chat.completion.chunk"}
        return [part for index, calls in left for part in _calls_chunks(like, index, calls)]

    def note(self, answer: chat.Body) -> None:
        """Remember what local answers repeat of this one."""
        if not self._head:
            fields = ("model", "created", "system_fingerprint")
            self._head = {name: answer[name] for name in fields if name in answer}
        self._usage = answer.get("usage") or self._usage
        if self._context.clock is not None:
            self._pace.see(answer, self._context.clock())

    def commit(self) -> None:
        """Remember all turns as far as they have been handed out."""
        for index in self._readers:
            self._commit(index, is_over=True)

    def _commit(self, index: Any, *, is_over: bool) -> None:
        """Remember a turn as far as it has been handed out, for folding and for what waits.

        An agent may stop reading where its message ends, or be cut off before: it never sees
        the end of the stream, so nothing may wait for that.
        """
        turn, memory = self._readers[index].turn, self._context.memory
        if not self._understood:
            return  # no later request can be told to go on with it
        if not turn.nonce and not (is_over and turn.calls):
            return
        whole = self._prefixes.before(len(self._body["messages"]))
        if not turn.nonce:
            calls = [placed.call for placed in turn.calls]
            memory.turns.keep_plain(whole.digest, calls, self._context.now_s)
            return
        if turn.asked is None:
            turn.asked = request_of(self._body, whole.digest)
        turn.head, turn.usage, turn.room = self._head, self._usage, self.repair.view.room
        memory.turns.keep(turn, self._context.now_s)
        if is_over and turn.counts and index not in self._judged:
            self._judged.add(index)
            self._count_readings(turn)

    def _judge(self) -> None:
        """Take note of what a whole answer tells of its model."""
        observations, model = self._context.memory.observations, self._body.get("model")
        if self.repair.view.is_follow_up:  # the prompt could have been cached
            observations.judge_cache(model, self._usage)
        if (pace := self._pace.tokens_per_s) is not None:
            observations.judge_pace(model, pace)

    def _reader(self, index: Any) -> ChoiceReader:
        if index not in self._readers:
            context, tool_set = self._context, self.repair.view.tool_set
            # A choice of tools may leave the native one out.
            gathers = tool_set.natives and not isinstance(self._body.get("tool_choice"), dict)
            self._readers[index] = ChoiceReader(
                Gatherer(tool_set.natives, context.tally) if gathers else None,
                Expander(tool_set, self._waves(), context.random_text, context.tally),
                self._ahead,
            )
        return self._readers[index]

    @property
    def _is_serial(self) -> bool:
        """Whether the agent takes one call at a time."""
        delivery = self._batching.delivery if self._batching is not None else "at_once"
        told = self._body.get("parallel_tool_calls") is False
        return delivery == "serial" or (told and delivery == "auto")

    def _waves(self) -> Waves:
        batching = self._batching or Batching()
        return Waves(
            self.repair.view.most,
            one_by_one=self._is_serial,
            changes_one_by_one=batching.approvals,
            at_once=batching.delivery == "at_once",
            own_wait=self._answers_locally,
        )

    def _ahead(self, turn: Turn) -> Reads:
        """The reads that are added to a turn: to one single read only."""
        options = self._batching.read_ahead if self._batching else None
        if options is None or len(turn.calls) != 1 or turn.counts or not self._understood:
            return []
        reads = next_reads(
            self._body["messages"],
            turn.calls[0].call,
            self.repair.view.tool_set.singles,
            options,
            room=self.repair.view.room,
        )
        if reads:
            self._context.tally.add("read_ahead", len(reads))
            self._context.tally.note("read_ahead", reads=len(reads))
        return reads


def _calls_before_finish(chunk: chat.Body, index: Any, choice: dict[str, Any]) -> list[chat.Body]:
    """A chunk of its own for calls that came to light with the finish of their choice."""
    return _calls_chunks(chunk, index, chat.tool_calls(chat.part_of(choice)))


def _calls_chunks(like: chat.Body, index: Any, calls: list[chat.ToolCall]) -> list[chat.Body]:
    """A chunk for each call."""
    head = {key: value for key, value in like.items() if key not in ("choices", "usage")}
    deltas = ({"tool_calls": [call]} for call in calls)
    return [
        {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]


def _one_call_each(chunk: chat.Body) -> list[chat.Body]:
    """A chunk of one choice in chunks of one call each; the first keeps the other fields."""
    [choice, *others] = chunk["choices"]
    first, *more = chat.one_call_each(chat.part_of(choice))
    if others or not more:
        return [chunk]
    calls = [delta["tool_calls"][0] for delta in more]
    return [
        {**chunk, "choices": [{**choice, "delta": first}]},
        *_calls_chunks(chunk, choice.get("index"), calls),
    ]

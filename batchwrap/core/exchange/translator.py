"""The translator between the two views: one for each request and its answer.

    agent view  -> provider_view (fold, coalesce, offer, remind) -> provider view
    agent view  <- ChoiceReader (expand, read ahead) <- repair   <- provider view

A method that changes nothing returns None, so that the caller can hand on the original bytes. The
methods are those of `Translation`; the exchange calls them through `GuardedTranslation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.fast_path import Route, as_it_came, repaired
from batchwrap.core.exchange.frozen_prefix import NOTHING, find_prefix
from batchwrap.core.exchange.model_observations import Rewrite
from batchwrap.core.exchange.pace import Pace
from batchwrap.core.exchange.passthrough import NoRepair
from batchwrap.core.exchange.provider_view import Asked, ProviderView, rewrite
from batchwrap.core.exchange.response_repair import ResponseRepair
from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Delta, Format, Local, Piece, Take, is_signed
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.again import asked_again
from batchwrap.core.moves.conflict import Waves
from batchwrap.core.moves.deliver import (
    LocalAnswer,
    continues,
    next_calls,
    open_turn,
    request_of,
)
from batchwrap.core.moves.expand import Expander
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.moves.past_turns import HistoryReader, PastTurn
from batchwrap.core.moves.read_ahead import next_reads
from batchwrap.core.moves.reader import ChoiceReader, Reads
from batchwrap.core.moves.turn_memory import Turn, Turns
from batchwrap.core.repair.faults import INCOMPLETE
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.options import Batching
from batchwrap.stats import malformed_counter


class Translator:
    """Translates one request into the provider view and its answer back.

    Args:
        context: what the exchange gets from outside.
        body: the agent's request.
        form: its format.
    """

    def __init__(self, context: Context, body: Body, form: Format) -> None:
        self._context = context
        self._body = body
        self._form = form
        self._stream = form.stream()
        self._repairs = context.options.repair if form.is_repaired else None
        self._batching = context.options.batching
        # What is switched off if the provider refuses the request and accepts the agent's own.
        self._rewrite: Rewrite = "offer"
        self._readers: dict[Any, ChoiceReader] = {}
        self._judged: set[Any] = set()  # choices that the observations have counted
        self._may_ask = False  # whether the model may be asked again if it is not understood
        self._has_said = False  # whether the agent has a part of the answer
        self.again: Body | None = None
        self._head: Mapping[str, Any] = {}
        self._usage: Any = None
        self._pace = Pace()
        self._frozen = NOTHING
        if self._batching is not None:
            self._frozen = find_prefix(body, form, context.memory.frozen_prefixes, context.now_s)
        known, start = len(self._frozen.source), len(self._frozen.entries)
        self._understood = form.understands(body, known)
        entries: list[Entry] = []
        if self._understood:
            entries = [*self._frozen.entries, *form.read(form.items(body)[known:])]
        settings = form.settings(body)
        thinks = context.model.thinks if settings.thinks is None else settings.thinks
        # Of what was not bound before only what is new can be.
        is_bound = is_signed(form, entries[0 if self._frozen.is_bound else start :], thinks=thinks)
        self._asked = Asked(body, form, settings, entries, is_bound)
        self.repair: ResponseRepair | NoRepair = (
            ResponseRepair(context, self._asked, is_understood=self._understood)
            if form.is_repaired
            else NoRepair()
        )
        self._prefixes = Prefixes(entries, start, self._frozen.said)
        turns, now_s = context.memory.turns, context.now_s
        # The provider view of a bound conversation follows from its history alone, so it is folded
        # without the memory. Waiting calls still come from the memory.
        self._remembered = HistoryReader(entries, self._prefixes, turns, now_s)
        self._history = self._remembered
        if is_bound:
            self._history = HistoryReader(entries, self._prefixes, Turns(), now_s)
        self._has_guessed = False

    def local_answer(self) -> LocalAnswer | None:
        """The next wave of a turn, if it is due; None if the provider has to be asked."""
        batching = self._batching
        if batching is None or not self._answers_locally:
            return None
        last = self._last(self._remembered)
        turn = open_turn(self._asked.entries, last)
        if turn is None or last is None or turn.asked is None:
            return None
        if self._asked.is_bound and not self._folds_for_ever(last):
            return None
        if not continues(self._asked.model, self._asked.settings, turn.asked):
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
        self._context.metrics.add("local_answers")
        usage = turn.usage if batching.local_usage == "last_prompt" else None
        answer = Local(calls, self._context.random_text(24), turn.head, usage)
        given = partial(turn.hand_out, tuple(call.call_id for call in calls))
        return LocalAnswer(self._form, answer, given)

    def _last(self, history: HistoryReader) -> PastTurn | None:
        """The last turn of the history whose calls were split; None if there is none."""
        return next(reversed(history.spoken(len(self._frozen.entries))), None)

    def _folds_for_ever(self, last: PastTurn) -> bool:
        """Whether the open turn can be folded by its ids alone, in any process.

        A local answer is not signed, so the provider must never get it. Notes of the agent's own
        between two waves would follow each other after folding, which the provider refuses.
        """
        shown = self._last(self._history)
        is_whole = shown is not None and (shown.start, shown.end) == (last.start, last.end)
        return is_whole and not last.others and last.end == len(self._asked.entries)

    @property
    def _answers_locally(self) -> bool:
        """Whether calls that are held back now can be handed out later."""
        is_one = self._asked.settings.is_one_answer
        return self._batching is not None and self._understood and is_one

    def request(self) -> Body | None:
        """The request in the provider view; None if it stays as it is."""
        if not self._understood:
            self._context.metrics.add("not_understood")
            return None
        observations, model = self._context.memory.observations, self._asked.model
        # A bound conversation that has begun continues as it began.
        goes_on = self._asked.is_bound and self._asked.has_begun
        if observations.is_off(model, "offer") and not goes_on:
            self._context.metrics.add("switched_off")
            self._rewrite = "fold"
        if observations.is_off(model, "fold") and not goes_on:
            return None
        if self._batching is not None:
            offers = self._rewrite == "offer"
            self.repair.view = rewrite(
                self._asked, self._frozen, self._history, self._context, offers=offers
            )
            # Asking again makes the conversation longer, and the answer would be signed for that.
            self._may_ask = self._answers_locally and not self._asked.is_bound
        sent = self._body if self.repair.view.body is None else self.repair.view.body
        mended = self.repair.mended(sent)
        if mended is not sent:
            self.repair.view = replace(self.repair.view, body=mended)
        if self.repair.view.body is None:
            self._rewrite = "usage"  # the only change that the exchange may still make
        return self.repair.view.body

    @property
    def asks_usage(self) -> bool:
        """Whether a stream may be asked for its usage."""
        observations = self._context.memory.observations
        known = bool(self._context.provider.usage_in_streams)
        return known and not observations.is_off(self._asked.model, "usage")

    def folded(self) -> Body | None:
        """The request with its earlier batches folded and nothing added; None if unchanged.

        It calls no function of the user's, since it is used after one of them may have failed.
        """
        off = self._context.memory.observations.is_off(self._asked.model, "fold")
        if self._batching is None or not self._understood or off:
            self.withdraw()
            return None
        # `Batching.failed` is the user's function, and may be what has raised.
        options = replace(self._context.options, batching=replace(self._batching, failed=None))
        context = replace(self._context, options=options)
        self._rewrite = "fold"
        self.repair.view = rewrite(self._asked, NOTHING, self._history, context, offers=False)
        return self.repair.view.body

    def withdraw(self) -> None:
        """Record that the agent's own request goes out, so its answer has no multi-calls."""
        self.repair.view, self._readers, self._may_ask = ProviderView(), {}, False

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can be asked again, since the agent has nothing of the answer yet."""
        return self._may_ask and not self._has_said and self.again is None

    def _consider_asking(self, said: Delta) -> None:
        """Prepare to ask again, if an answer consists of multi-calls that cannot be understood.

        The agent's answer is made in any case, since the exchange decides whether to ask again. A
        model that ran out of output tokens is not asked, since it would run out again.
        """
        # With several choices nothing is asked again (`_answers_locally`), so there is one reader.
        reader = next(iter(self._readers.values()))
        if not self.may_ask_again or not reader.problems or said.is_cut:
            return
        form, calls = self._form, reader.turn.original
        added = asked_again(form, said.text, calls, reader.problems)
        if added is not None:
            sent = self._body if self.repair.view.body is None else self.repair.view.body
            self.again = form.with_items(sent, [*form.items(sent), *form.write(added)])

    def ask_again(self) -> Body | None:
        """The request that asks again. The next answer belongs to it, and is handed out."""
        assert self.again is not None
        body = self.repair.again(self.again)
        self.again, self._may_ask, self._readers, self._judged = None, False, {}, set()
        self._head, self._usage, self._pace = {}, None, Pace()
        self.repair.view = replace(self.repair.view, body=body)
        self._context.metrics.add("asked_again")
        self._context.metrics.note("asked_again", model=str(self._asked.model))
        return body

    def _count_readings(self, turn: Turn) -> None:
        """Count the multi-calls of a turn that were not understood exactly."""
        model, metrics = self._asked.model, self._context.metrics
        self._context.memory.observations.judge_call(model, malformed=turn.malformed)
        for tool, understood in turn.readings:
            if understood != "exactly":
                metrics.add(malformed_counter(model, understood))
                metrics.note("malformed", model=str(model), tool=tool, understood=understood)

    def refused(self, error: Body) -> Resend | None:
        """What to send after the provider refused the request; None to hand its error out.

        Usually that is the request as the agent wrote it. A bound conversation that has begun
        cannot be sent like this. For it, it is the other view that the conversation may have begun
        with, or the same view without the signed parts that do not fit, if the client allows that.
        """
        is_running = self._asked.is_bound and self._asked.has_begun
        again = self._rebound(error) if is_running else None
        if is_running and again is None:
            return None
        if again is None:
            self.withdraw()
        self._context.metrics.add("failed_open")
        self._context.metrics.note("failed_open", model=str(self._asked.model))
        return Resend(again)

    @property
    def is_guess(self) -> bool:
        """Whether a bound conversation may have begun in another view that was not tried yet."""
        return self.repair.view.is_guess and not self._has_guessed

    def _rebound(self, error: Body) -> Body | None:
        """Another view of a bound conversation, if the provider says that ours was changed."""
        binding, view = self._form.binding, self.repair.view
        if binding is None or not binding.is_refused(error):
            return None
        if self.is_guess:
            self._has_guessed = True
            self.repair.view = rewrite(
                self._asked, NOTHING, self._history, self._context, offers=True, otherwise=True
            )
            return self.repair.view.body
        again = binding.unbound(self._body if view.body is None else view.body)
        self.repair.view = replace(view, body=again)
        return again

    def give_up(self) -> None:
        """Switch the refused rewrite off for this model: its own request was accepted."""
        self._context.memory.observations.switch_off(self._asked.model, self._rewrite)

    def response(self, completion: Body) -> Body | None:
        """A whole completion in the agent view; None if it stays as it is.

        Raises:
            Broken: the completion cannot be used.
        """
        repaired = self.repair.whole(completion)
        calls = []
        for said in self._form.deltas(repaired):
            calls.append(self._reader(said.choice).whole(said))
            self._consider_asking(said)
        seen = self._form.with_calls(repaired, calls)
        self.note(repaired)
        self.commit()
        self._judge()
        return None if seen is completion else seen

    @property
    def mends(self) -> bool:
        """Whether the events of streams are repaired."""
        return self._repairs is not None and self._repairs.stream

    @property
    def reads_errors(self) -> bool:
        """Whether errors inside streams are read."""
        return self._repairs is not None and self._repairs.errors

    @property
    def fits_forms(self) -> bool:
        """Whether an answer is converted to the form that was asked for, stream or whole."""
        return self._repairs is not None and self._repairs.stream

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is.

        A chunk with an ``error`` is the last one.
        """
        repaired = self.repair.chunk(chunk)
        out = self._seen(chunk) if repaired is None else self._each_seen(repaired)
        if self._may_ask and not self._has_said:
            handed = [chunk] if out is None else out
            self._has_said = not all(map(self._form.is_silent, handed))
        return out

    def route_of(self, piece: Piece) -> Route | None:
        """The route of the next pieces of a text; None if events must be read whole."""
        index, place, _ = piece
        reader = self._readers.get(index)
        if reader is None or not reader.is_clear:
            return None
        read: Take | None = as_it_came
        if isinstance(place, int):
            read = reader.take_of(place)
        elif self.may_ask_again:
            return None  # `chunk` has to see the first text: after it, nobody is asked again
        repair = None if read is None else self.repair.take_of(index, place)
        if read is None or repair is None:
            return None
        handed_out = partial(self._handed_out, index)
        return Route(place, repaired(repair, read), self._stream, handed_out)

    def _handed_out(self, index: int) -> None:
        """Record that calls of a choice go out by the fast path."""
        self._has_said = True
        self._commit(index, is_over=False)

    def _each_seen(self, chunks: list[Body]) -> list[Body]:
        out: list[Body] = []
        for chunk in chunks:
            seen = self._seen(chunk)
            out += [chunk] if seen is None else seen
        return out

    def _seen(self, chunk: Body) -> list[Body] | None:
        self.note(chunk)
        made: list[Sequence[Fragment] | None] = []
        given: list[Delta] = []
        for delta in self._stream.deltas(chunk):
            calls = self._reader(delta.choice).delta(delta)
            if delta.is_over:
                self._consider_asking(delta)
            if delta.is_over or calls:
                given.append(delta)
            made.append(calls)
        out = self._stream.rewritten(chunk, made)
        for delta in given:  # only what could be written counts as handed out
            self._commit(delta.choice, is_over=delta.is_over)
        return out

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """The chunks to hand out at the end of a stream.

        Args:
            chunk: any chunk of the stream, whose other fields the new ones copy.
            marked: whether the stream ended with its end mark; None if that is unknown.
        """
        out = self._each_seen(self.repair.end(marked=marked))
        if self.repair.is_over:
            return out
        # In a format without an end mark, an event ends the answer, so a stream that ends before
        # that event is cut.
        is_cut = marked is False or self._form.end_mark is None
        return [*out, *(self._broken_off(marked=marked) or self._left(chunk, is_cut=is_cut))]

    def _broken_off(self, *, marked: bool | None) -> list[Body]:
        """The events of an error, for a stream that was cut, in formats that are not repaired."""
        options = self._context.options.repair
        if marked or options is None or not options.stream or not self._understood:
            return []
        if not isinstance(self.repair, NoRepair):
            return []
        events = self._stream.broken_off(INCOMPLETE.as_api_error)
        if events:
            RepairCounts(self._context.metrics).defect(INCOMPLETE.kind, **INCOMPLETE.facts)
            self.repair.is_over = True
        return events

    def _left(self, chunk: Body | None, *, is_cut: bool) -> list[Body]:
        """The remaining calls of the choices; a choice that was cut off hands out none."""
        over = {index: reader for index, reader in self._readers.items() if reader.is_over}
        ended = over if is_cut else self._readers
        left = [(index, reader.finish()) for index, reader in ended.items()]
        if left:
            self._consider_asking(Delta())
        out = self._stream.left(chunk, left)
        for index in self._readers:
            self._commit(index, is_over=index in ended)
        self._judge()
        return out

    def note(self, answer: Body) -> None:
        """Remember the parts of an answer that local answers repeat, and measure its pace."""
        form = self._form
        self._head = self._head or form.head(answer)
        self._usage = form.usage(answer) or self._usage
        if self._context.clock is not None:
            self._pace.see(*form.timing(answer), self._context.clock())

    def commit(self) -> None:
        """Remember all turns as far as they were handed out."""
        for index, reader in self._readers.items():
            self._commit(index, is_over=reader.is_over)

    def _commit(self, index: Any, *, is_over: bool) -> None:
        """Remember a turn as far as it was handed out, for folding and for waiting calls.

        An agent may stop reading at the end of the message, or be cut off before it. So a turn is
        remembered when it is handed out, not at the end of the stream.
        """
        turn, memory = self._readers[index].turn, self._context.memory
        if not self._understood:
            return  # without the conversation's digest no later request can be matched to it
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
        turn.head, turn.usage, turn.room = self._head, self._usage, self.repair.view.room
        memory.turns.keep(turn, self._context.now_s)
        if is_over and turn.counts and index not in self._judged:
            self._judged.add(index)
            self._count_readings(turn)

    def _judge(self) -> None:
        """Record what a whole answer shows of its model."""
        observations, model = self._context.memory.observations, self._asked.model
        cached = self._form.cached(self._usage)
        if cached is not None and self.repair.view.is_follow_up:  # it could have been cached
            observations.judge_cache(model, *cached)
        if (pace := self._pace.tokens_per_s) is not None:
            observations.judge_pace(model, pace)

    def _reader(self, index: Any) -> ChoiceReader:
        if index not in self._readers:
            context, tool_set = self._context, self.repair.view.tool_set
            # A forced `tool_choice` may not allow the native multi-tool.
            gathers = tool_set.natives and not self._asked.settings.is_forced
            self._readers[index] = ChoiceReader(
                Gatherer(tool_set.natives, context.metrics) if gathers else None,
                Expander(
                    tool_set,
                    self._waves(),
                    context.random_text,
                    context.metrics,
                    is_offered=self.repair.view.is_offered and self._form.binding is not None,
                    is_bound=self._asked.is_bound,
                ),
                self._ahead,
            )
        return self._readers[index]

    @property
    def _is_serial(self) -> bool:
        """Whether the agent takes one call at a time."""
        delivery = self._batching.delivery if self._batching is not None else "at_once"
        is_asked = self._asked.settings.parallel is False
        return delivery == "serial" or (is_asked and delivery == "auto")

    def _waves(self) -> Waves:
        batching = self._batching or Batching()
        return Waves(
            self.repair.view.most,
            one_by_one=self._is_serial,
            changes_one_by_one=batching.approvals,
            at_once=batching.delivery == "at_once",
            own_wait=self._answers_locally and self._may_mark,
        )

    @property
    def _may_mark(self) -> bool:
        """Whether calls may have ids of ours.

        In a bound conversation such ids mean that multi-tools were offered.
        """
        return self.repair.view.is_offered or not self._asked.is_bound

    def _ahead(self, turn: Turn) -> Reads:
        """The reads that are added to a turn, which has to be one single read."""
        options = self._batching.read_ahead if self._batching else None
        if options is None or len(turn.calls) != 1 or turn.counts or not self._understood:
            return []
        if not self._may_mark:
            return []
        reads = next_reads(
            self._asked.entries,
            turn.calls[0].call,
            self.repair.view.tool_set.singles,
            options,
            room=self.repair.view.room,
        )
        if reads:
            self._context.metrics.add("read_ahead", len(reads))
            self._context.metrics.note("read_ahead", reads=len(reads))
        return reads

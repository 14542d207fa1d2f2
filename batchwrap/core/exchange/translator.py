"""The translator between the two views: one for each request and its answer.

    agent view  -> provider_view (fold, coalesce, offer, remind) -> provider view
    agent view  <- ChoiceReader (expand, read ahead) <- repair   <- provider view

A method that changes nothing returns None, so that the caller can hand on the original bytes. The
methods are those of `Translation`; the exchange calls them through `GuardedTranslation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import is_
from typing import Any

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.answer_readers import AnswerReaders
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.fast_path import Route, as_it_came, repaired
from batchwrap.core.exchange.frozen_prefix import NOTHING, find_prefix
from batchwrap.core.exchange.model_observations import Rewrite
from batchwrap.core.exchange.outline import Outline, by_tool, named
from batchwrap.core.exchange.passthrough import NoRepair
from batchwrap.core.exchange.provider_view import (
    Asked,
    ProviderView,
    keeps_tools,
    rewrite,
    tool_set_for,
)
from batchwrap.core.exchange.response_repair import ResponseRepair
from batchwrap.core.exchange.script_running import ScriptRunning
from batchwrap.core.exchange.turn_keeping import TurnKeeping
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Delta, Format, Local, Piece, Take, is_signed
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.again import Attempts, asked_again
from batchwrap.core.moves.deliver import (
    LocalAnswer,
    continues,
    next_calls,
    open_turn,
)
from batchwrap.core.moves.past_turns import HistoryReader, PastTurn
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.moves.scripts import without_scripts
from batchwrap.core.recent import Recent
from batchwrap.core.repair.faults import INCOMPLETE
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.core.tools.script_tool import ScriptTool
from batchwrap.stats import model_name

# How often a model is asked again whose scripts make no call; what else is not understood, once.
_MOST_ASKED = 2


@dataclass(frozen=True, slots=True, repr=False)
class _Whole:
    """A whole answer, read.

    Attributes:
        came: it.
        repaired: the same, repaired.
        said: what it says, choice by choice.
        calls: the calls for the agent, those of scripts apart.
    """

    came: Body
    repaired: Body
    said: Sequence[Delta]
    calls: Sequence[Sequence[Fragment]]


@dataclass(slots=True, repr=False)
class _Paused:
    """An event of a stream, as far as it is read: a script in it may have to be run first.

    Attributes:
        chunk: it.
        deltas: what it adds.
        made: the calls for the agent, for as many of these as are read.
        behind: what follows it.
        given: those of the deltas whose calls are handed out, or that end the answer.
    """

    chunk: Body
    deltas: Sequence[Delta]
    made: list[Sequence[Fragment] | None] = field(default_factory=list)
    behind: Sequence[Body] = ()
    given: list[Delta] = field(default_factory=list)


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
        self._may_ask = False  # whether the model may be asked again if it is not understood
        self._has_said = False  # whether the agent has a part of the answer
        self.again: Sequence[Entry] | None = None
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
        self._readers = AnswerReaders(
            context, self._asked, self.repair, self._prefixes, is_understood=self._understood
        )
        self._keeping = TurnKeeping(context, self._asked, self._prefixes, self._readers)
        turns, now_s, model = context.memory.turns, context.now_s, self._asked.model
        # What is sent of a bound conversation follows from its history, whatever is remembered.
        self._remembered = HistoryReader(entries, self._prefixes, turns, now_s, model)
        self._history = self._remembered
        if is_bound:
            # But for scripts: where the agent does not keep them, memory is all there is.
            turns = turns.of_scripts()
            self._history = HistoryReader(entries, self._prefixes, turns, now_s, model)
        kept = Recent(0) if is_bound else context.memory.attempts
        self._attempts = Attempts(kept, entries, self._prefixes, now_s)
        self._has_guessed = False
        self._added: list[Sequence[Entry]] = []  # what was asked again, time by time
        self._local: Sequence[Fragment] = ()  # the calls of a local answer
        self._scripts = ScriptRunning(context, entries, self._script_tool)
        self._whole: _Whole | None = None  # an answer whose scripts are not all run yet
        self._paused: _Paused | None = None  # the same of a stream
        self._ends: Callable[[], list[Body]] | None = None  # what follows at the end of a stream

    def _script_tool(self) -> ScriptTool | None:
        """What runs scripts; None where they are off, or the agent has no tools for them."""
        if self._batching is None or self._batching.scripts is None:
            return None
        return tool_set_for(self._asked, self._batching, self._context.memory).script

    def names(self) -> Sequence[str]:
        """The names under which other processes may have kept what this one needs."""
        recall, frozen = self._context.recall, self._frozen
        if recall is None or not self._understood:
            return ()
        return recall.names(self._prefixes, self._asked.entries, len(frozen.entries))

    def script_run(self) -> ScriptRun | None:
        """The script that has to be run before the request can be answered, or sent."""
        batching, frozen = self._batching, self._frozen
        if batching is None or batching.scripts is None or not self._understood:
            return None
        # With other tools, all of the conversation is rewritten.
        is_kept = keeps_tools(self._asked, frozen, batching, self._context.memory)
        start = len(frozen.entries) if is_kept else 0
        self._scripts.need_for(self._remembered.spoken(start))
        return self._scripts.due

    def script_ran(self, outcome: ScriptOutcome) -> None:
        """The script of the history that had to be run has this outcome."""
        self._scripts.ran(outcome)

    def local_answer(self) -> LocalAnswer | None:
        """The next wave of a turn, if it is due; None if the provider has to be asked."""
        batching = self._batching
        if batching is None or not self._readers.answers_locally:
            return None
        last = self._last(self._remembered)
        turn = open_turn(self._asked.entries, last)
        if turn is None or last is None or turn.asked is None:
            return None
        if self._asked.is_bound and not self._folds_for_ever(last):
            return None
        if not continues(self._asked.model, self._asked.settings, turn.asked):
            return None
        scripts = self._scripts.of_past(last)
        calls = next_calls(
            turn,
            last,
            batching.failed or looks_failed,
            go_on=batching.on_failure == "go_on",
            serial=self._readers.is_serial,
            scripts=scripts,
            waves=partial(self._readers.waves, batching.max_items),
        )
        if calls is None:
            return None
        if scripts is not None and self._scripts.count_wave(turn, calls):
            self._context.metrics.add("script_round_trips")
        self._context.metrics.add("local_answers")
        self._local = calls
        usage = turn.usage if batching.local_usage == "last_prompt" else None
        answer = Local(calls, self._context.random_text(24), turn.head, usage)
        given = partial(turn.hand_out, tuple(call.call_id for call in calls))
        if self._context.recall is not None:
            given()  # other processes have to know before the agent has it
            self._context.recall.progressed(turn)
        return LocalAnswer(self._form, answer, given)

    def outline(self) -> Outline:
        """The answer in names and sizes, as far as it was read."""
        entries, name = self._asked.entries, ""
        if self._understood:
            name = named(self._prefixes.before(len(entries)), self._asked.model)
        turns = [reader.turn for reader in self._readers.values()]
        said = [(one.call.name, len(one.text)) for turn in turns for one in turn.said]
        given = [one for turn in turns for wave in turn.deliveries for one in wave]
        got = [(one.call.name, len(one.written.text)) for one in given]
        got += [(part.name or "", len(part.text or "")) for part in self._local]
        return Outline(
            conversation=name,
            said=by_tool(said, self._is_tool),
            got=by_tool(got, self._is_tool),
            held=sum(len(turn.calls) for turn in turns) - len(given),
        )

    def _is_tool(self, name: str) -> bool:
        """Whether a name is that of a tool in the request, as the agent or the model sees it."""
        tools = self.repair.view.tool_set
        is_script = tools.script is not None and name == tools.script.name
        return is_script or name in self._asked.settings.tools or tools.multi(name) is not None

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
            return self._own()
        if self._batching is not None:
            offers = self._rewrite == "offer"
            self.repair.view = rewrite(
                self._asked,
                self._frozen,
                self._history,
                self._context,
                offers=offers,
                scripts=self._scripts.of_past,
                attempts=self._attempts.before,
            )
            last = self._last(self._history)
            if last is not None and last.end == len(self._asked.entries):
                self._scripts.count_told(last)  # nothing of them waits any more
                if self._context.recall is not None and last.known is not None and last.known.told:
                    self._context.recall.progressed(last.known)
            # The answer to a longer conversation would be signed for that one.
            self._may_ask = self._readers.answers_locally and not self._asked.is_bound
        if self.repair.view.body is None:
            self.repair.view = replace(self.repair.view, body=self._own())
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
            return self.withdraw()
        # `Batching.failed` is the user's function, and may be what has raised.
        options = replace(self._context.options, batching=replace(self._batching, failed=None))
        context = replace(self._context, options=options)
        self._rewrite = "fold"
        self.repair.view = rewrite(self._asked, NOTHING, self._history, context, offers=False)
        return self.repair.view.body

    def withdraw(self) -> Body | None:
        """The agent's own request, whose answer has no multi-calls; None: its own bytes."""
        self.repair.view, self._may_ask = ProviderView(), False
        self._readers.clear()
        self._added.clear()
        return self._own()

    def _own(self) -> Body | None:
        """The agent's request without the programs that travel in it; None where none do."""
        entries = self._asked.entries
        plain = [without_scripts(entry) for entry in entries]
        if all(map(is_, plain, entries)):
            return None
        return self._form.with_items(self._body, self._form.write(plain))

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can be asked again, since the agent has nothing of the answer yet."""
        return self._may_ask and not self._has_said and self.again is None

    def _consider_asking(self, said: Delta) -> None:
        """Prepare to ask again, if an answer consists of multi-calls that cannot be understood.

        The agent's answer is made in any case, since the exchange decides whether to ask again. A
        model that ran out of output tokens is not asked, since it would run out again.
        """
        # With several choices nothing is asked again (`answers_locally`), so there is one reader.
        reader = next(iter(self._readers.values()))
        if not self.may_ask_again or not reader.problems or said.is_cut:
            return
        calls = reader.turn.original
        self.again = asked_again(self._form, said.text, calls, reader.problems)

    def ask_again(self) -> Body | None:
        """The request that asks again. The next answer belongs to it, and is handed out."""
        assert self.again is not None
        self._added.append(self.again)
        self._may_ask = len(self._added) < _MOST_ASKED and self._has_scripts
        self.again = None
        self._has_said = False  # what was made of the answer was dropped with it
        self._readers.clear()
        self._keeping.begin()
        self._stream = self._form.stream()
        memory, now_s = self._context.memory, self._context.now_s
        self.repair.view = rewrite(
            self._asked,
            find_prefix(self._body, self._form, memory.frozen_prefixes, now_s),
            self._history,
            replace(self._context, metrics=ExchangeMetrics()),  # it is counted once
            offers=self._rewrite == "offer",
            scripts=self._scripts.of_past,
            attempts=self._attempts.before,
            added=[entry for one in self._added for entry in one],
        )
        sent = self._body if self.repair.view.body is None else self.repair.view.body
        body = self.repair.again(sent)
        self.repair.view = replace(self.repair.view, body=body)
        self._context.metrics.add("asked_again")
        self._context.metrics.note("asked_again", model=model_name(self._asked.model))
        return body

    def ask_as_before(self) -> None:
        """The provider did not take that request, and is asked as it was before."""
        self._added.pop()

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
        is_plain = again is None
        if is_plain:
            again = self.withdraw()
        self._context.metrics.add("failed_open")
        self._context.metrics.note("failed_open", model=model_name(self._asked.model))
        return Resend(again, is_plain=is_plain)

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
                self._asked,
                NOTHING,
                self._history,
                self._context,
                offers=True,
                otherwise=True,
                scripts=self._scripts.of_past,
            )
            return self.repair.view.body
        again = binding.unbound(self._body if view.body is None else view.body)
        self.repair.view = replace(view, body=again)
        return again

    def give_up(self) -> None:
        """Switch the refused rewrite off for this model: its own request was accepted."""
        self._context.memory.observations.switch_off(self._asked.model, self._rewrite)

    def takes_trial(self) -> bool:
        """Whether the agent's own request is sent after a server error, to find its cause."""
        observations, now_s = self._context.memory.observations, self._context.now_s
        return observations.takes_trial(self._asked.model, now_s)

    def tried(self, *, accepted: bool) -> None:
        """The agent's own request was sent after a server error; whether it was accepted."""
        observations, now_s = self._context.memory.observations, self._context.now_s
        observations.judge_trial(self._asked.model, self._rewrite, now_s, accepted=accepted)

    def accepted(self) -> None:
        """The provider has accepted the rewritten request."""
        self._context.memory.observations.judge_accepted(self._asked.model, self._rewrite)

    def response(self, completion: Body) -> Body | ScriptRun | None:
        """A plain completion in the agent view; None if it stays as it is.

        Where it holds a script, that has to be run first; `response_ran` then goes on.

        Raises:
            Broken: the completion cannot be used.
        """
        repaired = self.repair.whole(completion)
        said = self._form.deltas(repaired)
        calls = [self._readers[one.choice].whole(one) for one in said]
        self._whole = _Whole(completion, repaired, said, calls)
        return self._responded(self._whole)

    def response_ran(self, outcome: ScriptOutcome) -> Body | ScriptRun | None:
        """The same as `response`, once the script that had to be run has this outcome."""
        assert self._whole is not None
        self._scripts.ran(outcome)
        return self._responded(self._whole)

    def _responded(self, whole: _Whole) -> Body | ScriptRun | None:
        if any(map(self._needs_run, [one.choice for one in whole.said])):
            return self._scripts.due
        calls = []
        for one, own in zip(whole.said, whole.calls, strict=True):
            calls.append([*own, *self._first_of_scripts(one.choice)])
            self._consider_asking(one)
        seen = self._form.with_calls(whole.repaired, calls)
        self.note(whole.repaired)
        self.commit()
        self._keeping.judge(self.repair.view)
        return None if seen is whole.came else seen

    def _needs_run(self, index: Any) -> bool:
        """Whether a script of an answer has to be run before it can be handed out."""
        reader = self._readers[index]
        return self._scripts.need(reader.turn)

    def _first_of_scripts(self, index: Any) -> list[Fragment]:
        """The first calls of an answer's scripts, all of which have been run."""
        reader = self._readers[index]
        scripts = self._scripts.of_answer(reader.turn)
        if scripts is None:
            return []
        calls = reader.run_scripts(scripts)
        self._context.metrics.add("scripts", len(reader.turn.scripts))
        self._scripts.count_wave(reader.turn, calls)
        return calls

    @property
    def _has_scripts(self) -> bool:
        """Whether the answer holds a script."""
        return any(reader.turn.scripts for reader in self._readers.values())

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
        self._said([chunk] if out is None else out)
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

    def _each_seen(self, chunks: Sequence[Body]) -> list[Body]:
        out: list[Body] = []
        for place, chunk in enumerate(chunks):
            seen = self._seen(chunk)
            out += [chunk] if seen is None else seen
            if self._paused is not None:
                self._paused.behind = chunks[place + 1 :]
                break
        return out

    def _seen(self, chunk: Body) -> list[Body] | None:
        self.note(chunk)
        return self._go_on(_Paused(chunk, self._stream.deltas(chunk)))

    def _go_on(self, event: _Paused) -> list[Body] | None:
        """The chunks for an event, or none yet where a script in it has to be run first."""
        for delta in event.deltas[len(event.made) :]:
            event.made.append(self._readers[delta.choice].delta(delta))
            if delta.is_over and self._needs_run(delta.choice):
                self._paused = event
                return []
            self._take_delta(event, delta)
        out = self._stream.rewritten(event.chunk, event.made)
        for delta in event.given:  # only what could be written counts as handed out
            self._commit(delta.choice, is_over=delta.is_over)
        return out

    def _take_delta(self, event: _Paused, delta: Delta) -> None:
        """Take note of what is handed out for the part of an event that was read last.

        At the end of an answer its scripts are all run.
        """
        calls = event.made[-1]
        if delta.is_over:
            first = self._first_of_scripts(delta.choice)
            if first:
                calls = event.made[-1] = [*(delta.fragments if calls is None else calls), *first]
            self._consider_asking(delta)
        if delta.is_over or calls:
            event.given.append(delta)

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that a stream waits for: nothing more of it may come before `chunk_ran`."""
        return None if self._paused is None else self._scripts.due

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """The chunks that waited for a script, once it has this outcome."""
        event = self._paused
        assert event is not None
        self._scripts.ran(outcome)
        delta = event.deltas[len(event.made) - 1]
        if self._needs_run(delta.choice):
            return []
        self._paused = None
        self._take_delta(event, delta)
        out = self._go_on(event)
        chunks = [event.chunk] if out is None else out
        if self._paused is None:
            chunks += self._each_seen(event.behind)
        if self._paused is None and self._ends is not None:
            chunks += self._ends()
        return self._said(chunks)

    def _said(self, chunks: list[Body]) -> list[Body]:
        """The same chunks, once it is noted whether the agent gets a part of the answer."""
        if self._may_ask and not self._has_said:
            self._has_said = not all(map(self._form.is_silent, chunks))
        return chunks

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """The chunks to hand out at the end of a stream.

        Args:
            chunk: any chunk of the stream, whose other fields the new ones copy.
            marked: whether the stream ended with its end mark; None if that is unknown.
        """
        self._ends = partial(self._rest, chunk, marked=marked)
        out = self._each_seen(self.repair.end(marked=marked))
        return out if self._paused is not None else [*out, *self._ends()]

    def _rest(self, chunk: Body | None, *, marked: bool | None) -> list[Body]:
        """What is left at the end of a stream, behind what its repair adds."""
        if self.repair.is_over:
            return []
        # Without an end mark, what ends an answer is one of its events.
        is_cut = marked is False or self._form.end_mark is None
        return self._broken_off(marked=marked) or self._left(chunk, is_cut=is_cut)

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
        self._keeping.judge(self.repair.view)
        return out

    def note(self, answer: Body) -> None:
        """Remember the parts of an answer that local answers repeat, and measure its pace."""
        self._keeping.note(answer)

    def commit(self) -> None:
        """Remember all turns as far as they were handed out."""
        for index, reader in self._readers.items():
            self._commit(index, is_over=reader.is_over)

    def _commit(self, index: Any, *, is_over: bool) -> None:
        """Remember a turn as far as it was handed out, and what was asked before it."""
        if not self._understood:
            return  # without the conversation's digest no later request can be matched to it
        if is_over and self.again is None:
            deliveries = self._readers[index].turn.deliveries
            first = next((one for wave in deliveries for one in wave), None)
            added = [entry for one in self._added for entry in one]
            self._attempts.keep(None if first is None else first.call, added)
        self._keeping.keep(index, self.repair.view, is_over=is_over)

"""One request of the agent and its answer, as a state machine.

A driver (`batchwrap.drive`) calls a method for each thing that happened; the method returns the
next action, which the driver carries out. The machine uses no socket, no clock and no SDK. The
table of what may follow what is in `states`; the data it collects is in `progress`.

`Respond(None)`, and None for a chunk, mean that the original goes out. So whatever batchwrap does
not change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Protocol

from batchwrap.core.exchange.actions import (
    Action,
    AnswerLocally,
    AskAgain,
    Head,
    Load,
    ReadBody,
    ReadFirst,
    Reserve,
    Respond,
    RunScript,
    Send,
    Stream,
)
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.continued import Continued
from batchwrap.core.exchange.error_answers import ErrorAnswers
from batchwrap.core.exchange.exchange_counts import ExchangeCounts
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.guarded_translation import GuardedTranslation
from batchwrap.core.exchange.observer import NO_OBSERVER, Observer
from batchwrap.core.exchange.outline import Outline
from batchwrap.core.exchange.passthrough import OnlyThrottled
from batchwrap.core.exchange.progress import AnswerProgress, RequestProgress, WholeBody
from batchwrap.core.exchange.recall import Record
from batchwrap.core.exchange.states import AFTER, ALLOWED, OutOfOrder, State
from batchwrap.core.exchange.translation import Translation
from batchwrap.core.exchange.translator import Translator
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.endpoints import CHAT, Endpoint, Meter
from batchwrap.core.formats.format import Body
from batchwrap.core.limits import cost
from batchwrap.core.limits.cost import NOTHING
from batchwrap.core.limits.headers import Observation, read_headers
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.limits.resets import server_time
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.answer_forms import as_chunks
from batchwrap.core.repair.diagnosis import read_fault
from batchwrap.core.repair.faults import (
    Broken,
    Fault,
    error_in_event,
    may_hold_error,
)
from batchwrap.options import Limit


class Counter(Protocol):
    """Estimates the prompt tokens of a request."""

    def raw(self, body: Body) -> int:
        """The estimate from the request's texts alone."""

    def calibrated(self, model: object, raw: int) -> int:
        """The raw estimate, corrected by what the model's answers so far have reported."""

    def most(self, model: object, raw: int) -> int:
        """The corrected estimate with a margin that hardly any request exceeds."""


_OK = 200
# Errors of HTTP libraries that come after a request was sent; all others come before.
_AFTER_SENDING = frozenset({"ReadTimeout", "ReadError", "RemoteProtocolError", "APITimeoutError"})
_ONE_REQUEST = cost.Cost(requests=1)


def _no_clock() -> float:
    return 0.0


def translation_of(context: Context, body: Body, endpoint: Endpoint) -> Translation:
    """The translation for a request to an endpoint.

    An endpoint without a format has no provider view, so its requests are only throttled, or, if
    they continue a response by its id, have their results translated.
    """
    if endpoint.format is not None:
        return Translator(context, body, endpoint.format)
    if endpoint.continued is not None:
        return Continued(context, body, endpoint, endpoint.continued)
    return OnlyThrottled(endpoint, context.metrics)


class Exchange:
    """The machine. One object serves one request.

    Args:
        body: the agent's request, decoded.
        context: the options, the memory and the facts that the translator needs.
        endpoint: where the request goes; one without a format is only throttled.
        counter: estimates prompt tokens.
        limits_tokens: whether any limit counts tokens.
        backoff: seconds to wait after a refusal, None to give up.
        takes_over: whether another account may take a request that this one refuses.
        retries: whether refusals are retried.
        may_answer: whether the adapter can hand out local answers.
        observer: follows the progress of the exchange.

    Attributes:
        state: the call that the exchange waits for; any other raises `OutOfOrder`.
        guard: catches errors in batchwrap's own code.
        metrics: the counters and events of this exchange.
        broken_off: the refusal that ended a stream after its answer had begun.
        fast_path: handles most chunks of a stream; the others go to `chunk`.
    """

    def __init__(
        self,
        body: Body,
        *,
        context: Context,
        endpoint: Endpoint = CHAT,
        counter: Counter,
        limits_tokens: bool,
        backoff: Callable[[Refusal], float | None],
        takes_over: Callable[[Refusal], bool] = lambda refusal: False,
        retries: bool = True,
        may_answer: bool = True,
        observer: Observer = NO_OBSERVER,
    ) -> None:
        self.state = State.NEW
        self.observer = observer
        self.metrics: ExchangeMetrics = context.metrics
        self.guard = Guard(context.metrics)
        self._form = endpoint.format
        self.broken_off: Refusal | None = None
        self._request = RequestProgress(body)
        self._answer = AnswerProgress(Head(0, {}))
        self._provider = context.provider
        self._endpoint = endpoint
        self._counter = counter
        self._limits_tokens = limits_tokens
        self._retries = retries
        self._may_answer = may_answer
        self._recall = context.recall
        self._read_usage = Meter(endpoint)

        made = partial(translation_of, context, body, endpoint)
        self._clock = context.clock or _no_clock
        self._translator = GuardedTranslation(made, self.guard, self._form)
        self.fast_path = self._translator.fast_path
        self._counts = ExchangeCounts(self.metrics, observer, self.guard)
        self._errors = ErrorAnswers(
            context,
            self._request,
            self._translator,
            self._counts,
            self.guard,
            backoff=backoff,
            takes_over=takes_over,
        )

    def _expect(self, told: str) -> None:
        """Check that a call is allowed in the current state.

        Raises:
            OutOfOrder: it is not allowed.
        """
        if self.state not in ALLOWED[told]:
            raise OutOfOrder(told, self.state)

    def _says(self, action: Action) -> Action:
        """Return the next action, and set the state that it leads to."""
        self.state = AFTER[type(action)]
        return action

    # The calls of the driver, in order.

    def start(self) -> Action:
        """Begin: the first action.

        Raises:
            ContextLimitExceeded: the request is too large to be sent at all.
        """
        self._expect("start")
        self.metrics.add("requests")
        names = self._translator.names() if self._recall is not None else ()
        return self._says(Load(names) if names else self._begin())

    def loaded(self, found: Mapping[str, Sequence[bytes]]) -> Action:
        """Other processes have kept this, by the names that were asked for."""
        self._expect("loaded")
        names: Sequence[str] = ()
        if self._recall is not None:
            with self.guard.step("memory"):
                names = self._recall.take(found)
        return self._says(Load(names) if names else self._begin())

    def news(self, *, is_last: bool = False) -> Sequence[Record]:
        """What has to be kept for other processes before anything more is handed out.

        Args:
            is_last: whether nothing more is handed out.
        """
        if self._recall is None:
            return ()
        with self.guard.step("memory"):
            return self._recall.news(is_last=is_last)
        return ()

    def ran(self, outcome: ScriptOutcome) -> Action:
        """A script that had to be run has this outcome."""
        self._expect("ran")
        waiting = self._answer.waiting
        if waiting is None:
            self._translator.script_ran(outcome)
            return self._says(self._begin())
        with self.guard.step("response"):
            return self._says(self._seen(waiting, self._translator.response_ran(outcome)))
        return self._says(Respond(None))

    def _begin(self) -> Action:
        """What to do first, or once a script of the history was run."""
        run = self._translator.script_run()
        if run is not None:
            return RunScript(run)
        answer = self._translator.local_answer() if self._may_answer else None
        if answer is not None:
            return AnswerLocally(answer)
        self._request.changed = self._translator.request()
        if self._limits_tokens or self._translator.measures:
            with self.guard.step("estimate"):
                self._estimate()
        if self.streams:
            with self.guard.step("usage"):
                self._ask_usage()
        return self._reserve()

    def waits(self, expected_s: float | None, limit: Limit | None) -> None:
        """Report that a wait begins.

        Args:
            expected_s: its length if nothing is given back meanwhile; None if it ends only when
                another request does.
            limit: the limit that causes it; None if the provider asked for it.
        """
        self._counts.waits(expected_s, limit)

    def reserved(self, waited_s: float) -> Action:
        """Continue after the cost was admitted, with the seconds spent in the queue."""
        self._expect("reserved")
        self._counts.waited(waited_s)
        return self._says(Send(self._request.changed))

    def sending(self) -> AbstractContextManager[object]:
        """The context manager in which the driver sends an attempt."""
        self._request.is_out, self._request.sent_s = True, self._clock()
        with self.guard.step("observe"):
            return self.observer.sending()
        return nullcontext()

    def withdraw(self) -> None:
        """Send the agent's own request, since the adapter cannot send the changed one."""
        self._expect("withdraw")
        self._translator.withdraw()
        self._request.changed, self._request.asked_usage = None, False

    def received(self, head: Head, now_unix_s: float) -> Action:
        """Continue after the answer's status and headers have arrived."""
        self._expect("received")
        self._request.is_out = False
        self.metrics.add("round_trips")
        took_s = self._clock() - self._request.sent_s
        answer = self._answer = AnswerProgress(head, now_unix_s, took_s)
        answer.is_accepted = 200 <= head.status < 300
        with self.guard.step("headers"):
            answer.now_unix_s = server_time(head.headers, now_unix_s)
            answer.observations = read_headers(
                head.headers, answer.now_unix_s, self._provider.signals.headers
            )
        # A stream that nobody asked for is read whole, if the repair may turn it into one body.
        streams = head.is_stream and (self.streams or not self._translator.fits_forms)
        if answer.is_accepted and streams and (self._retries or self._translator.reads_errors):
            return self._says(ReadFirst())
        if answer.is_accepted:
            self._understood()
        answer.is_read = not (answer.is_accepted and streams)
        return self._says(ReadBody() if answer.is_read else Stream())

    def read(self, content: bytes) -> WholeBody:
        """Decode the bytes of a whole answer, for `body`."""
        return self._translator.read(content, accepted=self._answer.is_accepted)

    def body(self, read: WholeBody) -> Action:
        """Continue after the whole answer was read."""
        self._expect("body")
        with self.guard.step("response"):
            return self._says(self._body_read(read))
        return self._says(Respond(None))

    def first(self, chunk: Body | None) -> Action:
        """Continue after a stream's first event, or the next one; None if it is no JSON object."""
        self._expect("first")
        with self.guard.step("response"):
            return self._says(self._first_read(chunk))
        return self._says(Stream())

    def waited(self) -> Action:
        """Continue after the wait that followed a refusal."""
        self._expect("waited")
        pause_s, self._request.pause_s = self._request.pause_s, 0.0
        self._counts.waited(pause_s)
        self.metrics.add("retries")
        return self._says(self._reserve())

    def ask_again(self) -> Action:
        """Ask the model again, with a note of what was wrong in its answer, which was dropped.

        If the provider refused that longer request, the one before it is sent once more.
        """
        self._expect("ask_again")
        self._counts.used(self._answer.usage)
        request = self._request
        if request.has_asked and not self.asks_again:
            self._translator.ask_as_before()
            request.changed = request.unasked
        else:
            request.unasked, request.has_asked = request.changed, True
            request.changed = self._translator.ask_again()
            with self.guard.step("usage"):
                self._ask_usage()
        self._answer = AnswerProgress(self._answer.head)
        if self._limits_tokens:
            with self.guard.step("estimate"):
                self._estimate()
        return self._says(self._reserve())

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks to hand out for a chunk that `fast_path` did not take; None: as it came."""
        self._expect("chunk")
        with self.guard.step("usage"):
            if self._tells_usage_only(chunk):
                self._translator.note(chunk)
                return []  # simple agents take the first of the choices without a look
        chunks = self._translator.chunk(chunk)
        self._pause()
        return chunks

    def _pause(self) -> None:
        """Let nothing more of a stream come while it waits for a script."""
        paused = self._translator.script_due is not None
        self.state = State.PAUSED if paused else State.STREAMING

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that the stream waits for: its next chunk may only come after `chunk_ran`."""
        return self._translator.script_due

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """The chunks to hand out that waited for a script, once it has this outcome."""
        self._expect("chunk_ran")
        chunks = self._translator.chunk_ran(outcome)
        self._pause()
        return chunks

    def event_name(self, event: Body) -> str | None:
        """The text of an event's `event:` line; None if the format has no such lines."""
        return None if self._form is None else self._form.event_name(event)

    def lost(self, fault: Fault) -> list[Body] | None:
        """The chunks to hand out for an event that is unreadable by this fault; None: itself."""
        self._expect("lost")
        return self._translator.lost(fault)

    def dropped(self) -> None:
        """Count an event of a stream that was left out because it was empty."""
        self._counts.repaired("events")

    def taken_apart(self) -> None:
        """Count an event of a stream that held several."""
        self._counts.repaired("events")

    def break_off(self) -> None:
        """Stop translating a stream; the rest of it is handed out as it comes."""
        self._translator.break_off()
        if self.state is State.PAUSED:
            self.state = State.STREAMING

    def end(self, *, marked: bool | None = None) -> list[Body]:
        """The chunks to hand out before a stream's end.

        Args:
            marked: whether the stream has ended with its end mark; None where that cannot be
                seen.
        """
        self._expect("end")
        out = self._translator.end(self._answer.last_chunk, marked=marked)
        with self.guard.step("usage"):
            for chunk in out:
                self._answer.usage = self._read_usage(chunk) or self._answer.usage
        self._pause()
        return out

    def broke_off(self, error: BaseException) -> None:
        """Record that the exchange ends in this error.

        A cancelled or timed out request counts as sent: the provider may be working on it.
        """
        if isinstance(error, Exception) and type(error).__name__ not in _AFTER_SENDING:
            self._request.is_out = False
        self.observer.failed(error)

    def finish(self) -> None:
        """Count the usage; called once, after the answer was handed out."""
        self._counts.used(self._answer.usage)
        if self._read_usage.is_impossible:
            self._counts.impossible_usage()

    # What the driver and the engine read.

    @property
    def is_translated(self) -> bool:
        """Whether the request's endpoint has a format, so that more is done than throttling."""
        return self._form is not None

    @property
    def counted_as(self) -> str:
        """The name under which estimates are corrected: the model, or endpoint and model."""
        return self.model if self._endpoint.is_tokenized else f"{self._endpoint.name}:{self.model}"

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.request.get("model") or "")

    @property
    def streams(self) -> bool:
        """Whether the agent asked for a stream."""
        return bool(self.request.get("stream"))

    @property
    def request(self) -> Body:
        """The agent's request."""
        return self._request.agents

    @property
    def estimated(self) -> int:
        """Prompt tokens of what goes out, before corrections; 0 if they were not counted."""
        return self._request.estimated

    @property
    def answer(self) -> Body:
        """The provider's completion, or its newest chunk with choices; empty if there is none."""
        return self._answer.said

    @property
    def observations(self) -> list[Observation]:
        """What the headers of the newest answer say about limits."""
        return self._answer.observations

    @property
    def usage(self) -> cost.Usage | None:
        """The usage that the provider reported; None if it reported none."""
        return self._answer.usage

    @property
    def status(self) -> int | None:
        """The HTTP status of the newest answer; None if none came."""
        return self._answer.head.status or None

    @property
    def outline(self) -> Outline | None:
        """The answer in names and sizes; None if it was not translated."""
        return self._translator.outline()

    @property
    def failure(self) -> str | None:
        """The HTTP status of a failed answer, or the kind of its fault; None if it succeeded."""
        if self._answer.broken is not None:
            return self._answer.broken.kind
        if self._translator.is_over:
            kinds = (it.data["kind"] for it in self.metrics.events[::-1] if it.name == "defect")
            return next(kinds, "error")
        if self._answer.is_accepted or not self.status or 300 <= self.status < 400:
            return None
        return str(self.status) if self.status >= 400 else "refused"

    @property
    def spent(self) -> cost.Cost:
        """What the attempt has spent so far, as well as it is known.

        Nothing if the provider never had the request; the real usage once it is reported; the
        reservation if usage never comes (a cut stream), or if the provider refunds nothing. A
        request that was cancelled before its answer began counts as one request. Its tokens are
        unknown, so they are given back.
        """
        if not self._answer.is_accepted:
            return _ONE_REQUEST if self._request.is_out else NOTHING
        if self.usage is None or not self._provider.rule.refunds:
            return self._request.reserved
        return self.usage.cost(self._provider.rule)

    @property
    def mends(self) -> bool:
        """Whether streams are put into shape."""
        return self._translator.mends

    @property
    def may_ask_again(self) -> bool:
        """Whether a stream must be held back, since the model may still be asked again."""
        return self._translator.may_ask_again

    @property
    def asks_again(self) -> bool:
        """Whether the answer was not understood, and the model is asked again."""
        return self._translator.asks_again

    # The request.

    def _reserve(self) -> Reserve:
        request = self._request
        return Reserve(request.reserved, request.minimum, request.headroom)

    def _estimate(self) -> None:
        """Estimate the request's tokens and from them its cost, minimum and headroom."""
        request = self._request
        output = sent = request.sent
        if self._endpoint.is_tokenized:
            request.estimated = self._counter.raw(sent)
        else:
            request.estimated = self._endpoint.prompt_tokens(sent)
            output = self._endpoint.output(sent)
        prompt = self._counter.calibrated(self.counted_as, request.estimated)
        self._translator.check_size(prompt)
        rule = self._provider.rule
        request.reserved = cost.reserve(prompt, output, rule)
        most = self._counter.most(self.counted_as, request.estimated)
        request.headroom = cost.reserve(most, output, rule) - request.reserved
        request.minimum = cost.reserve(prompt, output, replace(rule, default_output=0))

    def _ask_usage(self) -> None:
        """Ask for a stream's usage, if the provider is known to accept that."""
        sent, form = self._request.sent, self._form
        may_ask = form is not None and self._translator.asks_usage and sent.get("stream")
        if form is None or not may_ask or form.wants_usage(sent) is not None:
            return
        self._request.changed = form.with_usage(sent)
        self._request.asked_usage = True

    def _understood(self) -> None:
        """Record that the provider has accepted the request."""
        request = self._request
        # It refused the rewritten request and accepts the agent's own: the rewrite was the cause.
        if request.suspicion == "server_error":
            self._translator.tried(accepted=True)
        elif request.suspicion == "refusal":
            self._translator.give_up()
        elif request.changed is not None and not request.is_plain:
            self._translator.accepted()

    # The answer.

    def _body_read(self, read: WholeBody) -> Action:
        answer, completion = self._answer, read.completion
        if read.fault is not None:
            return self._failed(read.fault)
        if read.is_withheld:
            answer.is_accepted = answer.is_rebuilt = True
        if not answer.is_accepted:
            # A redirection is no answer: the client follows it, with a request of its own.
            is_error = answer.head.status >= 400
            return self._errors.whole(answer, read) if is_error else Respond(None)
        if completion is None:
            return Respond(None)
        answer.said = completion
        with self.guard.step("usage"):
            answer.usage = self._read_usage(completion)
        try:
            seen = self._translator.response(completion)
        except Broken as broken:
            return self._failed(broken.fault)
        return self._seen(read, seen)

    def _seen(self, read: WholeBody, seen: Body | ScriptRun | None) -> Action:
        """What to do with an answer that was translated, or waits for a script."""
        answer, completion = self._answer, read.completion
        if isinstance(seen, ScriptRun):
            answer.waiting = read
            return RunScript(seen)
        assert completion is not None  # there was an answer to translate
        if self.asks_again:
            return AskAgain()
        if seen is None and read.is_rebuilt:
            seen = completion
        chunks = self._as_chunks(completion if seen is None else seen)
        return Respond(seen, chunks=chunks, status=_OK if answer.is_rebuilt else None)

    def _failed(self, fault: Fault) -> Respond:
        """Answer with the error that a fault stands for."""
        self._answer.broken = fault
        # The client must not retry by itself: the same request would fail, and cost, again.
        asks = fault.retry.startswith("ask_model")
        return Respond(fault.body(), status=fault.http_status, gave_up=asks)

    def _as_chunks(self, completion: Body) -> list[Body] | None:
        """The answer as the chunks of a stream; None if no stream was asked for."""
        form = self._form
        if form is None or not self.streams or not self._translator.fits_forms:
            return None
        if not form.deltas(completion):
            return None
        self._counts.repaired("whole_answers")
        return as_chunks(completion, with_usage=form.wants_usage(self.request) is True)

    def _first_read(self, chunk: Body | None) -> Action:
        error = None if chunk is None else error_in_event(chunk)
        if chunk is not None and error is None and self._holds(chunk):
            return ReadFirst()
        if chunk is None or error is None:
            self._understood()
            self.observer.began()
            return Stream()
        if self._translator.rebuilt(chunk) is not None:
            return Stream()  # it holds a call, which `chunk` hands out
        answer = self._answer
        answer.is_accepted = False
        answer.head = replace(answer.head, status=read_fault(error).http_status)
        return self._errors.first(answer, chunk, error)

    def _holds(self, event: Body) -> bool:
        """Whether an event is held back, since an error after it could still be retried.

        Each type is held once. A second ping must reach the client: it keeps the connection
        alive while the model thinks.
        """
        kind = self._endpoint.opens(event)
        if kind is None or kind in self._answer.openings:
            return False
        self._answer.openings.append(kind)
        return True

    def _tells_usage_only(self, chunk: Body) -> bool:
        """Record a chunk; True if it holds only the usage that the agent did not ask for."""
        answer, usage = self._answer, self._read_usage(chunk)
        answer.usage = usage or answer.usage  # if it is reported twice, the last one counts
        is_empty = self._endpoint.is_empty(chunk)
        if usage is not None and self._request.asked_usage and is_empty:
            return True
        if answer.last_chunk is None:
            self.observer.began()
        if answer.is_accepted and may_hold_error(chunk) and self.broken_off is None:
            self.broken_off = self._errors.later(answer, chunk)
            if self.broken_off is not None:
                self._counts.refused(self.broken_off)
        answer.last_chunk = chunk
        if not is_empty:
            answer.said = chunk
        return False

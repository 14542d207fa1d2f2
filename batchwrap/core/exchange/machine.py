"""One request of the agent and its answer, as a state machine.

It is told what happened and says what to do next; a driver obeys (`batchwrap.drive`). It
knows no socket, no clock and no SDK. The order of things stands in `states`, what it has come
to in `progress`.

`Respond(None)` and a chunk that is None mean: as it came. So what batchwrap does not
change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from batchwrap.core.exchange.actions import (
    Action,
    AnswerLocally,
    AskAgain,
    Head,
    ReadBody,
    ReadFirst,
    Reserve,
    Respond,
    RunScript,
    Send,
    Stream,
    Wait,
)
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.continued import Continued
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.guarded_translation import GuardedTranslation
from batchwrap.core.exchange.observer import NO_OBSERVER, Observer
from batchwrap.core.exchange.passthrough import OnlyThrottled
from batchwrap.core.exchange.progress import AnswerProgress, RequestProgress, WholeBody
from batchwrap.core.exchange.states import AFTER, ALLOWED, OutOfOrder, State
from batchwrap.core.exchange.translation import Translation
from batchwrap.core.exchange.translator import Translator
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.endpoints import CHAT, Endpoint, Meter
from batchwrap.core.formats.format import Body
from batchwrap.core.limits import cost
from batchwrap.core.limits.cost import NOTHING
from batchwrap.core.limits.headers import Observation, read_headers
from batchwrap.core.limits.refusal import Refusal, read_refusal, read_stream_error
from batchwrap.core.limits.resets import server_time
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.answer_forms import as_chunks
from batchwrap.core.repair.diagnosis import read_fault, repaired_body
from batchwrap.core.repair.faults import (
    Broken,
    Fault,
    as_error,
    error_in_event,
    is_whole_error,
    may_hold_error,
)
from batchwrap.options import Limit


class Counter(Protocol):
    """Estimates the prompt tokens of a request."""

    def raw(self, body: Body) -> int:
        """What the texts alone suggest."""

    def calibrated(self, model: object, raw: int) -> int:
        """What that means for a model, as its answers so far suggest."""

    def most(self, model: object, raw: int) -> int:
        """The same with a margin: hardly any request needs more."""


# Refusals that may be due to what we added to the request.
NOT_UNDERSTOOD = (400, 413, 422)
_OK = 200
# Errors of HTTP libraries that come after a request was sent; all others come before.
_AFTER_SENDING = frozenset({"ReadTimeout", "ReadError", "RemoteProtocolError", "APITimeoutError"})
_ONE_REQUEST = cost.Cost(requests=1)
# Less is the time that the call itself takes.
_WORTH_TELLING_S = 0.001


def translation_of(context: Context, body: Body, endpoint: Endpoint) -> Translation:
    """What makes the provider view of a request to an endpoint, as far as it has another one."""
    if endpoint.format is not None:
        return Translator(context, body, endpoint.format)
    if endpoint.continued is not None:
        return Continued(context, body, endpoint, endpoint.continued)
    return OnlyThrottled(endpoint, context.metrics)


class Exchange:
    """The machine. One object serves one request.

    Args:
        body: the agent's request, decoded.
        context: what the translator needs.
        endpoint: where the request goes; what has no format is only held back by limits.
        counter: estimates prompt tokens.
        limits_tokens: whether what the request costs in tokens matters to any limit.
        backoff: seconds to wait after a refusal, None to give up.
        takes_over: whether another account may take a request that this one refuses.
        retries: whether refusals are retried at all.
        may_answer: whether the adapter can hand out local answers.
        observer: is told how the exchange goes.

    Attributes:
        state: what it waits for; a call out of order raises `OutOfOrder`.
        guard: catches the mistakes of batchwrap's own code.
        metrics: what is counted of it.
        broken_off: the refusal that a stream has ended with after its answer had begun.
        fast_path: takes in nearly all chunks of a stream; what it leaves is for `chunk`.
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
        self._zones = context.zones
        self._endpoint = endpoint
        self._counter = counter
        self._limits_tokens = limits_tokens
        self._backoff = backoff
        self._takes_over = takes_over
        self._retries = retries
        self._may_answer = may_answer
        self._read_usage = Meter(endpoint)

        made = partial(translation_of, context, body, endpoint)
        self._translator = GuardedTranslation(made, self.guard, self._form)
        self.fast_path = self._translator.fast_path

    def _expect(self, told: str) -> None:
        """Make sure that a call is in order.

        Raises:
            OutOfOrder: it is not.
        """
        if self.state not in ALLOWED[told]:
            raise OutOfOrder(told, self.state)

    def _says(self, action: Action) -> Action:
        """What to do next, which decides what is waited for."""
        self.state = AFTER[type(action)]
        return action

    # What the driver tells it, in order.

    def start(self) -> Action:
        """The first thing to do.

        Raises:
            ContextLimitExceeded: the request is too large to be sent at all.
        """
        self._expect("start")
        self.metrics.add("requests")
        return self._says(self._begin())

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
        with self.guard.step("usage"):
            self._ask_usage()
        return self._reserve()

    def waits(self, expected_s: float | None, limit: Limit | None) -> None:
        """A wait begins.

        Args:
            expected_s: how long it takes if nobody gives anything back before; None where
                only another request's end tells.
            limit: the limit in the way; None: the provider has said to wait.
        """
        if expected_s is None or expected_s >= _WORTH_TELLING_S:
            facts = {
                "expected_s": None if expected_s is None else round(expected_s, 3),
                "limit": None if limit is None else str(limit),
            }
            known = {name: fact for name, fact in facts.items() if fact is not None}
            self.metrics.note("waiting", **known)
            self.observer.progressed(self.metrics, self.guard)

    def reserved(self, waited_s: float) -> Action:
        """The cost was admitted, after so many seconds in the queue."""
        self._expect("reserved")
        self._count_wait(waited_s)
        return self._says(Send(self._request.changed))

    def sending(self) -> AbstractContextManager[object]:
        """What each attempt to send is made inside of."""
        self._request.is_out = True
        with self.guard.step("observe"):
            return self.observer.sending()
        return nullcontext()

    def withdraw(self) -> None:
        """What was made of the request cannot be sent: the agent's own goes out in its place."""
        self._expect("withdraw")
        self._translator.withdraw()
        self._request.changed, self._request.asked_usage = None, False

    def received(self, head: Head, now_unix_s: float) -> Action:
        """Status and headers of the answer are here."""
        self._expect("received")
        self._request.is_out = False
        self.metrics.add("round_trips")
        answer = self._answer = AnswerProgress(head, now_unix_s)
        answer.is_accepted = 200 <= head.status < 300
        with self.guard.step("headers"):
            answer.now_unix_s = server_time(head.headers, now_unix_s)
            answer.observations = read_headers(
                head.headers, answer.now_unix_s, self._provider.signals.headers
            )
        streams = head.is_stream and (self.streams or not self._translator.fits_forms)
        if answer.is_accepted and streams and (self._retries or self._translator.reads_errors):
            return self._says(ReadFirst())
        if answer.is_accepted:
            self._understood()
        answer.is_read = not (answer.is_accepted and streams)
        return self._says(ReadBody() if answer.is_read else Stream())

    def read(self, content: bytes) -> WholeBody:
        """What the bytes of an answer hold: for `body`, if the driver was told to read it."""
        return self._translator.read(content, accepted=self._answer.is_accepted)

    def body(self, read: WholeBody) -> Action:
        """The whole answer is here."""
        self._expect("body")
        with self.guard.step("response"):
            return self._says(self._body_read(read))
        return self._says(Respond(None))

    def first(self, chunk: Body | None) -> Action:
        """The first event of a stream is here, or the next one; None: it is no JSON object."""
        self._expect("first")
        with self.guard.step("response"):
            return self._says(self._first_read(chunk))
        return self._says(Stream())

    def waited(self) -> Action:
        """The wait after a refusal is over."""
        self._expect("waited")
        pause_s, self._request.pause_s = self._request.pause_s, 0.0
        self._count_wait(pause_s)
        self.metrics.add("retries")
        return self._says(self._reserve())

    def ask_again(self) -> Action:
        """The answer was let go of: ask again, with what was wrong; as before, if that failed."""
        self._expect("ask_again")
        self._count_usage()
        request = self._request
        if request.has_asked and not self.asks_again:
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
        """The chunks to hand out for one that came; None: as it came.

        What `fast_path` has taken in is not for it.
        """
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
        """What stands in the `event:` line of an event; None: it has no such line."""
        return None if self._form is None else self._form.event_name(event)

    def lost(self, fault: Fault) -> list[Body] | None:
        """What to hand out for an event that cannot be read, and why; None: the event itself."""
        self._expect("lost")
        return self._translator.lost(fault)

    def dropped(self) -> None:
        """Count an event of a stream that was left out, as it told nothing."""
        self._mended_events()

    def taken_apart(self) -> None:
        """Count an event of a stream that held several."""
        self._mended_events()

    def break_off(self) -> None:
        """Translate nothing more of a stream; what comes now is handed out as it is."""
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
        """It ends in this error. Whoever is cancelled, or waits too long, has sent the request."""
        if isinstance(error, Exception) and type(error).__name__ not in _AFTER_SENDING:
            self._request.is_out = False
        self.observer.failed(error)

    def finish(self) -> None:
        """Count what was used; once, when the answer was handed out."""
        self._count_usage()

    # What is known of it.

    @property
    def is_translated(self) -> bool:
        """Whether it is more than held back by limits."""
        return self._form is not None

    @property
    def counted_as(self) -> str:
        """What estimates are corrected for: the model, and the endpoint of other estimates."""
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
        """Prompt tokens of what goes out, before corrections; 0 where they were not counted."""
        return self._request.estimated

    @property
    def answer(self) -> Body:
        """The provider's completion, or its newest chunk with choices; empty without one."""
        return self._answer.said

    @property
    def observations(self) -> list[Observation]:
        """What the headers of the newest answer say about limits."""
        return self._answer.observations

    @property
    def usage(self) -> cost.Usage | None:
        """What the provider reported, if it did."""
        return self._answer.usage

    @property
    def status(self) -> int | None:
        """The HTTP status of the newest answer; None if none came."""
        return self._answer.head.status or None

    @property
    def failure(self) -> str | None:
        """What the answer has failed with: its HTTP status, or the kind of its fault."""
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
        """What the attempt has used up so far, as well as it is known.

        Nothing where the provider does not have it, its real usage once that is known, and
        what was reserved where it never is (a cut stream) or where the provider gives nothing
        back. A request that was cancelled before its answer began has come as a request;
        nobody knows of its tokens, so they are given back.
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
        """Whether what came of a stream must not be handed out yet."""
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
        """How much the request may cost."""
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
        """Ask for the usage of a stream where the provider is known to take that."""
        sent, form = self._request.sent, self._form
        may_ask = form is not None and self._translator.asks_usage and sent.get("stream")
        if form is None or not may_ask or form.wants_usage(sent) is not None:
            return
        self._request.changed = form.with_usage(sent)
        self._request.asked_usage = True

    def _understood(self) -> None:
        """The provider has taken the request."""
        if self._request.is_plain:
            self._translator.give_up()

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
            return self._not_accepted(read) if is_error else Respond(None)
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
        """The answer cannot be used."""
        self._answer.broken = fault
        asks = fault.retry.startswith("ask_model")  # the same request would only cost the same
        return Respond(fault.body(), status=fault.http_status, gave_up=asks)

    def _as_chunks(self, completion: Body) -> list[Body] | None:
        """The answer as a stream, where one was asked for."""
        form = self._form
        if form is None or not self.streams or not self._translator.fits_forms:
            return None
        if not form.deltas(completion):
            return None
        self.metrics.add("repairs.whole_answers")
        self.metrics.note("repaired", repair="whole_answers")
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
        return self._judged(self._refusal_in(chunk, error), WholeBody(chunk))

    def _holds(self, event: Body) -> bool:
        """Whether an event is held back, since an error behind it could still be retried.

        Each type once: a second ping keeps the connection alive while the model thinks, and
        the client is to hear of it.
        """
        kind = self._endpoint.opens(event)
        if kind is None or kind in self._answer.openings:
            return False
        self._answer.openings.append(kind)
        return True

    def _tells_usage_only(self, chunk: Body) -> bool:
        """Take note of a chunk; whether it is one that only we have asked for."""
        answer, usage = self._answer, self._read_usage(chunk)
        answer.usage = usage or answer.usage  # reported twice, the last one counts
        is_empty = self._endpoint.is_empty(chunk)
        if usage is not None and self._request.asked_usage and is_empty:
            return True
        if answer.last_chunk is None:
            self.observer.began()
        if answer.is_accepted and may_hold_error(chunk):
            self._look_for_refusal(chunk)
        answer.last_chunk = chunk
        if not is_empty:
            answer.said = chunk
        return False

    def _mended_events(self) -> None:
        self.metrics.add("repairs.events")
        self.metrics.note("repaired", repair="events")

    # Refusals.

    def _not_accepted(self, read: WholeBody) -> Action:
        answer, signals = self._answer, self._provider.signals
        head, now_unix_s = answer.head, answer.now_unix_s
        refusal = read_refusal(
            head.status, head.headers, read.completion, now_unix_s, signals, zones=self._zones
        )
        return self._judged(refusal, read)

    def _judged(self, refusal: Refusal | None, read: WholeBody) -> Action:
        """What to do about an answer, or the first event of one, that is an error."""
        request, head = self._request, self._answer.head
        if refusal is not None:
            refusal = replace(refusal, tries=head.tries)
            action = self._refused(refusal)
            if action is not None or refusal.kind != "key":
                return action or self._error(read, gave_up=True)
        not_understood = head.status in NOT_UNDERSTOOD
        if not_understood and request.has_asked and request.changed is not request.unasked:
            return AskAgain()
        if not_understood and (request.changed is not None or self._translator.is_guess):
            # Nothing that we added may fail a request: once as the agent wrote it.
            again = self._translator.refused(read.completion or {})
            if again is not None:
                request.changed, request.is_plain = again.body, again.body is None
                request.asked_usage = False
                request.estimated = 0  # another body than the one that was counted
                return again
        return self._error(read, gave_up=False)

    def _error(self, read: WholeBody, *, gave_up: bool) -> Action:
        """An answer that is an error, in the shape that SDKs read."""
        body, head = read.completion, self._answer.head
        said = read.other if body is None else body
        fault = self._translator.refusal(head.status, head.headers, said)
        if fault is None:  # an error in a stream is then handed out as the stream that it is
            streams = head.is_stream and not self._answer.is_read
            return Stream() if streams else Respond(None, gave_up=gave_up)
        once = fault.retry == "same_request_once" and not gave_up
        mended = repaired_body(body, fault)
        if not head.is_stream:
            mended = body if mended is None and read.is_rebuilt else mended
            return Respond(mended, gave_up=gave_up, retry=once)
        told = mended or body or fault.body()
        return Respond(told, gave_up=gave_up, retry=once, status=head.status)

    def _refusal_in(self, event: Body, error: Mapping[str, Any]) -> Refusal | None:
        told = event if is_whole_error(event) else as_error(error)
        signals = self._provider.signals
        return read_stream_error(told, self._answer.now_unix_s, signals, zones=self._zones)

    def _look_for_refusal(self, chunk: Body) -> None:
        """A refusal in the middle of a stream: too late to try again, but it counts."""
        error = error_in_event(chunk)
        refusal = None if error is None else self._refusal_in(chunk, error)
        if refusal is not None and self.broken_off is None and refusal.kind != "key":
            self.broken_off = refusal
            self._count_refusal(refusal)

    def _refused(self, refusal: Refusal) -> Wait | None:
        """How long to wait after a refusal; None if it is given up."""
        seconds = None
        with self.guard.step("retry"):
            seconds = self._wait_s(refusal)
            if seconds is None and self._takes_over(refusal):
                seconds = 0.0
        if seconds is not None or refusal.kind != "key":
            self._count_refusal(refusal)
        if seconds is None:
            return None
        if not refusal.is_queued:  # then the limits tell how long
            self._request.pause_s = seconds
            self.waits(seconds, None)
        return Wait(seconds, refusal)

    def _wait_s(self, refusal: Refusal) -> float | None:
        # Money, plan, or a size that never fits: no waiting helps. Nor where a layer in front of
        # the provider has waited already, or the provider says so itself.
        hopeless = refusal.kind in ("final", "key")
        hopeless = hopeless or self._answer.head.headers.get("x-should-retry") == "false"
        return None if hopeless else self._backoff(refusal)

    # Counts.

    def _count_refusal(self, refusal: Refusal) -> None:
        self.metrics.add("refusals")
        self.metrics.note(
            "refused",
            status=refusal.status,
            kind=refusal.kind,
            scope=refusal.scope,
            retry_after_s=refusal.retry_after_s,
        )

    def _count_usage(self) -> None:
        usage = self._answer.usage
        if usage is not None:
            self.metrics.add("prompt_tokens", usage.prompt_tokens)
            self.metrics.add("completion_tokens", usage.completion_tokens)
            self.metrics.add("cached_tokens", usage.cached_tokens)

    def _count_wait(self, seconds: float) -> None:
        if seconds >= _WORTH_TELLING_S:
            self.metrics.add("waited_s", seconds)
            self.metrics.note("waited", seconds_s=round(seconds, 3))
            self.observer.progressed(self.metrics, self.guard)

"""One request of the agent and its answer, as a state machine.

It is told what happened and says what to do next; a driver obeys (`batchwrap.drive`). It
knows no socket, no clock and no SDK. The order of things:

    start -> AnswerLocally
    start -> Reserve -> reserved -> Send -> received -> ReadBody -> body -> Respond
                ^                    ^         |                     |
                |                    +---------(---------------------+ (400, 413, 422: once as
                |                              |                     |  the agent wrote it)
                |                              +-> ReadFirst -> first -> Stream -> chunk ... end
                |                                   ^    |     (or Respond: it was an error)
                |                                   +----+ (nothing of the answer in it yet)
                +---------- waited <- Wait <-------------+-----------+ (refused)
                +------- ask_again <- AskAgain <---------------------+ (not understood; once,
                                                                        from a stream, too)

`Respond(None)` and a chunk that is None mean: as it came. So what batchwrap does not
change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

from batchwrap.core.exchange.actions import (
    Action,
    AnswerLocally,
    AskAgain,
    Head,
    ReadBody,
    ReadFirst,
    Resend,
    Reserve,
    Respond,
    Send,
    Stream,
    Wait,
)
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.guarded_translation import GuardedTranslation, Translation
from batchwrap.core.exchange.passthrough import OnlyThrottled
from batchwrap.core.exchange.translator import Translator
from batchwrap.core.exchange.watch import NOBODY, Watch
from batchwrap.core.formats import chat
from batchwrap.core.formats.endpoints import CHAT, Endpoint, Meter
from batchwrap.core.limits import cost
from batchwrap.core.limits.cost import NOTHING
from batchwrap.core.limits.headers import Observation, read_headers
from batchwrap.core.limits.refusal import Refusal, read_refusal, read_stream_error
from batchwrap.core.limits.resets import server_time
from batchwrap.core.repair.diagnosis import mended_body, read_fault
from batchwrap.core.repair.faults import Broken, Fault, error_in
from batchwrap.core.repair.whole import as_chunks
from batchwrap.core.tally import Tally
from batchwrap.options import Limit


class Counter(Protocol):
    """Estimates the prompt tokens of a request."""

    def raw(self, body: chat.Body) -> int:
        """What the texts alone suggest."""

    def calibrated(self, model: object, raw: int) -> int:
        """What that means for a model, as its answers so far suggest."""

    def most(self, model: object, raw: int) -> int:
        """The same with a margin: hardly any request needs more."""


# Refusals that may be due to what we added to the request.
_NOT_UNDERSTOOD = (400, 413, 422)
_OK = 200
_FAILED = "response.failed"
# Errors of HTTP libraries that come after a request was sent; all others come before.
_AFTER_SENDING = frozenset({"ReadTimeout", "ReadError", "RemoteProtocolError", "APITimeoutError"})
_ONE_REQUEST = cost.Cost(requests=1)
# Less is the time that the call itself takes.
_WORTH_TELLING_S = 0.001


class Exchange:
    """The machine. One object serves one request.

    Args:
        body: the agent's request, decoded.
        context: what the translator needs.
        endpoint: where the request goes; only chat completions are translated.
        counter: estimates prompt tokens.
        limits_tokens: whether what the request costs in tokens matters to any limit.
        backoff: seconds to wait after a refusal, None to give up.
        takes_over: whether another account may take a request that this one refuses.
        retries: whether refusals are retried at all.
        may_answer: whether the adapter can hand out local answers.
        watch: looks on.

    Attributes:
        broken_off: the refusal that a stream has ended with after its answer had begun.
    """

    def __init__(
        self,
        body: chat.Body,
        *,
        context: Context,
        endpoint: Endpoint = CHAT,
        counter: Counter,
        limits_tokens: bool,
        backoff: Callable[[Refusal], float | None],
        takes_over: Callable[[Refusal], bool] = lambda refusal: False,
        retries: bool = True,
        may_answer: bool = True,
        watch: Watch = NOBODY,
    ) -> None:
        self.watch = watch
        self._pause_s = 0.0
        self._is_out = False  # sent, and not answered yet
        self._body = body
        self._provider = context.provider
        self._zones = context.zones
        self._retries = retries
        self._endpoint = endpoint
        self.guard = Guard(context.tally)
        self.is_translated = endpoint is CHAT  # else it is only held back by limits

        def translation() -> Translation:
            if self.is_translated:
                return Translator(context, body)
            return OnlyThrottled(endpoint, context.tally)

        self._translator = GuardedTranslation(translation, self.guard)
        self._read_usage = Meter(endpoint)
        self._counter = counter
        self._limits_tokens = limits_tokens
        self._backoff = backoff
        self._takes_over = takes_over
        self._may_answer = may_answer
        self._reserved = self._sure = cost.Cost(1)
        self._margin = NOTHING
        self._changed: chat.Body | None = None
        self._usage: cost.Usage | None = None
        self._accepted = False
        self._plain = False
        self._unasked: chat.Body | None = None  # what was sent before the model was asked again
        self._has_asked = False
        self._head = Head(0, {})
        self._is_read = False  # whether the driver reads the whole answer
        self._now_unix_s = 0.0
        self._asked_usage = False
        self._last_chunk: chat.Body | None = None
        self._answer: chat.Body = {}
        self.estimated = 0  # prompt tokens, raw
        self.observations: list[Observation] = []
        self._openings: list[object] = []  # the first events of a stream that were held back
        self.broken_off: Refusal | None = None
        self._broken: Fault | None = None
        self._is_rebuilt = False  # whether the answer was an error that held a call
        self._is_new = False  # whether the body was put together from another form
        self.tally: Tally = context.tally

    @property
    def counted_as(self) -> str:
        """What estimates are corrected for: the model, and the endpoint of other estimates."""
        return self.model if self.is_translated else f"{self._endpoint.name}:{self.model}"

    @property
    def streams(self) -> bool:
        """Whether the agent asked for a stream."""
        return bool(self._body.get("stream"))

    def start(self) -> Action:
        """The first thing to do.

        Raises:
            ContextLimitExceeded: the request is too large to be sent at all.
        """
        self.tally.add("requests")
        answer = self._translator.local_answer() if self._may_answer else None
        if answer is not None:
            return AnswerLocally(answer)
        self._changed = self._translator.request()
        if self._limits_tokens or self._translator.measures:
            with self.guard.step("estimate"):
                self._estimate(self._body if self._changed is None else self._changed)
        self._ask_usage()
        return Reserve(self._reserved, self._sure, self._margin)

    def withdraw(self) -> None:
        """What was made of the request cannot be sent: the agent's own goes out in its place."""
        self._translator.withdraw()
        self._changed, self._asked_usage = None, False

    def _estimate(self, sent: chat.Body) -> None:
        """How much the request may cost."""
        output = sent
        if self.is_translated:
            self.estimated = self._counter.raw(sent)
        else:
            self.estimated = self._endpoint.prompt_tokens(sent)
            output = self._endpoint.output(sent)
        prompt = self._counter.calibrated(self.counted_as, self.estimated)
        self._translator.check_size(prompt)
        rule = self._provider.rule
        self._reserved = cost.reserve(prompt, output, rule)
        most = self._counter.most(self.counted_as, self.estimated)
        self._margin = cost.reserve(most, output, rule) - self._reserved
        self._sure = cost.reserve(prompt, output, replace(rule, default_output=0))

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
            self.tally.note("waiting", **known)
            self.watch.progressed(self.tally, self.guard)

    def reserved(self, waited_s: float) -> Action:
        """The cost was admitted, after so many seconds in the queue."""
        self._count_wait(waited_s)
        return Send(self._changed)

    def received(self, head: Head, now_unix_s: float) -> Action:
        """Status and headers of the answer are here."""
        action = self._received(head, now_unix_s)
        self._is_read = isinstance(action, ReadBody)
        return action

    def _received(self, head: Head, now_unix_s: float) -> Action:
        self._is_out = False
        self.tally.add("round_trips")
        self._head, self._now_unix_s = head, now_unix_s
        self._accepted = 200 <= head.status < 300
        self.observations = []
        with self.guard.step("headers"):
            self._now_unix_s = server_time(head.headers, now_unix_s)
            self.observations = read_headers(head.headers, now_unix_s, self._provider.name)
        if not self._accepted:
            return ReadBody()
        streams = head.is_stream and (self.streams or not self._translator.fits_forms)
        if streams and (self._retries or self._translator.reads_errors):
            return ReadFirst()
        self._understood()
        return Stream() if streams else ReadBody()

    def waited(self) -> Action:
        """The wait after a refusal is over."""
        pause_s, self._pause_s = self._pause_s, 0.0
        self._count_wait(pause_s)
        self.tally.add("retries")
        return Reserve(self._reserved, self._sure, self._margin)

    def read(self, content: bytes) -> chat.Body | None:
        """The completion that a body holds; None if it holds none."""
        try:
            body = self._translator.read(content, whole=self._accepted)
        except Broken as broken:
            self._broken = broken.fault
            return None
        if not self._accepted and (rebuilt := self._translator.rebuilt(body)) is not None:
            self.tally.add("repairs.refused_calls")
            self.tally.note("repaired", repair="refused_calls")
            self._accepted = self._is_new = self._is_rebuilt = True
            return rebuilt
        self._is_new = body is not None and not content.lstrip().startswith(b"{")
        return body

    def body(self, completion: chat.Body | None) -> Action:
        """The whole answer is here; None if it is not a JSON object."""
        with self.guard.step("response"):
            return self._body_read(completion)
        return Respond(None)

    def _body_read(self, completion: chat.Body | None) -> Action:
        if not self._accepted:
            # A redirection is no answer: the client follows it, with a request of its own.
            is_error = self._head.status >= 400
            return self._not_accepted(completion) if is_error else Respond(None)
        if self._broken is not None:
            return _failed(self._broken)
        if completion is None:
            return Respond(None)
        self._answer = completion
        with self.guard.step("usage"):
            self._usage = self._read_usage(completion)
        try:
            seen = self._translator.response(completion)
        except Broken as broken:
            self._broken = broken.fault
            return _failed(broken.fault)
        if self.asks_again:
            return AskAgain()
        if seen is None and self._is_new:
            seen = completion
        chunks = self._as_chunks(completion if seen is None else seen)
        return Respond(seen, chunks=chunks, status=_OK if self._is_rebuilt else None)

    @property
    def may_ask_again(self) -> bool:
        """Whether what came of a stream must not be handed out yet."""
        return self._translator.may_ask_again

    @property
    def asks_again(self) -> bool:
        """Whether the answer was not understood, and the model is asked again."""
        return self._translator.asks_again

    def ask_again(self) -> Action:
        """The answer was let go of: ask again, with what was wrong; as before, if that failed."""
        self._count_usage()
        if self._has_asked:
            self._changed = self._unasked
        else:
            self._unasked, self._has_asked = self._changed, True
            self._changed = self._translator.ask_again()
            self._ask_usage()
        self._usage, self._answer, self._last_chunk = None, {}, None
        self._accepted = self._is_new = self._is_rebuilt = False
        if self._limits_tokens:
            with self.guard.step("estimate"):
                self._estimate(self._body if self._changed is None else self._changed)
        return Reserve(self._reserved, self._sure, self._margin)

    def _as_chunks(self, completion: chat.Body) -> list[chat.Body] | None:
        """The answer as a stream, where one was asked for."""
        if not self.streams or not self._translator.fits_forms:
            return None
        if not any(chat.choices(completion)):
            return None
        self.tally.add("repairs.whole_answers")
        self.tally.note("repaired", repair="whole_answers")
        options = self._body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return as_chunks(completion, with_usage=with_usage)

    def _error(self, body: chat.Body | None, *, gave_up: bool) -> Action:
        """An answer that is an error, in the shape that SDKs read."""
        fault = self._translator.refusal(self._head.status, self._head.headers, body)
        if fault is None:  # an error in a stream is then handed out as the stream that it is
            streams = self._head.is_stream and not self._is_read
            return Stream() if streams else Respond(None, gave_up=gave_up)
        once = fault.retry == "same_request_once" and not gave_up
        mended = mended_body(body, fault)
        if not self._head.is_stream:
            mended = body if mended is None and self._is_new else mended
            return Respond(mended, gave_up=gave_up, retry=once)
        told = mended or body or fault.body()
        return Respond(told, gave_up=gave_up, retry=once, status=self._head.status)

    @property
    def mends(self) -> bool:
        """Whether streams are put into shape."""
        return self._translator.mends

    def lost(self, fault: Fault) -> list[chat.Body] | None:
        """What to hand out for an event that cannot be read, and why; None: the event itself."""
        return self._translator.lost(fault)

    def break_off(self) -> None:
        """Translate nothing more of a stream; what comes now is handed out as it is."""
        self._translator.break_off()

    def sending(self) -> AbstractContextManager[object]:
        """What each attempt to send is made inside of."""
        self._is_out = True
        with self.guard.step("observe"):
            return self.watch.sending()
        return nullcontext()

    def broke_off(self, error: BaseException) -> None:
        """It ends in this error. Whoever is cancelled, or waits too long, has sent the request."""
        if isinstance(error, Exception) and type(error).__name__ not in _AFTER_SENDING:
            self._is_out = False
        self.watch.failed(error)

    def dropped(self) -> None:
        """Count an event of a stream that was left out, as it told nothing."""
        self._mended_events()

    def taken_apart(self) -> None:
        """Count an event of a stream that held several."""
        self._mended_events()

    def _mended_events(self) -> None:
        self.tally.add("repairs.events")
        self.tally.note("repaired", repair="events")

    def first(self, chunk: chat.Body | None) -> Action:
        """The first event of a stream is here, or the next one; None: it is no JSON object."""
        with self.guard.step("response"):
            return self._first_read(chunk)
        return Stream()

    def _first_read(self, chunk: chat.Body | None) -> Action:
        error = None if chunk is None else _refusing(chunk)
        if chunk is not None and error is None and self._holds(chunk):
            return ReadFirst()
        if chunk is None or error is None:
            self._understood()
            self.watch.began()
            return Stream()
        if self._translator.rebuilt(chunk) is not None:
            return Stream()  # it holds a call, which `chunk` hands out
        self._accepted = False
        self._head = replace(self._head, status=read_fault(error).http_status)
        return self._judged(self._refusal_in(chunk, error), chunk)

    def _holds(self, event: chat.Body) -> bool:
        """Whether an event is held back, since an error behind it could still be retried.

        Each type once: a second ping keeps the connection alive while the model thinks, and
        the client is to hear of it.
        """
        kind = event.get("type")
        if kind not in self._endpoint.opening or kind in self._openings:
            return False
        self._openings.append(kind)
        return True

    def _refusal_in(self, event: chat.Body, error: Mapping[str, Any]) -> Refusal | None:
        whole = event.get("error") or event.get("type") == _FAILED
        told = event if whole else {"error": dict(error)}
        name = self._provider.name
        return read_stream_error(told, self._now_unix_s, name, zones=self._zones)

    def chunk(self, chunk: chat.Body) -> list[chat.Body] | None:
        """The chunks to hand out for one that came; None: as it came."""
        piece = None if self._last_chunk is None else chat.piece_alone(chunk)
        if piece is not None:  # it tells nothing else
            self._last_chunk = self._answer = chunk
            return self._translator.chunk(chunk, piece)
        with self.guard.step("usage"):
            if self._tells_usage_only(chunk):
                self._translator.note(chunk)
                return []  # simple agents take the first of the choices without a look
        return self._translator.chunk(chunk)

    def _tells_usage_only(self, chunk: chat.Body) -> bool:
        """Take note of a chunk; whether it is one that only we have asked for."""
        usage = self._read_usage(chunk)
        self._usage = usage or self._usage  # reported twice, the last one counts
        if usage is not None and self._asked_usage and not chunk.get("choices"):
            return True
        if self._last_chunk is None:
            self.watch.began()
        if self._accepted and ("error" in chunk or not chunk.get("choices")):
            self._look_for_refusal(chunk)
        self._last_chunk = chunk
        if chunk.get("choices"):
            self._answer = chunk
        return False

    def _look_for_refusal(self, chunk: chat.Body) -> None:
        """A refusal in the middle of a stream: too late to try again, but it counts."""
        error = _refusing(chunk)
        refusal = None if error is None else self._refusal_in(chunk, error)
        if refusal is not None and self.broken_off is None and refusal.kind != "key":
            self.broken_off = refusal
            self._count_refusal(refusal)

    def end(self, *, marked: bool | None = None) -> list[chat.Body]:
        """The chunks to hand out before a stream's end.

        Args:
            marked: whether the stream has ended with its end mark; None where that cannot be
                seen.
        """
        out = self._translator.end(self._last_chunk, marked=marked)
        with self.guard.step("usage"):
            for chunk in out:
                self._usage = self._read_usage(chunk) or self._usage
        return out

    @property
    def spent(self) -> cost.Cost:
        """What the attempt has used up so far, as well as it is known.

        Nothing where the provider does not have it, its real usage once that is known, and
        what was reserved where it never is (a cut stream) or where the provider gives nothing
        back. A request that was cancelled before its answer began has come as a request;
        nobody knows of its tokens, so they are given back.
        """
        if not self._accepted:
            return _ONE_REQUEST if self._is_out else NOTHING
        if self._usage is None or not self._provider.rule.refunds:
            return self._reserved
        return self._usage.cost(self._provider.rule)

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self._body.get("model") or "")

    @property
    def usage(self) -> cost.Usage | None:
        """What the provider reported, if it did."""
        return self._usage

    @property
    def request(self) -> chat.Body:
        """The agent's request."""
        return self._body

    @property
    def answer(self) -> chat.Body:
        """The provider's completion, or its newest chunk with choices; empty without one."""
        return self._answer

    @property
    def status(self) -> int | None:
        """The HTTP status of the newest answer; None if none came."""
        return self._head.status or None

    @property
    def failure(self) -> str | None:
        """What the answer has failed with: its HTTP status, or the kind of its fault."""
        if self._broken is not None:
            return self._broken.kind
        if self._translator.is_over:
            kinds = (it.data["kind"] for it in self.tally.events[::-1] if it.name == "defect")
            return next(kinds, "error")
        if self._accepted or not self.status or 300 <= self.status < 400:
            return None
        return str(self.status) if self.status >= 400 else "refused"

    def finish(self) -> None:
        """Count what was used; once, when the answer was handed out."""
        self._count_usage()

    def _count_usage(self) -> None:
        if self._usage is not None:
            self.tally.add("prompt_tokens", self._usage.prompt_tokens)
            self.tally.add("completion_tokens", self._usage.completion_tokens)
            self.tally.add("cached_tokens", self._usage.cached_tokens)

    def _ask_usage(self) -> None:
        """Ask for the usage of a stream where the provider is known to take that."""
        sent = self._body if self._changed is None else self._changed
        options = sent.get("stream_options")
        asks = self._translator.asks_usage and sent.get("stream")
        if not asks or not isinstance(options, dict | None) or "include_usage" in (options or {}):
            return
        self._asked_usage = True
        self._changed = {**sent, "stream_options": {**(options or {}), "include_usage": True}}

    def _not_accepted(self, body: chat.Body | None) -> Action:
        refusal = read_refusal(
            self._head.status,
            self._head.headers,
            body,
            self._now_unix_s,
            self._provider.name,
            zones=self._zones,
        )
        return self._judged(refusal, body)

    def _judged(self, refusal: Refusal | None, body: chat.Body | None) -> Action:
        """What to do about an answer, or the first event of one, that is an error."""
        if refusal is not None:
            refusal = replace(refusal, tries=self._head.tries)
            action = self._refused(refusal)
            if action is not None or refusal.kind != "key":
                return action or self._error(body, gave_up=True)
        not_understood = self._head.status in _NOT_UNDERSTOOD
        if not_understood and self._has_asked and self._changed is not self._unasked:
            return AskAgain()
        if not_understood and self._changed is not None:
            # Nothing that we added may fail a request: once as the agent wrote it.
            self._translator.refused()
            self._changed, self._plain, self._asked_usage = None, True, False
            self.estimated = 0  # another body than the one that was counted
            return Resend()
        return self._error(body, gave_up=False)

    def _understood(self) -> None:
        """The provider has taken the request."""
        if self._plain:
            self._translator.give_up()

    def _count_refusal(self, refusal: Refusal) -> None:
        self.tally.add("refusals")
        self.tally.note(
            "refused",
            status=refusal.status,
            kind=refusal.kind,
            scope=refusal.scope,
            retry_after_s=refusal.retry_after_s,
        )

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
            self._pause_s = seconds
            self.waits(seconds, None)
        return Wait(seconds, refusal)

    def _wait_s(self, refusal: Refusal) -> float | None:
        # Money, plan, or a size that never fits: no waiting helps. Nor where a layer in front of
        # the provider has waited already, or the provider says so itself.
        hopeless = refusal.kind in ("final", "key")
        hopeless = hopeless or self._head.headers.get("x-should-retry") == "false"
        return None if hopeless else self._backoff(refusal)

    def _count_wait(self, seconds: float) -> None:
        if seconds >= _WORTH_TELLING_S:
            self.tally.add("waited_s", seconds)
            self.tally.note("waited", seconds_s=round(seconds, 3))
            self.watch.progressed(self.tally, self.guard)


def _refusing(event: chat.Body) -> Mapping[str, Any] | None:
    """The error that an event of a stream reports, in the form of any API."""
    if event.get("type") == _FAILED:
        response = event.get("response")
        return error_in(response) if isinstance(response, dict) else None
    return error_in(event)


def _failed(fault: Fault) -> Respond:
    asks = fault.retry.startswith("ask_model")  # the same request would only cost the same
    return Respond(fault.body(), status=fault.http_status, gave_up=asks)

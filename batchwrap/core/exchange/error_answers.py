"""What happens to an answer that is an error: the request is sent again, or the error goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from batchwrap.core.exchange.actions import Action, AskAgain, Resend, Respond, Stream, Wait
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.exchange_counts import ExchangeCounts
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.guarded_translation import GuardedTranslation
from batchwrap.core.exchange.progress import AnswerProgress, RequestProgress, WholeBody
from batchwrap.core.formats.format import Body
from batchwrap.core.limits.refusal import Refusal, read_refusal, read_stream_error
from batchwrap.core.repair.diagnosis import may_be_about_request, repaired_body
from batchwrap.core.repair.faults import as_error, error_in_event, is_whole_error

# Refusals that may be due to what we added to the request.
NOT_UNDERSTOOD = (400, 413, 422)
# A server refuses a conversation before it generates anything. A later error has another cause.
_AT_ONCE_S = 10.0


class ErrorAnswers:
    """Decides what follows an error. One object serves one request and its attempts.

    Args:
        context: what is known of the provider.
        request: the request; what is sent next is set here.
        translator: knows what was changed in the request.
        counts: counts refusals and waits.
        guard: catches errors in batchwrap's own code.
        backoff: seconds to wait after a refusal, None to give up.
        takes_over: whether another account may take a request that this one refuses.
    """

    def __init__(
        self,
        context: Context,
        request: RequestProgress,
        translator: GuardedTranslation,
        counts: ExchangeCounts,
        guard: Guard,
        *,
        backoff: Callable[[Refusal], float | None],
        takes_over: Callable[[Refusal], bool],
    ) -> None:
        self._signals = context.provider.signals
        self._zones = context.zones
        self._request = request
        self._translator = translator
        self._counts = counts
        self._guard = guard
        self._backoff = backoff
        self._takes_over = takes_over

    def whole(self, answer: AnswerProgress, read: WholeBody) -> Action:
        """The action after a whole answer that is an error."""
        head = answer.head
        refusal = read_refusal(
            head.status,
            head.headers,
            read.completion,
            answer.now_unix_s,
            self._signals,
            zones=self._zones,
        )
        return self._judged(answer, refusal, read)

    def first(self, answer: AnswerProgress, event: Body, error: Mapping[str, Any]) -> Action:
        """The action after a stream whose first event is an error."""
        return self._judged(answer, self._refusal_in(answer, event, error), WholeBody(event))

    def later(self, answer: AnswerProgress, event: Body) -> Refusal | None:
        """The refusal in a later event of a stream, for which it is too late to retry."""
        error = error_in_event(event)
        refusal = None if error is None else self._refusal_in(answer, event, error)
        if refusal is None or refusal.kind == "key":
            return None
        return refusal

    def _refusal_in(
        self, answer: AnswerProgress, event: Body, error: Mapping[str, Any]
    ) -> Refusal | None:
        told = event if is_whole_error(event) else as_error(error)
        return read_stream_error(told, answer.now_unix_s, self._signals, zones=self._zones)

    def _judged(self, answer: AnswerProgress, refusal: Refusal | None, read: WholeBody) -> Action:
        request, head = self._request, answer.head
        if request.suspicion == "server_error":  # the agent's own request fails, too
            request.suspicion = None
            self._translator.tried(accepted=False)
        elif self._may_be_ours(answer, read):
            again = self._as_written(read, "server_error")
            if again is not None:
                return again
        if refusal is not None:
            refusal = replace(refusal, tries=head.tries)
            action = self._refused(answer, refusal)
            if action is not None or refusal.kind != "key":
                return action or self._handed_out(answer, read, gave_up=True)
            # A key that is out is no refusal to the caller: the error is handed on as it is.
        not_understood = head.status in NOT_UNDERSTOOD
        # The longer request with our note was refused, so the one before it goes out again.
        if not_understood and request.has_asked and request.changed is not request.unasked:
            return AskAgain()
        is_ours = request.changed is not None and not request.is_plain
        if not_understood and (is_ours or self._translator.is_guess):
            again = self._as_written(read, "refusal")
            if again is not None:
                return again
        return self._handed_out(answer, read, gave_up=False)

    def _may_be_ours(self, answer: AnswerProgress, read: WholeBody) -> bool:
        """Whether a server error may be due to what we changed, and the request is sent without.

        Some servers report an error of the model's chat template like this. The same is said by a
        server that has too much to do, so it gets a second request only if nothing points to that,
        and rarely if it fails that one, too.
        """
        request = self._request
        if request.changed is None or request.is_plain or request.has_asked:
            return False
        told = read.other if read.completion is None else read.completion
        is_quick = answer.took_s < _AT_ONCE_S
        may_be = is_quick and may_be_about_request(answer.head.status, answer.head.headers, told)
        return may_be and self._translator.takes_trial()

    def _as_written(
        self, read: WholeBody, suspicion: Literal["refusal", "server_error"]
    ) -> Resend | None:
        """Send the request as the agent wrote it: nothing that we add may fail it."""
        request, again = self._request, self._translator.refused(read.completion or {})
        if again is not None:
            request.changed, request.is_plain = again.body, again.is_plain
            request.suspicion = suspicion if again.is_plain else None
            request.asked_usage = False
            request.estimated = 0  # it was the estimate of the other body
        return again

    def _handed_out(self, answer: AnswerProgress, read: WholeBody, *, gave_up: bool) -> Action:
        """Hand out an answer that is an error, in the shape that SDKs read."""
        body, head = read.completion, answer.head
        said = read.other if body is None else body
        fault = self._translator.refusal(head.status, head.headers, said)
        if fault is None:  # errors are not repaired, so a stream with an error stays a stream
            streams = head.is_stream and not answer.is_read
            return Stream() if streams else Respond(None, gave_up=gave_up)
        once = fault.retry == "same_request_once" and not gave_up
        mended = repaired_body(body, fault)
        if not head.is_stream:
            mended = body if mended is None and read.is_rebuilt else mended
            return Respond(mended, gave_up=gave_up, retry=once)
        told = mended or body or fault.body()
        return Respond(told, gave_up=gave_up, retry=once, status=head.status)

    def _refused(self, answer: AnswerProgress, refusal: Refusal) -> Wait | None:
        """The wait after a refusal; None if the request is given up."""
        seconds = None
        with self._guard.step("retry"):
            seconds = self._wait_s(answer, refusal)
            if seconds is None and self._takes_over(refusal):
                seconds = 0.0
        if seconds is not None or refusal.kind != "key":
            self._counts.refused(refusal)
        if seconds is None:
            return None
        if not refusal.is_queued:  # otherwise the limiter reports the wait when it reserves again
            self._request.pause_s = seconds
            self._counts.waits(seconds, None)
        return Wait(seconds, refusal)

    def _wait_s(self, answer: AnswerProgress, refusal: Refusal) -> float | None:
        # Waiting does not help if money, the plan or the size is the cause, or if a layer below
        # has retried already and says so by the header, as the provider itself may.
        hopeless = refusal.kind in ("final", "key")
        hopeless = hopeless or answer.head.headers.get("x-should-retry") == "false"
        return None if hopeless else self._backoff(refusal)

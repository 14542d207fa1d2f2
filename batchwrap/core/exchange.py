"""One request of the agent and its answer, as a state machine.

It is told what happened and says what to do next; a driver obeys (`batchwrap.drive`). It
knows no socket, no clock and no SDK. The order of things:

    start -> AnswerLocally
    start -> Reserve -> reserved -> Send -> received -> ReadBody -> body -> Respond
                ^                              |
                |           ^                  |
                |           +------------------+ (400, 413, 422: once as the agent wrote it)
                |                              +-> Stream -> chunk, chunk, ... end
                +------ waited <- Wait <-------+ (429)

`Respond(None)` and a chunk that is None mean: as it came. So what batchwrap does not
change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchwrap.core import chat
from batchwrap.core.limits import cost
from batchwrap.core.limits.refusal import Refusal, read_refusal
from batchwrap.core.tally import Tally
from batchwrap.core.views.deliver import LocalAnswer
from batchwrap.core.views.outgoing import Context
from batchwrap.core.views.translate import Translator


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers (lower-case names) of an answer, and whether it is a stream."""

    status: int
    headers: Mapping[str, str]
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Reserve:
    """Wait until this cost is admitted, then call `reserved`."""

    cost: cost.Cost


@dataclass(frozen=True, slots=True)
class Send:
    """Send this body, or the agent's own if None, then call `received`."""

    body: chat.Body | None


@dataclass(frozen=True, slots=True)
class Resend:
    """The provider did not understand the request: send the agent's own, then call `received`."""


@dataclass(frozen=True, slots=True)
class ReadBody:
    """Read the whole answer, then call `body`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The attempt was refused. Wait so many seconds, then call `waited`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Respond:
    """Hand out the answer: this body, or as it came if None.

    Attributes:
        gave_up: the answer is a refusal that was retried as often as the policy allows;
            the client above must not retry it again.
    """

    body: chat.Body | None
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """Hand out the answer as it comes, each chunk through `chunk`, and at last `end`."""


@dataclass(frozen=True, slots=True)
class AnswerLocally:
    """Hand out this answer; the provider is not asked."""

    answer: LocalAnswer


Action = Reserve | Send | Resend | ReadBody | Wait | Respond | Stream | AnswerLocally


# Refusals that may be due to what we added to the request.
_NOT_UNDERSTOOD = (400, 413, 422)
# Less is the time that the call itself takes.
_WORTH_TELLING_S = 0.001


class Exchange:
    """The machine. One object serves one request.

    Args:
        body: the agent's request, decoded.
        context: what the translator needs.
        count_tokens: estimates the prompt tokens of a body; None if nothing is limited.
        backoff: seconds to wait after a refusal, None to give up.
        may_answer: whether the adapter can hand out local answers.
    """

    def __init__(
        self,
        body: chat.Body,
        *,
        context: Context,
        count_tokens: Callable[[chat.Body], int] | None,
        backoff: Callable[[Refusal], float | None],
        may_answer: bool = True,
    ) -> None:
        self._body = body
        self._translator = Translator(context, body)
        self._count_tokens = count_tokens
        self._backoff = backoff
        self._may_answer = may_answer
        self._reserved = cost.Cost(1)
        self._changed: chat.Body | None = None
        self._usage: cost.Usage | None = None
        self._accepted = False
        self._gave_up = False
        self._plain = False
        self._last_chunk: chat.Body | None = None
        self.tally: Tally = context.tally

    def start(self) -> Action:
        """The first thing to do."""
        self.tally.add("requests")
        answer = self._translator.local_answer() if self._may_answer else None
        if answer is not None:
            return AnswerLocally(answer)
        self._changed = self._translator.request()
        if self._count_tokens is not None:
            sent = self._body if self._changed is None else self._changed
            self._reserved = cost.reserve(self._count_tokens(sent), sent)
        return Reserve(self._reserved)

    def reserved(self, waited_s: float) -> Action:
        """The cost was admitted, after so many seconds in the queue."""
        self._count_wait(waited_s)
        return Send(self._changed)

    def received(self, head: Head, now_unix_s: float) -> Action:
        """Status and headers of the answer are here."""
        self.tally.add("round_trips")
        refusal = read_refusal(head.status, head.headers, now_unix_s)
        if refusal is not None:
            return self._refused(refusal)
        self._accepted = head.status < 400
        if head.status in _NOT_UNDERSTOOD and self._changed is not None:
            # Nothing that we added may fail a request: once as the agent wrote it.
            self._translator.refused()
            self._changed, self._plain = None, True
            return Resend()
        if self._accepted and self._plain:
            self._translator.give_up()
        return Stream() if head.is_stream and self._accepted else ReadBody()

    def waited(self) -> Action:
        """The wait after a refusal is over."""
        self.tally.add("retries")
        return Reserve(self._reserved)

    def body(self, completion: chat.Body | None) -> Action:
        """The whole answer is here; None if it is not a JSON object."""
        if completion is None or not self._accepted:
            return Respond(None, gave_up=self._gave_up)
        self._usage = cost.usage_of(completion)
        return Respond(self._translator.response(completion))

    def chunk(self, chunk: chat.Body) -> list[chat.Body] | None:
        """The chunks to hand out for one that came; None: as it came."""
        self._usage = cost.usage_of(chunk) or self._usage
        self._last_chunk = chunk
        return self._translator.chunk(chunk)

    def end(self) -> list[chat.Body]:
        """The chunks to hand out before a stream's end."""
        return self._translator.end(self._last_chunk)

    @property
    def spent(self) -> cost.Cost:
        """What the attempt has used up so far, as well as it is known.

        Nothing before the provider accepted it, its real usage once that is known, and
        what was reserved where it never is (a cut stream).
        """
        if not self._accepted:
            return cost.NOTHING
        return self._usage.cost if self._usage is not None else self._reserved

    def finish(self) -> None:
        """Count what was used; once, when the answer was handed out."""
        if self._usage is not None:
            self.tally.add("prompt_tokens", self._usage.prompt_tokens)
            self.tally.add("completion_tokens", self._usage.completion_tokens)

    def _refused(self, refusal: Refusal) -> Action:
        self.tally.add("refusals")
        self.tally.note("refused", status=refusal.status, retry_after_s=refusal.retry_after_s)
        seconds = self._backoff(refusal)
        if seconds is None:
            self._gave_up = True
            return ReadBody()
        self._count_wait(seconds)
        return Wait(seconds)

    def _count_wait(self, seconds: float) -> None:
        if seconds >= _WORTH_TELLING_S:
            self.tally.add("waited_s", seconds)
            self.tally.note("waited", seconds_s=round(seconds, 3))

"""The actions that an exchange asks its driver for, and the head of an answer.

Which action may follow which is in `states`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchwrap.core.formats.format import Body
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptRun


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers (lower-case names) of an answer, and whether it is a stream.

    `tries` is the number of requests that it took: layers below may have retried by themselves.
    """

    status: int
    headers: Mapping[str, str]
    is_stream: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True, repr=False)
class RunScript:
    """Run a script of the model's, then call `ran` with its outcome."""

    run: ScriptRun


@dataclass(frozen=True, slots=True)
class Load:
    """Load what other processes have kept under these names, then call `loaded` with it."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Reserve:
    """Wait until a cost is admitted, then call `reserved`.

    Attributes:
        cost: what the provider may count, including an answer of estimated length.
        minimum: the part that the request itself names; only that can be too large.
        headroom: what the provider may count beyond the cost if the estimates are too low.
    """

    cost: Cost
    minimum: Cost
    headroom: Cost = NOTHING


@dataclass(frozen=True, slots=True, repr=False)
class Send:
    """Send this body, or the agent's own if None, then call `received`."""

    body: Body | None


@dataclass(frozen=True, slots=True, repr=False)
class Resend:
    """The provider did not accept the request. Send this one, then call `received`.

    Attributes:
        body: what to send; None for the agent's own.
        is_plain: whether that is the agent's own, at most without what no provider knows.
    """

    body: Body | None = None
    is_plain: bool = True


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The answer was not understood, and nothing of it goes out. Drop it, call `ask_again`."""


@dataclass(frozen=True, slots=True)
class ReadBody:
    """Read the whole answer, then call `body`."""


@dataclass(frozen=True, slots=True)
class ReadFirst:
    """Read a stream's first event, which may be a refusal, then call `first`.

    Nothing of it is handed out yet, so the request can still be sent again.
    """


@dataclass(frozen=True, slots=True)
class Wait:
    """The attempt was refused. Wait this many seconds, then call `waited`.

    After a refusal that `is_queued`, the limiter makes the request wait when it reserves again, so
    `waited` is called at once.
    """

    seconds: float
    refusal: Refusal


@dataclass(frozen=True, slots=True, repr=False)
class Respond:
    """Hand out the answer.

    Attributes:
        body: the body to hand out; None for the original bytes.
        gave_up: whether it is a refusal that was retried as often as the policy allows; the
            client above must not retry it.
        status: the HTTP status, if it differs from the provider's.
        retry: whether the client above may retry it once, although its status says otherwise.
        chunks: the body as a stream, if a stream was asked for and did not come.
    """

    body: Body | None
    gave_up: bool = False
    status: int | None = None
    retry: bool = False
    chunks: list[Body] | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Hand out the answer as it comes, each chunk through `chunk`, and call `end` at the end.

    Nothing goes out while the exchange `may_ask_again`. If it then `asks_again`, the stream is
    dropped, as with `AskAgain`.
    """


@dataclass(frozen=True, slots=True, repr=False)
class AnswerLocally:
    """Hand out this answer; no request is sent."""

    answer: LocalAnswer


Action = (
    Load
    | RunScript
    | Reserve
    | Send
    | Resend
    | AskAgain
    | ReadBody
    | ReadFirst
    | Wait
    | Respond
    | Stream
    | AnswerLocally
)

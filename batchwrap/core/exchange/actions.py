"""What an exchange says to its driver, and what a driver tells it of an answer's head.

The order in which they come stands in `states`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchwrap.core.formats.format import Body
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptRun


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers (lower-case names) of an answer, and whether it is a stream.

    `tries` is how often it was asked for: layers beneath may have retried by themselves.
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
class Reserve:
    """Wait until a cost is admitted, then call `reserved`.

    Attributes:
        cost: what the provider may count, an answer of unknown length included.
        minimum: the part of it that the request itself names; only that can be too large.
        headroom: what it may count beyond, where estimates are not good.
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
    """The provider did not take the request: send this, then call `received`.

    Attributes:
        body: what goes out; None: the agent's own.
    """

    body: Body | None = None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nobody gets this answer, since it was not understood: let go of it, call `ask_again`."""


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
    """The attempt was refused. Wait so many seconds, then call `waited`.

    After a refusal that `is_queued` the gate waits: call it at once.
    """

    seconds: float
    refusal: Refusal


@dataclass(frozen=True, slots=True, repr=False)
class Respond:
    """Hand out the answer: this body, or as it came if None.

    Attributes:
        gave_up: the answer is a refusal that was retried as often as the policy allows;
            the client above must not retry it again.
        status: the HTTP status, where it is another than the provider's.
        retry: the client above may retry it once, although its status says otherwise.
        chunks: the body as a stream, where one was asked for and none came.
    """

    body: Body | None
    gave_up: bool = False
    status: int | None = None
    retry: bool = False
    chunks: list[Body] | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Hand out the answer as it comes, each chunk through `chunk`, and at last `end`.

    Nothing goes out while the exchange `may_ask_again`; if it then `asks_again`, the stream is
    let go of, as with `AskAgain`.
    """


@dataclass(frozen=True, slots=True, repr=False)
class AnswerLocally:
    """Hand out this answer; the provider is not asked."""

    answer: LocalAnswer


Action = (
    RunScript
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

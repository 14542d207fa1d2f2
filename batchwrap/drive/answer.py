"""The interface between a driver and its adapter, for any library that sends the request."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from batchwrap.core.exchange.actions import AnswerLocally, Head, Respond
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.recall import Record
from batchwrap.core.formats.chat import Body
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun


class Incoming(Protocol):
    """An answer of the provider whose head has arrived."""

    @property
    def head(self) -> Head:
        """Status and headers."""

    def read(self) -> WholeBody:
        """The whole body, decoded. May be called twice."""

    def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one.

        `pieces` hands them out, too.
        """

    def pieces(self, exchange: Exchange) -> Generator[Any]:
        """The stream, each chunk taken through the exchange, in the adapter's own type.

        A `ScriptRun` among the pieces has to be run; its outcome is sent into the generator.
        """

    def close(self) -> None:
        """Let go of the connection; may be called twice."""


class AsyncPiecesSource(Protocol):
    """An async iterator that can be closed, and is told how the scripts in it turned out."""

    def __anext__(self) -> Awaitable[Any]:
        """The next piece, or a script that has to be run before there is one."""

    def asend(self, outcome: ScriptOutcome, /) -> Awaitable[Any]:
        """The next piece, once the script that came in its place has this outcome."""

    def aclose(self) -> Awaitable[Any]:
        """Close it, and drop the rest."""


class AsyncIncoming(Protocol):
    """An answer of the provider whose head has arrived, for tasks."""

    @property
    def head(self) -> Head:
        """Status and headers."""

    async def read(self) -> WholeBody:
        """The whole body, decoded. May be called twice."""

    async def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one.

        `pieces` hands them out, too.
        """

    def pieces(self, exchange: Exchange) -> AsyncPiecesSource:
        """The stream, each chunk taken through the exchange, in the adapter's own type."""

    async def close(self) -> None:
        """Let go of the connection; may be called twice."""


class Interprets(Protocol):
    """Runs scripts, whatever they hold."""

    def run(self, run: ScriptRun) -> ScriptOutcome:
        """How far a script comes; blocks while it computes."""

    async def run_async(self, run: ScriptRun) -> ScriptOutcome:
        """The same, without blocking the event loop."""


class Remembers(Protocol):
    """Keeps what other processes have to know of an account's conversations.

    What fails, or takes too long, is as if nothing had been kept.
    """

    def load(self, names: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """What is kept under these names."""

    def keep(self, records: Sequence[Record]) -> None:
        """Keep records."""

    async def load_async(self, names: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """What is kept under these names, without blocking the event loop."""

    async def keep_async(self, records: Sequence[Record]) -> None:
        """Keep records, without blocking the event loop."""


In = TypeVar("In")
Out = TypeVar("Out")


# The largest number of pieces that may wait. They hold no text yet: comments and empty events that
# keep a connection open.
MOST_HELD = 1_000


@dataclass(slots=True)
class Held:
    """The beginning of a stream, held until it is certain that the stream is handed out.

    Attributes:
        pieces: the pieces that came.
        error: the error that came after them; it is raised when the reader gets there.
    """

    pieces: deque[Any] = field(default_factory=deque)
    error: Exception | None = None

    def waits(self, exchange: Exchange) -> bool:
        """Whether the next piece has to wait, too."""
        is_open = self.error is None and len(self.pieces) < MOST_HELD
        return is_open and exchange.may_ask_again

    def take(self) -> Any:
        """The next piece; if all are bytes, they go out as one piece.

        Raises:
            Exception: the error that came after the pieces.
        """
        if not self.pieces and self.error is not None:
            raise self.error
        if all(isinstance(piece, bytes) for piece in self.pieces):
            whole = b"".join(self.pieces)
            self.pieces.clear()
            return whole
        return self.pieces.popleft()


@dataclass(frozen=True, slots=True)
class Answer(Generic[In, Out]):
    """What the adapter hands out.

    Attributes:
        incoming: the provider's answer behind it; None for a local answer.
        outcome: a whole answer, or the stream.
    """

    incoming: In | None
    outcome: Respond | AnswerLocally | Out


def sent(incoming: In | None) -> In:
    """The answer that is arriving; the exchange asks for it only after `Send`."""
    assert incoming is not None
    return incoming

"""What passes between a driver and its adapter, whatever library sends the request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from batchwrap.core.actions import AnswerLocally, Head, Respond
from batchwrap.core.chat import Body
from batchwrap.core.exchange import Exchange


class Incoming(Protocol):
    """An answer of the provider that is just arriving."""

    @property
    def head(self) -> Head:
        """Status and headers."""

    def read(self) -> Body | None:
        """The whole body, decoded; None if it is not a JSON object. May be called twice."""

    def first(self) -> Body | None:
        """The first event of a stream, decoded, which `pieces` hands out, too."""

    def pieces(self, exchange: Exchange) -> Generator[Any]:
        """The stream, each chunk taken through the exchange, in the adapter's own type."""

    def close(self) -> None:
        """Let go of the connection; may be called twice."""


class AsyncIncoming(Protocol):
    """The same for tasks."""

    @property
    def head(self) -> Head:
        """Status and headers."""

    async def read(self) -> Body | None:
        """The whole body, decoded; None if it is not a JSON object. May be called twice."""

    async def first(self) -> Body | None:
        """The first event of a stream, decoded, which `pieces` hands out, too."""

    def pieces(self, exchange: Exchange) -> AsyncGenerator[Any]:
        """The stream, each chunk taken through the exchange, in the adapter's own type."""

    async def close(self) -> None:
        """Let go of the connection; may be called twice."""


In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Answer(Generic[In, Out]):
    """What the adapter hands out.

    Attributes:
        incoming: the provider's answer that it is made of; None for a local answer.
        outcome: how to answer at once, or the stream.
    """

    incoming: In | None
    outcome: Respond | AnswerLocally | Out


def sent(incoming: In | None) -> In:
    """The answer that is arriving; the exchange asks for it only after `Send`."""
    assert incoming is not None
    return incoming

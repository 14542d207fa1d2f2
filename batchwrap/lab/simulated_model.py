"""The replies of a simulated model: a turn of the assistant, or exact bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the model makes.

    Args:
        name: the tool's name.
        arguments: an object, sent as compact JSON; or a string, sent unchanged, so that broken JSON
            can be scripted.
        id: the call's id; by default a random one like OpenAI's.
    """

    name: str
    arguments: dict[str, Any] | str
    _: KW_ONLY
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The assistant's turn.

    Args:
        text: its content.
        calls: its tool calls, in order.
        reasoning: its reasoning content, sent before everything else: in the field `reasoning`,
            or for messages as a block that is signed for all that the model was sent.
        finish_reason: sent as given; otherwise ``"length"`` if the request's output cap
            cut the turn, ``"tool_calls"`` if it has calls, ``"stop"`` if not.
    """

    text: str = ""
    _: KW_ONLY
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """Exact bytes as the response, to simulate a faulty provider.

    Args:
        status: the HTTP status.
        headers: the response headers; only the framing is added to them (``transfer-encoding:
            chunked`` if there is no ``content-length``).
        chunks: the body; each chunk is written to the connection separately.
        close: ``"abrupt"`` closes the connection after the chunks without ending the response, as
            a provider does that crashes in the middle of a stream.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] = ()
    close: Literal["clean", "abrupt"] = "clean"


# Takes the request's JSON body; called in a worker thread, so it may block.
Model = Callable[[dict[str, Any]], Reply | Raw]

"""What a simulated model says: a turn of the assistant, or exact bytes in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the model makes.

    Args:
        name: the tool's name.
        arguments: an object, sent as compact JSON; or a text, sent as it is to the byte,
            so that broken JSON can be scripted.
        id: the call's id; a fresh one like OpenAI's unless given.
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
        reasoning: its thinking, sent before everything else in the field `reasoning`.
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
    """Exact bytes as the response, for oddities that no healthy provider sends.

    Args:
        status: the HTTP status.
        headers: the response headers; nothing is added to them but the framing
            (``transfer-encoding: chunked`` where there is no ``content-length``).
        chunks: the body; each is handed to the connection on its own.
        close: ``"abrupt"`` closes the connection after the chunks without ending the
            response, as a provider does that dies in mid-stream.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] = ()
    close: Literal["clean", "abrupt"] = "clean"


# Gets the request's JSON body; called in a worker thread, so it may block.
Model = Callable[[dict[str, Any]], Reply | Raw]

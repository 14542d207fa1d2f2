"""The common form into which the readers of all log formats convert: chat messages.

A reader only converts. `record` then finds the turns, what their calls do, and all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from batchwrap.analyze.files import Record
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import MAX_TOKENS, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of a recorded conversation.

    Attributes:
        session: the conversation; one file may contain several.
        message: the message, in the form of chat completions.
        source: the agent or program that wrote the log.
        model: the model of an assistant message.
        usage: the tokens of an assistant message's request; None if the log does not say.
        answer: an id that all pieces of one assistant message share.
        everywhere: whether that id is unique among all logs, not only in this file.
        failed: whether the log says that the call of a tool message failed.
        tools: the request's tools, if the log contains them.
        as_text: whether calls are text that the agent reads, and not tool calls of the API.
    """

    session: str
    message: chat.Message
    source: str
    model: str = ""
    usage: Usage | None = None
    answer: str | None = None
    everywhere: bool = False
    failed: bool = False
    tools: object = None
    as_text: bool = False


class LogFormat(Protocol):
    """A format of logs, recognised by its content."""

    NAME: str

    def recognises(self, record: Record) -> bool:
        """Whether a record can belong to no other format."""
        ...


Reader = Callable[[Iterator[Record], str], Iterator[Said]]


def dict_of(value: object, *keys: str) -> dict[str, Any]:
    """The object under nested keys; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def dicts_in(value: object) -> list[dict[str, Any]]:
    """The objects in a list; empty if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def count_of(value: object) -> int:
    """A number of tokens; 0 for anything else, and for a number that is too large to be one."""
    # The comparison comes first: neither NaN nor an infinite number has an `int`.
    return int(value) if isinstance(value, (int, float)) and 0 <= value <= MAX_TOKENS else 0


def usage_from(prompt: int, output: int, cached: int = 0) -> Usage | None:
    """The usage of a request, of whose prompt tokens some came from a cache; None without any."""
    return Usage(prompt, output, min(prompt, cached)) if prompt else None


def call(
    call_id: object, name: object, arguments: object, *, is_function: bool = True
) -> chat.ToolCall:
    """A tool call; the arguments as text or parsed."""
    function = {"name": str(name), "arguments": arguments}
    kind = "function" if is_function else "custom"
    return {"id": str(call_id), "type": kind, "function": function}


def calls_of(listed: list[Record], call_id: str, name: str, arguments: str) -> list[chat.ToolCall]:
    """The tool calls for some objects that have id, name and arguments under these keys."""
    return [call(one.get(call_id), one.get(name), one.get(arguments)) for one in listed]


def assistant(text: str, calls: list[chat.ToolCall], reasoning: str = "") -> chat.Message:
    """An assistant message."""
    message: chat.Message = {"role": "assistant", "content": text or None}
    if reasoning:
        message["reasoning_content"] = reasoning
    return {**message, "tool_calls": calls} if calls else message


def reasoning_in(message: chat.Message) -> str:
    """What an assistant message reasons beside its text, where the log has it."""
    return text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))


def result(call_id: object, content: object) -> chat.Message:
    """A tool message."""
    return {"role": "tool", "tool_call_id": str(call_id), "content": content}

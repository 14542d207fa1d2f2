"""What an API's form has to be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A call that a model makes.

    Attributes:
        call_id: its id.
        name: the tool's name.
        pieces: its arguments, as they come in a stream.
    """

    call_id: str
    name: str
    pieces: Sequence[str]

    @property
    def arguments(self) -> str:
        """Its arguments, whole."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """An answer of a model.

    Attributes:
        parts: texts, in the pieces in which they are streamed, and calls, in order.
        model: its name.
        prompt: tokens of the request.
        output: tokens of the answer.
        answer_id: the answer's id; agents that join what has the same one need a fresh one.
        thinking: what the model thought before; empty if it did not, or its API does not tell.
        signature: that of its thinking.
    """

    parts: Sequence[Sequence[str] | ScriptedCall]
    model: str = "lab"
    prompt: int = 1
    output: int = 1
    answer_id: str = "lab"
    thinking: str = ""
    signature: str = ""

    @property
    def texts(self) -> list[str]:
        """The pieces of its texts."""
        return [
            piece for part in self.parts if not isinstance(part, ScriptedCall) for piece in part
        ]

    @property
    def has_calls(self) -> bool:
        """Whether it calls a tool."""
        return any(isinstance(part, ScriptedCall) for part in self.parts)


class ApiForm(ABC):
    """One API, as its clients and its servers write it.

    Attributes:
        path: of its endpoint.
    """

    path: str

    @abstractmethod
    def request(self, chat: Body) -> Body:
        """A request for a chat completion, as an agent would write it for this API."""

    @abstractmethod
    def as_chat(self, request: Body) -> Body:
        """A request of this API as one for a chat completion."""

    @abstractmethod
    def message(self, answer: Body) -> Message:
        """The message of a whole answer, as a chat completion would have it."""

    @abstractmethod
    def fault_in(self, request: Body) -> str | None:
        """What its server would refuse a request for; None: nothing."""

    @abstractmethod
    def whole(self, said: ScriptedAnswer) -> Body:
        """An answer in one piece."""

    @abstractmethod
    def events(self, said: ScriptedAnswer) -> Iterator[Body]:
        """An answer as the events of a stream."""


def made_call(call_id: str, name: str, arguments: str) -> Message:
    """A call, as a message of a chat completion has it."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def model_message(texts: Sequence[str], calls: Sequence[Message]) -> Message:
    """A turn of the model as one message."""
    said = "\n".join(texts)
    message: Message = {"role": "assistant", "content": said if said or not calls else None}
    return {**message, "tool_calls": list(calls)} if calls else message


def plain_content(parts: Sequence[Any]) -> Any:
    """Parts as the content of a message: a text where there is nothing but one."""
    if len(parts) == 1 and set(parts[0]) == {"type", "text"}:
        return parts[0]["text"]
    return list(parts)


def as_parts(content: Any) -> list[Any]:
    """A content as parts."""
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []

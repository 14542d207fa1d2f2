"""What a conversation tells about files: who read them, who changed them, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats import chat
from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead.paths import FilePath, parse
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import AHEAD


@dataclass(slots=True, repr=False)
class Call:
    """One of the agent's calls.

    Attributes:
        place: where its message stands in the conversation.
        tool: its tool.
        given: its arguments; empty where they make no sense.
        path: the file that it names, if it plainly names one.
        is_added: whether read-ahead made it.
        answer: the message with its result, if it has one.
    """

    place: int
    tool: SingleTool
    given: dict[str, Any]
    path: FilePath | None
    is_added: bool
    answer: chat.Message = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Its result as one text; empty if there is none."""
        return chat.text_of(self.answer.get("content"))

    @property
    def went_well(self) -> bool:
        """Whether it has a result, and that does not read as failed."""
        text = next((text for text in chat.texts(self.answer.get("content")) if text), "error")
        return not looks_failed(text)


@dataclass(slots=True)
class Past:
    """A conversation, as far as read-ahead is concerned.

    Attributes:
        calls: the calls of tools that are known, in order.
        touches: those that read or change a file, by its name in lower case.
        prompt: the newest user message.
        asked: where it stands.
    """

    calls: list[Call] = field(default_factory=list)
    touches: dict[str, list[Call]] = field(default_factory=dict)
    prompt: str = ""
    asked: int = -1

    def add(self, call: Call) -> None:
        """Take in the next call."""
        self.calls.append(call)
        if call.path is not None:
            self.touches.setdefault(call.path.name.casefold(), []).append(call)

    def newest(self, kind: str) -> Call | None:
        """The model's newest call of a kind of tool that has a result."""
        own = (c for c in reversed(self.calls) if c.tool.kind == kind and not c.is_added)
        return next((call for call in own if call.answer), None)

    def of(self, path: FilePath) -> list[Call]:
        """The calls that read or change what may be this file, in order."""
        touches = self.touches.get(path.name.casefold(), ())
        return [call for call in touches if may_be_same(call.path, path)]

    def folders(self) -> set[FilePath]:
        """The folders of which the model itself has read a file."""
        own = (c for c in self.calls if c.tool.kind == "read" and not c.is_added and c.went_well)
        return {call.path.folder for call in own if call.path}

    def knows(self, path: FilePath, named: int) -> bool:
        """Whether the model knows a file that is named at this place of the conversation.

        It does if it has read or changed it, unless it was changed since it was read last,
        and named again after that.
        """
        known, changed = False, -1
        for call in self.of(path):
            known, changed = True, call.place if call.tool.kind != "read" else -1
        return known and not -1 < changed < named


def past_of(messages: Sequence[chat.Message], singles: Mapping[str, SingleTool]) -> Past:
    """What the agent view of a conversation tells, in one walk."""
    past, waiting = Past(), dict[object, Call]()
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "assistant":
            for call in chat.tool_calls(message):
                tool = singles.get(chat.name_of(call))
                if tool is not None and tool.kind in ("read", "edit", "write", "read_only"):
                    past.add(_call(place, tool, call))
                    # Some providers repeat their ids each turn: a result is of the newest.
                    waiting[str(call.get("id"))] = past.calls[-1]
        elif role == "tool":
            answered = waiting.pop(message.get("tool_call_id"), None)
            if answered is not None:
                answered.answer = message
        elif role == "user":
            past.prompt, past.asked = chat.text_of(message.get("content")), place
    return past


def arguments_in(call: chat.ToolCall) -> dict[str, Any]:
    """The arguments of a call; empty where they are no object."""
    try:
        given = orjson.loads(chat.arguments_of(call))
    except (orjson.JSONDecodeError, TypeError):  # TypeError: an object that is no JSON
        return {}
    return given if isinstance(given, dict) else {}


def is_added(call: chat.ToolCall) -> bool:
    """Whether read-ahead made a call, as its id tells."""
    derived = ids.decode(call.get("id"))
    return derived is not None and derived.kind == AHEAD


def may_be_same(one: FilePath | None, other: FilePath) -> bool:
    """Whether two paths may be one file: a relative one may begin anywhere."""
    if one is None:
        return False
    if bool(one.root) == bool(other.root):
        return one.key == other.key
    mine, its = one.key[1], other.key[1]
    shorter = min(len(mine), len(its))
    return mine[-shorter:] == its[-shorter:]


def _call(place: int, tool: SingleTool, call: chat.ToolCall) -> Call:
    given = {} if tool.kind == "read_only" else arguments_in(call)
    value = given.get(tool.path) if tool.path else None
    path = parse(value) if isinstance(value, str) else None
    return Call(place, tool, given, path, is_added(call))

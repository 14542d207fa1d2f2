"""Turns of single calls: which turns of a history could be put together at all.

Such a turn is an assistant message with nothing but text and calls that can be batched, and
the result of each. What carries more than that (reasoning, signatures) is none: nobody could
say what would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.moves.conflict import Effect, effect_of
from batchwrap.core.moves.fold import Segment
from batchwrap.core.tools.find import SingleTool, role_of

_MESSAGE = frozenset({"role", "content", "tool_calls"})
_CALL = frozenset({"id", "type", "function", "index"})
_FUNCTION = frozenset({"name", "arguments"})
_ANSWER = frozenset({"role", "tool_call_id", "content", "name"})
_TEXT_PART = frozenset({"type", "text"})


@dataclass(frozen=True, slots=True, repr=False)
class SingleCall:
    """A call of one of the agent's tools, and what its arguments say.

    Attributes:
        raw: the call, in the form of the API.
        text: its arguments, to the byte.
        given: the same, parsed.
        tool: the tool that it calls.
    """

    raw: chat.ToolCall
    text: str
    given: dict[str, Any]
    tool: SingleTool

    @property
    def effect(self) -> Effect:
        """What it touches."""
        return effect_of(self.tool, self.text)

    @property
    def names(self) -> Iterator[str]:
        """The last component of each path that its arguments name."""
        for name, value in self.given.items():
            if isinstance(value, str) and (
                name == self.tool.path or role_of(name) in ("path", "folder")
            ):
                parts = value.replace("\\", "/").split("/")
                yield from [part for part in parts if part not in ("", ".", "..")][-1:]


@dataclass(frozen=True, slots=True, repr=False)
class SingleTurn:
    """An assistant message with nothing but text and such calls, and their results.

    Attributes:
        segments: where it stands.
        message: the assistant message.
        calls: its calls, in order.
        answers: the tool messages by call id; those that have not come yet are missing.
    """

    segments: Sequence[Segment]
    message: chat.Message
    calls: list[SingleCall]
    answers: dict[str, chat.Message]


def turn_at(
    segments: Sequence[Segment],
    place: int,
    singles: Mapping[str, SingleTool],
    failed: Callable[[str], bool],
) -> SingleTurn | None:
    """The turn that begins at a segment; None if what stands there is none.

    At the end of the conversation results may be missing, since they may yet come. A turn
    that misses one elsewhere, or of which a call failed, is none.

    Args:
        segments: the conversation, as folding made it.
        place: the segment that holds the assistant message.
        singles: the agent's tools that can be batched, by name.
        failed: whether a result's text reads as failed.
    """
    end = place + 1
    while end < len(segments) and all(m.get("role") == "tool" for m in segments[end].messages):
        end += 1
    [*messages] = (message for segment in segments[place:end] for message in segment.messages)
    calls = _calls(messages[0], singles) if messages else []
    answers = _answers(messages[1:], {call.raw["id"] for call in calls}, failed)
    if not calls or answers is None or (len(answers) < len(calls) and end < len(segments)):
        return None
    return SingleTurn(segments[place:end], messages[0], calls, answers)


def _calls(message: chat.Message, singles: Mapping[str, SingleTool]) -> list[SingleCall]:
    """The calls of an assistant message that holds only text and calls that can be batched."""
    content, listed = message.get("content"), message.get("tool_calls")
    if (
        message.get("role") != "assistant"
        or not _holds_only(message, _MESSAGE)
        or not _is_content(content, _is_text)
        or not isinstance(listed, list)
    ):
        return []
    calls = [call for raw in listed if (call := _call(raw, singles))]
    return calls if len({call.raw["id"] for call in calls}) == len(listed) else []


def _call(raw: object, singles: Mapping[str, SingleTool]) -> SingleCall | None:
    if not isinstance(raw, dict) or raw.get("type") not in (None, "function"):
        return None
    function = chat.function_of(raw)
    call_id, name, text = raw.get("id"), function.get("name"), function.get("arguments")
    tool = singles.get(name) if isinstance(name, str) else None
    if (
        tool is None
        or not (isinstance(call_id, str) and isinstance(text, str))
        or not (_holds_only(raw, _CALL) and _holds_only(function, _FUNCTION))
    ):
        return None
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    fits = isinstance(given, dict) and all(name in given for name in tool.required)
    return SingleCall(raw, text, given, tool) if fits else None


def _answers(
    messages: Sequence[chat.Message], wanted: set[str], failed: Callable[[str], bool]
) -> dict[str, chat.Message] | None:
    """The results by call id; None if one failed, is odd, or is not the only one of its call."""
    answers: dict[str, chat.Message] = {}
    for message in messages:
        call_id, content = message.get("tool_call_id"), message.get("content")
        if (
            message.get("role") != "tool"
            or not isinstance(call_id, str)
            or call_id not in wanted
            or call_id in answers
            or not _holds_only(message, _ANSWER)
            or not _is_content(content, _is_part)
            or failed(chat.text_of(content))
        ):
            return None
        answers[call_id] = message
    return answers


def _holds_only(value: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether all other fields are empty, as SDKs send them."""
    return not any(held for name, held in value.items() if name not in names)


def _is_content(content: object, is_part: Callable[[object], bool]) -> bool:
    """Whether this is a text, none, or a list of such parts."""
    if isinstance(content, list):
        return all(map(is_part, content))
    return content is None or isinstance(content, str)


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and _holds_only(part, _TEXT_PART)


def _is_part(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type"), str)

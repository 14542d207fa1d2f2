"""The entries of chat completions: each message is one entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from batchwrap.core.formats import chat
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.chat.calls import (
    holds_only,
    is_plain,
    read_calls,
    write_call,
)
from batchwrap.core.formats.entries import Entry, Parts, Role, joined, plain_parts

_MARK = "cache_control"
_TEXT_PART = frozenset({"type", "text", _MARK})
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "model",
    "tool": "result",
}
_NAMES = {"system": "system", "user": "user", "model": "assistant", "result": "tool"}
# The fields of a message that can be rebuilt from an entry.
_PLAIN = {
    "model": frozenset({"role", "content", "tool_calls"}),
    "result": frozenset({"role", "tool_call_id", "content", "name"}),
}
_PLAIN_TEXT = frozenset({"type", "text"})


class ChatEntry(Entry):
    """One message.

    Attributes:
        message: the message as it was received, or as batchwrap made it.
    """

    __slots__ = ("_parts", "message")

    def __init__(self, message: chat.Message) -> None:
        speaks = message.get("role")
        role = _ROLES.get(speaks, "other") if isinstance(speaks, str) else "other"
        call_id = str(message.get("tool_call_id") or "") if role == "result" else None
        super().__init__(role, read_calls(message) if role == "model" else (), call_id)
        self.message = message
        self._parts: Parts | None = None

    def texts(self) -> Iterator[str]:
        """The texts of its content."""
        return chat.texts(self.message.get("content"))

    @property
    def parts(self) -> Parts:
        """Its content without cache marks; adjacent texts are joined."""
        if self._parts is None:
            content = self.message.get("content")
            if content is None or isinstance(content, str):  # nearly all messages
                self._parts = [content or ""]
            else:
                given = content if isinstance(content, list) else [content or ""]
                self._parts = plain_parts(given, _TEXT_PART, _MARK)
        return self._parts

    @property
    def has_content(self) -> bool:
        """Whether its content is more than an empty text."""
        content = self.message.get("content")
        if isinstance(content, list):
            return any(not isinstance(part, dict) or part.get("text") != "" for part in content)
        return content is not None and content != ""

    @property
    def says_nothing(self) -> bool:
        """Whether it is an assistant message with neither content nor calls."""
        said = self.message
        return self.role == "model" and not (
            said.get("content") or said.get("tool_calls") or said.get("function_call")
        )

    @property
    def is_plain(self) -> bool:
        """Whether it can be rebuilt from its texts and calls without losing anything."""
        message, content = self.message, self.message.get("content")
        fields = _PLAIN.get(self.role)
        if fields is None or not holds_only(message, fields):
            return False
        if self.role == "result":
            return isinstance(message.get("tool_call_id"), str) and _is_content(content, _is_part)
        listed = message.get("tool_calls")
        calls = isinstance(listed, list) and all(
            isinstance(call, dict) and is_plain(call) for call in listed
        )
        return calls and _is_content(content, _is_text)

    @property
    def takes_text(self) -> bool:
        """Whether it is a user or tool message whose content is a text or a list of parts."""
        content = self.message.get("content")
        return self.role in ("user", "result") and (
            content is None or isinstance(content, (str, list))
        )

    @property
    def speaker(self) -> object:
        """The message's `name`."""
        return self.message.get("name")

    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> ChatEntry:
        """The same message with other calls."""
        return ChatEntry({**self.message, "tool_calls": [write_call(call) for call in calls]})

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> ChatEntry:
        """This message with the contents of all, and these calls."""
        messages = [self.message, *(cast(ChatEntry, other).message for other in others)]
        content = _joined([message.get("content") for message in messages])
        made = ChatEntry({**self.message, "content": content})
        return made.with_calls(calls)

    def with_text(self, text: str) -> ChatEntry:
        """The same message with a text at the end of its content."""
        return ChatEntry(chat.with_text(self.message, text))

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> ChatEntry:
        """The same message with other content."""
        made = _answered(str(self.message.get("tool_call_id")), parts, like)
        return ChatEntry({**self.message, **made.message})

    def beside(self, role: Role, text: str) -> ChatEntry:
        """A new message with a text."""
        return said(role, text)

    def result(self, call: Call, parts: Sequence[Parts], like: Sequence[Entry]) -> ChatEntry:
        """A new tool message, with the cache mark of its sources."""
        return _answered(call.call_id, parts, like)


def _answered(call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> ChatEntry:
    made: chat.Message = {"role": "tool", "tool_call_id": call_id}
    made["content"] = joined(parts, _text_part)
    # Agents mark the message itself or one of its parts; the last mark counts.
    for source in like:
        message = cast(ChatEntry, source).message
        if _MARK in message:
            made[_MARK] = message[_MARK]
        given = message.get("content")
        marked = [p for p in given if isinstance(p, dict)] if isinstance(given, list) else []
        if mark := next((part[_MARK] for part in marked[::-1] if _MARK in part), None):
            made["content"] = _marked(made["content"], mark)
    return ChatEntry(made)


def said(role: Role, text: str | None, calls: Sequence[Call] = ()) -> ChatEntry:
    """A new message with a text and calls."""
    message: chat.Message = {"role": _NAMES[role], "content": text}
    return ChatEntry(message).with_calls(calls) if calls else ChatEntry(message)


def _text_part(text: object) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _marked(content: object, mark: object) -> list[object]:
    """The content as a list of parts, with a cache mark on the last one."""
    parts = content if isinstance(content, list) else [_text_part(content)]
    return [*parts[:-1], {**parts[-1], _MARK: mark}]


def _joined(contents: Sequence[object]) -> object:
    """Joins the contents of messages: texts with a blank line between them, otherwise parts."""
    given = [content for content in contents if content]
    texts = [content for content in given if isinstance(content, str)]
    if len(texts) == len(given):
        return "\n\n".join(texts) or None
    parts: list[object] = []
    for content in given:
        parts += content if isinstance(content, list) else [_text_part(content)]
    return parts


def _is_content(content: object, is_part: Callable[[Any], bool]) -> bool:
    """Whether a content is null, a text, or a list of parts that all satisfy a condition."""
    if isinstance(content, list):
        return all(map(is_part, content))
    return content is None or isinstance(content, str)


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and holds_only(part, _PLAIN_TEXT)


def _is_part(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type"), str)

"""Entries of chat completions: each message is one."""

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
# The fields of messages that can be written anew.
_PLAIN = {
    "model": frozenset({"role", "content", "tool_calls"}),
    "result": frozenset({"role", "tool_call_id", "content", "name"}),
}
_PLAIN_TEXT = frozenset({"type", "text"})


class ChatEntry(Entry):
    """One message.

    Attributes:
        message: it, as it came or as it was made here.
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
        """Its content, without cache marks; neighbouring texts are one."""
        if self._parts is None:
            content = self.message.get("content")
            if isinstance(content, str):  # as nearly all
                self._parts = [content]
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
        """Whether it is an assistant's that holds neither a text nor a call."""
        said = self.message
        return self.role == "model" and not (
            said.get("content") or said.get("tool_calls") or said.get("function_call")
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is lost if it is written anew."""
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
        """Whether it is the user's or a tool's, and its content is text or parts."""
        content = self.message.get("content")
        return self.role in ("user", "result") and (
            content is None or isinstance(content, (str, list))
        )

    @property
    def speaker(self) -> object:
        """The `name` of its speaker."""
        return self.message.get("name")

    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> ChatEntry:
        """The same message with these calls."""
        return ChatEntry({**self.message, "tool_calls": [write_call(call) for call in calls]})

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> ChatEntry:
        """The first message with the contents of all."""
        messages = [self.message, *(cast(ChatEntry, other).message for other in others)]
        content = _joined([message.get("content") for message in messages])
        made = ChatEntry({**self.message, "content": content})
        return made.with_calls(calls)

    def with_text(self, text: str) -> ChatEntry:
        """The same message with a text at the end of its content."""
        return ChatEntry(chat.with_text(self.message, text))

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> ChatEntry:
        """The same message with another content."""
        made = self.result(str(self.message.get("tool_call_id")), parts, like)
        return ChatEntry({**self.message, **made.message})

    def beside(self, role: Role, text: str) -> ChatEntry:
        """A message that says a text."""
        return said(role, text)

    def result(self, call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> ChatEntry:
        """A tool message, with the cache mark that its sources have."""
        made: chat.Message = {"role": "tool", "tool_call_id": call_id}
        made["content"] = joined(parts, _text_part)
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
    """A message that is made here."""
    message: chat.Message = {"role": _NAMES[role], "content": text}
    return ChatEntry(message).with_calls(calls) if calls else ChatEntry(message)


def _text_part(text: object) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _marked(content: object, mark: object) -> list[object]:
    """The content as parts, the last of them with a cache mark."""
    parts = content if isinstance(content, list) else [_text_part(content)]
    return [*parts[:-1], {**parts[-1], _MARK: mark}]


def _joined(contents: Sequence[object]) -> object:
    """The contents of several messages as one: texts with a blank line between, or parts."""
    given = [content for content in contents if content]
    texts = [content for content in given if isinstance(content, str)]
    if len(texts) == len(given):
        return "\n\n".join(texts) or None
    parts: list[object] = []
    for content in given:
        parts += content if isinstance(content, list) else [_text_part(content)]
    return parts


def _is_content(content: object, is_part: Callable[[Any], bool]) -> bool:
    """Whether this is a text, none, or a list of such parts."""
    if isinstance(content, list):
        return all(map(is_part, content))
    return content is None or isinstance(content, str)


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and holds_only(part, _PLAIN_TEXT)


def _is_part(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type"), str)

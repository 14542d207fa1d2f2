"""What counts as the same: contents, calls, conversations.

Agents send a conversation again in other words: a cache mark has moved on, a text has become
a list of parts, arguments are spaced in another way, ids were cut. None of this makes it
another conversation. What was said, by whom, and which calls were made does.

A system prompt may hold a clock or a counter, so digits do not count in it. A system message
further down is a note of the agent's own, which may stand elsewhere in the next request; so
may an assistant message that says nothing. Neither counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat

_MARK = "cache_control"
_TEXT_PART = frozenset({"type", "text", _MARK})
_SYSTEM = ("system", "developer")
_DIGITS = re.compile(rb"[0-9]+")


def is_system(message: chat.Message) -> bool:
    """Whether a message is an instruction of the agent's own."""
    return message.get("role") in _SYSTEM


def says_nothing(message: chat.Message) -> bool:
    """Whether a message is an assistant's that holds neither a text nor a call."""
    return (
        message.get("role") == "assistant"
        and not message.get("content")
        and not message.get("tool_calls")
        and not message.get("function_call")
    )


def plain_parts(content: object) -> list[object]:
    """Texts, and parts of other kinds, without cache marks; neighbouring texts are one."""
    found: list[object] = []
    for part in content if isinstance(content, list) else [content or ""]:
        plain = _plain(part)
        if isinstance(plain, str) and found and isinstance(found[-1], str):
            found[-1] += plain
        else:
            found.append(plain)
    return found


def _plain(part: object) -> object:
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("text"), str) and part.keys() <= _TEXT_PART:
        return part["text"]
    return {key: part[key] for key in part if key != _MARK} if _MARK in part else part


def canonical(message: chat.Message) -> bytes:
    """The same bytes for messages that say the same; ids and unknown fields do not count."""
    content = message.get("content")
    said: object = content if isinstance(content, str) else plain_parts(content)
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    calls = [canonical_call(call) for call in chat.tool_calls(message)]
    return fingerprint([message.get("role"), message.get("name"), said or "", calls])


def canonical_call(call: chat.ToolCall) -> list[str]:
    """Name and arguments of a call, written in one way; of a custom call its raw input."""
    custom = call.get("custom")
    if isinstance(custom, dict):
        return ["custom", str(custom.get("name")), str(custom.get("input"))]
    return [chat.name_of(call), canonical_json(chat.arguments_of(call))]


def canonical_json(text: str) -> str:
    """JSON with its keys in order and without spaces; what is no JSON stays as it is."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):  # no JSON, or too deep to be written
        return text


def is_same_call(one: chat.ToolCall, other: chat.ToolCall) -> bool:
    """Whether two calls ask for the same, whatever their ids are."""
    if chat.function_of(one) == chat.function_of(other) and "custom" not in one:
        return "custom" not in other
    return canonical_call(one) == canonical_call(other)


def _digest(message: chat.Message) -> bytes:
    return blake2b(canonical(message), digest_size=16).digest()


class MessageDigests:
    """The digests of messages, each worked out once while a request lasts.

    Both views of a conversation are walked through, and most of their messages are the same.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[chat.Message, bytes]] = {}  # holds what the numbers name

    def digest(self, message: chat.Message) -> bytes:
        """The digest of what a message says."""
        known = self._known.get(id(message))
        if known is None:
            known = self._known[id(message)] = message, _digest(message)
        return known[1]


class Conversation:
    """A digest of what was said up to one place, which benign changes leave as it is."""

    __slots__ = ("_has_begun", "_hasher")

    def __init__(self) -> None:
        self._hasher: Any = blake2b(digest_size=16)
        self._has_begun = False

    def copy(self) -> Conversation:
        """The same, to go on in another way."""
        new = Conversation.__new__(Conversation)
        new._hasher, new._has_begun = self._hasher.copy(), self._has_begun
        return new

    def take(self, message: chat.Message, said: MessageDigests | None = None) -> None:
        """Take in the next message; `said` knows digests of messages that it has met."""
        if is_system(message):
            if not self._has_begun:
                self._hasher.update(_DIGITS.sub(b"0", canonical(message)))
            return
        self._has_begun = True
        if not says_nothing(message):
            self._hasher.update(_digest(message) if said is None else said.digest(message))

    @property
    def digest(self) -> bytes:
        """The digest of all that was taken in."""
        done: bytes = self._hasher.digest()
        return done


class Prefixes:
    """The digests of a conversation at each place of a request, worked out when asked for.

    Args:
        messages: of the request.
        start: how many of them `begun` has taken in.
        begun: the conversation up to there.

    Attributes:
        said: the digests of its messages.
    """

    def __init__(self, messages: Sequence[chat.Message], start: int, begun: Conversation) -> None:
        self._messages = messages
        self._start = start
        self._known = [begun]
        self.said = MessageDigests()
        self._earlier: Prefixes | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def before(self, place: int) -> Conversation:
        """The conversation before a message; it must be copied before it takes in more."""
        if place < self._start:
            self._earlier = self._earlier or Prefixes(self._messages, 0, Conversation())
            return self._earlier.before(place)
        while len(self._known) <= place - self._start:
            new = self._known[-1].copy()
            new.take(self._messages[self._start + len(self._known) - 1], self.said)
            self._known.append(new)
        return self._known[place - self._start]

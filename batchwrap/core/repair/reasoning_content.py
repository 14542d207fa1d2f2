"""Keeps the reasoning content of turns with calls until the provider requires it.

Agents drop `reasoning_content`, a field that few providers know. Some (DeepSeek's thinking
mode) refuse a history whose turns with calls lack it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.formats.calls import Call, Written
from batchwrap.core.formats.chat.calls import read_fragment
from batchwrap.core.formats.sameness import Conversation


@dataclass(slots=True, repr=False)
class _Turn:
    said: list[str] = field(default_factory=list)
    first: Written | None = None
    index: int | None = None

    def take(self, call: chat.ToolCall) -> None:
        """Add a call or a fragment. Only the first call is kept: it identifies the turn."""
        if self.first is None:
            self.first, self.index = Written(read_fragment(call)), chat.index_of(call)
        elif chat.index_of(call) == self.index is not None:
            self.first.take(read_fragment(call))


class ReasoningContent:
    """Collects the reasoning content of an answer, choice by choice."""

    def __init__(self) -> None:
        self._turns: dict[Any, _Turn] = {}

    def see(self, body: chat.Body) -> None:
        """Add a completion or a chunk."""
        for index, choice in chat.choices(body):
            part, turn = chat.part_of(choice), self._turns.setdefault(index, _Turn())
            # Gateways rename DeepSeek's `reasoning_content` to `reasoning`.
            thought = part.get("reasoning_content") or part.get("reasoning")
            if isinstance(thought, str) and thought:
                turn.said.append(thought)
            for call in chat.tool_calls(part):
                turn.take(call)

    @staticmethod
    def is_over(body: chat.Body) -> bool:
        """Whether a choice ends with this completion or chunk."""
        return any(choice.get("finish_reason") for _, choice in chat.choices(body))

    def by_call(self) -> Iterator[tuple[Call, str]]:
        """(first call, reasoning content) of each turn that has both."""
        for turn in self._turns.values():
            if turn.first is not None and turn.said:
                yield turn.first.call, "".join(turn.said)


def reasoning_key(before: Conversation, call: Call) -> bytes:
    """The key of a turn: a digest of the conversation before it, and of its first call.

    An id alone is not enough: some providers number calls anew in each turn, or for each user.
    """
    written = fingerprint([call.call_id, call.canonical])
    return blake2b(written, key=before.digest, digest_size=16).digest()

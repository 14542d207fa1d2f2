"""Thoughts of turns with calls, kept until the provider wants them back.

Agents drop `reasoning_content`, which no other provider knows; some (DeepSeek's thinking
mode) refuse a history whose turns with calls have lost it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core import chat


@dataclass(slots=True)
class _Turn:
    said: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


class Thoughts:
    """Puts together what an answer thinks, choice by choice."""

    def __init__(self) -> None:
        self._turns: dict[Any, _Turn] = {}

    def see(self, body: chat.Body) -> None:
        """Take note of a completion, or of a chunk."""
        for index, choice in chat.choices(body):
            part, turn = chat.part_of(choice), self._turns.setdefault(index, _Turn())
            thought = part.get("reasoning_content") or part.get("reasoning")
            if isinstance(thought, str) and thought:
                turn.said.append(thought)
            turn.ids += [str(call["id"]) for call in chat.tool_calls(part) if call.get("id")]

    def by_call(self) -> Iterator[tuple[str, str]]:
        """(id of a turn's first call, its thoughts) of all turns that have both."""
        for turn in self._turns.values():
            if turn.ids and turn.said:
                yield turn.ids[0], "".join(turn.said)

"""When a reminder is due. A pure function of the conversation before it.

Each request is walked from its start, so a reminder that was put in once stands at the
same place, with the same words, in every later request: the prompt prefix stays stable.
Nothing is remembered between requests, and nothing is saved by the agent.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from batchwrap.core import chat
from batchwrap.core.reminders import directives
from batchwrap.core.views.find import path_in
from batchwrap.core.views.multi import MultiTool
from batchwrap.options import Reminders

# Assistant turns that a reminder of a lapse leaves to the model before the next one.
_LAPSE_COOLDOWN = 3


class _Walk:
    """What has been seen up to one point of the conversation."""

    def __init__(self, multis: Sequence[MultiTool], options: Reminders) -> None:
        self.multis = multis
        self.options = options
        self.turns = 0  # assistant turns since the last batch or reminder
        self.since_reminder = _LAPSE_COOLDOWN
        self.reminded = 0
        self.lapse: list[tuple[str, str]] = []  # (tool, path) of single calls
        self._multi_names = {multi.name for multi in multis}
        self._batchable = {name for multi in multis for name in multi.tools}
        # The multi-tools that are for one tool alone, by the name of that tool.
        self._own = {multi.single.name: multi for multi in multis if not multi.is_mixed}

    def turn(self, message: chat.Message) -> None:
        """Takes in one assistant turn."""
        self.turns += 1
        self.since_reminder += 1
        calls = chat.tool_calls(message)
        names = [str(chat.function_of(call).get("name")) for call in calls]
        if not self._multi_names.isdisjoint(names) or (
            len(names) > 1 and sum(name in self._batchable for name in names) > 1
        ):
            self.turns = 0
            self.lapse.clear()
            return
        own = self._own.get(names[0]) if len(names) == 1 else None
        single = _single(calls[0]) if own else None
        if single is None or own is None:
            self.lapse.clear()
            return
        again = single in self.lapse and own.single.kind == "read"
        if again or (self.lapse and self.lapse[-1][0] != single[0]):
            self.lapse.clear()
        self.lapse.append(single)

    def due(self) -> str | None:
        """The words of the reminder that belongs here, if one does."""
        if self.reminded >= self.options.max_per_conversation:
            return None
        text = None
        lapsed = len(self.lapse) >= 2 and self.since_reminder >= _LAPSE_COOLDOWN
        if self.options.on_lapse and lapsed:
            multi = self._own[self.lapse[-1][0]]
            text = directives.lapse(multi, [path for _, path in self.lapse[-2:]])
        elif self.turns >= self.options.every:
            text = directives.general(self.multis)
        if text is not None:
            self.turns = self.since_reminder = 0
            self.reminded += 1
            self.lapse.clear()
        return text


def remind(
    messages: Sequence[chat.Message], multis: Sequence[MultiTool], options: Reminders
) -> tuple[list[chat.Message], int]:
    """The conversation with its reminders, and how many they are.

    A reminder stands at the end of the user or tool message that the model answers next.
    Messages without one are the same objects as in `messages`.
    """
    walk = _Walk(multis, options)
    reminded: list[chat.Message] = []
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "assistant":
            walk.turn(message)
        answered_next = place + 1 == len(messages) or messages[place + 1].get("role") == "assistant"
        text = walk.due() if role in ("user", "tool") and answered_next else None
        reminded.append(message if text is None else chat.with_text(message, text))
    return reminded, walk.reminded


def _single(call: chat.ToolCall) -> tuple[str, str] | None:
    function = chat.function_of(call)
    try:
        path = path_in(orjson.loads(function.get("arguments") or "{}"))
    except (orjson.JSONDecodeError, TypeError):
        return None
    return (function["name"], path) if path else None

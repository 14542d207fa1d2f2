"""When a reminder is due. A pure function of the conversation before it.

A reminder that was put in once stands at the same place, with the same words, in every
later request: the prompt prefix stays stable. Nothing is saved by the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from batchwrap.core import chat
from batchwrap.core.reminders import directives
from batchwrap.core.views import cap
from batchwrap.core.views.find import path_in
from batchwrap.core.views.multi import MultiTool
from batchwrap.options import Reminders

# Assistant turns that a reminder of a lapse leaves to the model before the next one.
_LAPSE_COOLDOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What the model is offered, as far as reminders speak of it.

    Attributes:
        multis: the multi-tools, by name.
        cap: items that their schemas allow.
        failed: whether a tool's result reads as failed.
        context_tokens: size of the model's context window; None: nobody knows.
    """

    multis: Mapping[str, MultiTool]
    cap: int
    failed: Callable[[str], bool]
    context_tokens: int | None = None

    @property
    def own(self) -> dict[str, MultiTool]:
        """The multi-tools that are for one tool alone, by the name of that tool."""
        return {multi.single.name: multi for multi in self.multis.values() if not multi.is_mixed}


@dataclass(slots=True)
class Walk:
    """What has been seen up to one point of the conversation, in the provider view.

    Attributes:
        cap: items that a batch may have, by the errors seen so far.
        tokens: a rough estimate of what the messages take up.
        turns: assistant turns since the last batch or reminder.
        reminded: reminders given so far.
        lapse: (tool, path) of single calls in a row.
    """

    offered: Offered
    options: Reminders | None
    cap: cap.Cap
    tokens: int = 0
    turns: int = 0
    reminded: int = 0
    lapse: list[tuple[str, str]] = field(default_factory=list)
    _since_reminder: int = _LAPSE_COOLDOWN
    _calls: list[chat.ToolCall] = field(default_factory=list)

    @classmethod
    def begin(cls, offered: Offered, options: Reminders | None) -> Walk:
        """The walk before the first message."""
        return cls(offered, options, cap.Cap.of(offered.cap))

    def copy(self) -> Walk:
        """The same, to go on in another way."""
        return replace(self, cap=self.cap.copy(), lapse=list(self.lapse))

    @property
    def room(self) -> int | None:
        """Tokens that are left in the context; None: nobody knows."""
        window = self.offered.context_tokens
        return None if window is None else max(0, window - self.tokens)

    @property
    def most(self) -> int:
        """Items that a batch may have here."""
        return cap.by_room(self.cap.most, self.room)

    def go(
        self, messages: Sequence[chat.Message], following: str | None = None
    ) -> list[chat.Message]:
        """The messages that come next, with their reminders.

        A reminder stands at the end of the user or tool message that the model answers next.
        Messages without one are the same objects.

        Args:
            messages: what comes next.
            following: the role of the message after them; None if they are the last.
        """
        roles = [message.get("role") for message in messages[1:]]
        return (
            [
                self._step(message, answered=role in (None, "assistant"))
                for message, role in zip(messages, [*roles, following], strict=True)
            ]
            if messages
            else []
        )

    def _step(self, message: chat.Message, *, answered: bool) -> chat.Message:
        role = message.get("role")
        self.tokens += cap.tokens_in(message)
        if role == "assistant":
            self._turn(message)
        elif role == "tool":
            singles = {n: tool for m in self.offered.multis.values() for n, tool in m.tools.items()}
            for outcome in cap.outcomes(
                self._calls, message, self.offered.multis, singles, self.offered.failed
            ):
                self.cap.take(outcome)
        text = self._due() if role in ("user", "tool") and answered else None
        return message if text is None else chat.with_text(message, text)

    def _turn(self, message: chat.Message) -> None:
        self.turns += 1
        self._since_reminder += 1
        self._calls = calls = chat.tool_calls(message)
        names = [chat.name_of(call) for call in calls]
        batchable = {name for multi in self.offered.multis.values() for name in multi.tools}
        if not self.offered.multis.keys().isdisjoint(names) or (
            len(names) > 1 and sum(name in batchable for name in names) > 1
        ):
            self.turns = 0
            self.lapse.clear()
            return
        own = self.offered.own.get(names[0]) if len(names) == 1 else None
        single = _single(calls[0]) if own else None
        if single is None or own is None:
            self.lapse.clear()
            return
        again = single in self.lapse and own.single.kind == "read"
        if again or (self.lapse and self.lapse[-1][0] != single[0]):
            self.lapse.clear()
        self.lapse.append(single)

    def _due(self) -> str | None:
        """The words of the reminder that belongs here, if one does."""
        options = self.options
        if options is None or self.reminded >= options.max_per_conversation:
            return None
        text = None
        most = self.most if self.most < self.offered.cap else None
        lapsed = len(self.lapse) >= 2 and self._since_reminder >= _LAPSE_COOLDOWN
        if options.on_lapse and lapsed:
            multi = self.offered.own[self.lapse[-1][0]]
            text = directives.lapse(multi, [path for _, path in self.lapse[-2:]], most)
        elif self.turns >= options.every:
            text = directives.general(list(self.offered.multis.values()), most)
        if text is not None:
            self.turns = self._since_reminder = 0
            self.reminded += 1
            self.lapse.clear()
        return text


def _single(call: chat.ToolCall) -> tuple[str, str] | None:
    try:
        path = path_in(orjson.loads(chat.arguments_of(call)))
    except orjson.JSONDecodeError:
        return None
    return (chat.name_of(call), path) if path else None

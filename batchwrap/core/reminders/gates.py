"""What a reminder may rest on besides the conversation, and when that holds one back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.recent import Recent
from batchwrap.directives import Mode

_OFF = ("none", "minimal", "disabled", "off", "", False, 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was known when the model was asked at one place of a conversation.

    Attributes:
        mode: the mode that was told from outside; None: none was.
        thinks: whether the model thinks before it answers.
        slow: whether it was measured to generate below `Reminders.min_tokens_per_s`.
    """

    mode: Mode | None = None
    thinks: bool = False
    slow: bool = False


@dataclass(slots=True)
class Places:
    """The facts at each place of a conversation where the model was asked.

    A place is told by the digest of the messages before it. What was decided there with
    facts that no message shows is decided in the same way in every later request.

    Args:
        now: the facts of this request.
        kept: the facts of earlier ones, by place; one that is not there had none that
            count, but for thinking, which rarely changes within a conversation.

    Attributes:
        is_new: whether nothing was asked before at the end of this request's messages.
    """

    now: Facts = field(default_factory=Facts)
    kept: Recent[bytes, Facts] = field(default_factory=lambda: Recent(1))
    is_new: bool = False

    def at(self, place: bytes, *, is_last: bool) -> Facts:
        """The facts at a place; those at the last one are this request's."""
        known = self.kept.get(place)
        if not is_last:
            return known or Facts(thinks=self.now.thinks)
        self.is_new = known is None
        self.kept.put(place, self.now)
        return self.now


def asks_to_think(body: chat.Body) -> bool | None:
    """Whether a request turns thinking on or off; None if it says nothing of it."""
    extra = body.get("extra_body")
    for fields in (body, extra if isinstance(extra, dict) else {}):
        template = fields.get("chat_template_kwargs")
        told = [
            _level(fields.get("reasoning_effort")),
            _switch(fields.get("reasoning")),
            _switch(fields.get("thinking")),
            _level(fields.get("enable_thinking")),
            *(_level(template.get(key)) for key in _TEMPLATE if isinstance(template, dict)),
        ]
        said = [one for one in told if one is not None]
        if said:
            return any(said)
    return None


_TEMPLATE = ("enable_thinking", "thinking", "reasoning_effort")


def _level(value: Any) -> bool | None:
    """What an effort, a budget or a flag says."""
    if value is None or not isinstance(value, (str, int, float)):
        return None
    return value not in _OFF


def _switch(value: Any) -> bool | None:
    """What an object such as ``{"type": "enabled"}`` or ``{"effort": "high"}`` says."""
    if not isinstance(value, dict):
        return _level(value)
    keys = ("enabled", "type", "effort", "max_tokens", "budget_tokens")
    said = [told for key in keys if (told := _level(value.get(key))) is not None]
    return all(said) if said else None

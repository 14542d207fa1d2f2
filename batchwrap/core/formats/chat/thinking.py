"""Reads whether a request turns thinking on or off, in the forms of several providers.

OpenAI and Groq have `reasoning_effort`, OpenRouter a `reasoning` object, DeepSeek and GLM a
`thinking` object, Qwen `enable_thinking`; vLLM and SGLang pass such settings to the chat template.
"""

from __future__ import annotations

from typing import Any

from batchwrap.core.formats import chat

_OFF = ("none", "minimal", "disabled", "off", "", False, 0)
_TEMPLATE = ("enable_thinking", "thinking", "reasoning_effort")
_FIELDS = frozenset(
    {
        "chat_template_kwargs",
        "enable_thinking",
        "extra_body",
        "reasoning",
        "reasoning_effort",
        "thinking",
    }
)


def asks_to_think(body: chat.Body) -> bool | None:
    """Whether a request turns thinking on or off; None if it has no such setting."""
    if _FIELDS.isdisjoint(body):
        return None
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


def _level(value: Any) -> bool | None:
    """Whether an effort, a budget or a flag turns thinking on; None if it is none of these."""
    if value is None or not isinstance(value, (str, int, float)):
        return None
    return value not in _OFF


def _switch(value: Any) -> bool | None:
    """The same for an object such as ``{"type": "enabled"}`` or ``{"effort": "high"}``."""
    if not isinstance(value, dict):
        return _level(value)
    keys = ("enabled", "type", "effort", "max_tokens", "budget_tokens")
    said = [told for key in keys if (told := _level(value.get(key))) is not None]
    return all(said) if said else None

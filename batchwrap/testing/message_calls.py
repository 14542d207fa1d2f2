"""`calls_in`: the tool calls of messages, in one form for the agent's and the provider's view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from batchwrap.adapters.objects import as_dict
from batchwrap.core.formats import chat


def calls_in(messages: object) -> list[tuple[str, Any]]:
    """The tool calls in messages, in order: ``[("read_file", {"path": "a.py"}), …]``.

    Args:
        messages: one message or several, as dicts or as objects of an SDK: those that the agent
            got (``completion.choices[0].message``), or those that the provider got
            (``lab.journal[-1].json["messages"]``).

    Returns:
        The name and the decoded arguments of each call; arguments that are not JSON stay a text.

    >>> calls_in({"tool_calls": [{"function": {"name": "ls", "arguments": "{}"}}]})
    [('ls', {})]
    """
    one = as_dict(messages)  # None for a list
    several: Iterable[Any] = messages if isinstance(messages, (list, tuple)) else ()
    found = [one] if one is not None else [as_dict(message) for message in several]
    return [
        (chat.name_of(call), _arguments(call))
        for message in found
        if message is not None
        for call in chat.tool_calls(message)
    ]


def _arguments(call: chat.ToolCall) -> Any:
    text = chat.arguments_of(call)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text

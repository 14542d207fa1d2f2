"""Asking again: the model is told what was wrong with its multi-call, inside of the same request.

The agent never offered a multi-tool, so it should not have to refuse one. As long as nothing of
an answer was handed out, the model can be told by us, and answers once more. The answer that was
not understood leaves no trace with the agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from batchwrap.core.formats import chat
from batchwrap.core.parse import is_object

# Fields of an answer that say nothing to the agent.
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_SILENT = frozenset({"role", "index", "name"})


def asked_again(
    sent: chat.Body, said: object, calls: Sequence[chat.ToolCall], problems: Mapping[str, str]
) -> chat.Body | None:
    """The request with the answer that was not understood, and what was wrong with it.

    Args:
        sent: the request in the provider view.
        said: the text of the answer.
        calls: its calls.
        problems: what is wrong with each, by its id.

    Returns:
        None where a call has no id of its own by which it could be answered.
    """
    if not all(problems) or len(problems) != len(calls):
        return None
    text = said if isinstance(said, str) and said else None
    answer = {"role": "assistant", "content": text, "tool_calls": [_valid(one) for one in calls]}
    results = [
        {"role": "tool", "tool_call_id": call_id, "content": problem}
        for call_id, problem in problems.items()
    ]
    return {**sent, "messages": [*sent["messages"], answer, *results]}


def says_something(choices: object) -> bool:
    """Whether any choice of a chunk holds more than its role."""
    return any(
        choice.get("finish_reason")
        or any(value for key, value in chat.part_of(choice).items() if key not in _SILENT)
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
    )


def _valid(call: chat.ToolCall) -> chat.ToolCall:
    """The call with a name and arguments that every provider takes back.

    OpenAI refuses the dot in `multi_tool_use.parallel`, although its own models write it
    (https://github.com/prefect-archive/ControlFlow/pull/107).
    """
    function = chat.function_of(call)
    name, arguments = _NO_NAME.sub("_", chat.name_of(call)), chat.arguments_of(call)
    valid = arguments if is_object(arguments) else "{}"
    return {**call, "function": {**function, "name": name, "arguments": valid}}

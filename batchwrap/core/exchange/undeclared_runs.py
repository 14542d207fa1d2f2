"""Finds tools that should be declared: single calls in a row of one that batchwrap does not know.

Only the last two turns of a request are looked at, so the work does not grow with the conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.tools.tool_set import ToolSet
from batchwrap.options import Batching

# A name of a tool is shown in `stats`. No provider takes a longer one.
_LONGEST_NAME = 128


def undeclared_tool(entries: Sequence[Entry], tool_set: ToolSet, batching: Batching) -> str | None:
    """The tool whose single call ends a conversation, if the turn before was one of it, too.

    Args:
        entries: the conversation in the provider view.
        tool_set: what follows from the request's tools.
        batching: the user's options.

    Returns:
        The name; None if there is no such tool, if it can be batched already, or if the user has
        excluded it. A repetition of the same call is no reason to declare its tool.
    """
    calls = _last_single_calls(entries)
    last, before = next(calls, None), next(calls, None)
    if last is None or before is None or last.name != before.name or last.is_same(before):
        return None
    name = last.function
    batches = {native.name for native in tool_set.natives.values()}
    is_known = name in tool_set.singles or name in batches or tool_set.multi(name) is not None
    is_open = tool_set.toolbox.has(name) and name not in batching.exclude
    return name if is_open and not is_known and len(name) <= _LONGEST_NAME else None


def _last_single_calls(entries: Sequence[Entry]) -> Iterator[Call]:
    """The calls of the last turns, latest first, while each has one and only results follow."""
    has_result = False
    for entry in reversed(entries):
        if entry.role == "result":
            has_result = True
        elif entry.role == "model" and has_result and len(entry.calls) == 1:
            yield entry.calls[0]
            has_result = False
        else:
            return

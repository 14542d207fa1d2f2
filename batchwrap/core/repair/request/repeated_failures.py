"""Merges calls that failed repeatedly in the same way into the last of them.

A model that sees the same failed call three times in its history tends to repeat it. Only complete
pairs of a call and its result are dropped, and only if nothing stands between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.parse import parsed

Count = Callable[[str], None]
_TOLD = "[This call was made {} times in a row, with the same result each time.]"


def fold(
    messages: Sequence[chat.Message], failed: Callable[[str], bool], count: Count
) -> list[chat.Message]:
    """The messages with one pair in place of several that failed in the same way.

    Args:
        messages: of the request, calls and results in order.
        failed: whether a result reads as failed.
        count: called with ``"fold_failures"`` if anything was folded.
    """
    made: list[chat.Message] = []
    last: Any = None
    times = 1
    place = 0
    while place < len(messages):
        pair = messages[place : place + 2]
        said = _failure(pair, failed)
        if said is None:
            made.append(messages[place])
            last, place = None, place + 1
            continue
        if said == last:  # this pair replaces the one before, and says how often it was made
            del made[-2:]
            times += 1
            pair = [pair[0], chat.with_text(pair[1], _TOLD.format(times))]
        else:
            times = 1
        made += pair
        last, place = said, place + 2
    if len(made) < len(messages):
        count("fold_failures")
    return made


def _failure(pair: Sequence[chat.Message], failed: Callable[[str], bool]) -> Any:
    """Name, arguments and result of a pair that is one failed call and nothing else."""
    if len(pair) < 2 or pair[0].get("role") != "assistant" or pair[1].get("role") != "tool":
        return None
    calls = chat.tool_calls(pair[0])
    if len(calls) != 1 or pair[0].get("content"):
        return None
    result = pair[1].get("content")
    if calls[0].get("id") != pair[1].get("tool_call_id") or not isinstance(result, str):
        return None
    given = chat.arguments_of(calls[0])
    with suppress(ValueError):  # otherwise only identical texts count as the same
        given = parsed(given)
    return (chat.name_of(calls[0]), given, result) if failed(result) else None

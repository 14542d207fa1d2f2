"""Finds the turns of a history that consist of single calls, which coalescing may merge.

Such a turn is an entry of the model with only text and calls that can be batched, and the result of
each call. A turn with anything else, such as reasoning or signatures, does not count, because
rewriting it might lose something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.conflict import Effect, effect_of
from batchwrap.core.moves.fold import Segment
from batchwrap.core.tools.find import SingleTool, role_of


@dataclass(frozen=True, slots=True, repr=False)
class SingleCall:
    """A call of a tool that can be batched.

    Attributes:
        call: the call.
        given: its parsed arguments.
        tool: the tool that it calls.
    """

    call: Call
    given: dict[str, Any]
    tool: SingleTool

    @property
    def effect(self) -> Effect:
        """What the call may read or change."""
        return effect_of(self.tool, self.call.arguments)

    @property
    def names(self) -> Iterator[str]:
        """The last component of each path that its arguments name."""
        for name, value in self.given.items():
            if isinstance(value, str) and (
                name == self.tool.path or role_of(name) in ("path", "folder")
            ):
                parts = value.replace("\\", "/").split("/")
                yield from [part for part in parts if part not in ("", ".", "..")][-1:]


@dataclass(frozen=True, slots=True, repr=False)
class SingleTurn:
    """A turn of single calls, with their results.

    Attributes:
        segments: the segments of the conversation that it consists of.
        entry: the entry of the model.
        calls: its calls, in order.
        answers: the results by call id, without those that have not arrived yet.
    """

    segments: Sequence[Segment]
    entry: Entry
    calls: list[SingleCall]
    answers: dict[str, Entry]


def turn_at(
    segments: Sequence[Segment],
    place: int,
    singles: Mapping[str, SingleTool],
    failed: Callable[[str], bool],
) -> SingleTurn | None:
    """The turn of single calls that begins at a segment.

    At the end of the conversation results may be missing, since they may still arrive.

    Args:
        segments: the conversation, as folding made it.
        place: the index of the segment with the entry of the model.
        singles: the agent's tools that can be batched, by name.
        failed: whether the text of a result reports a failure.

    Returns:
        None if there is no such turn, a call of it failed, or a result is missing elsewhere.
    """
    # First, so that results without calls are not read again from each of them.
    calls = _calls(segments[place].entries[0], singles) if segments[place].entries else []
    if not calls:
        return None
    # A turn that was folded is one segment; any other is an entry of the model and its results.
    end = place + 1
    while end < len(segments) and all(e.role == "result" for e in segments[end].entries):
        end += 1
    entries = [entry for segment in segments[place:end] for entry in segment.entries]
    answers = _answers(entries[1:], {made.call.call_id for made in calls}, failed)
    if answers is None or (len(answers) < len(calls) and end < len(segments)):
        return None
    return SingleTurn(segments[place:end], entries[0], calls, answers)


def _calls(entry: Entry, singles: Mapping[str, SingleTool]) -> list[SingleCall]:
    """The calls of an entry of only text and calls that can be batched; empty for any other."""
    if entry.role != "model" or not entry.is_plain:
        return []
    calls = [made for call in entry.calls if (made := _call(call, singles))]
    return calls if len({made.call.call_id for made in calls}) == len(entry.calls) else []


def _call(call: Call, singles: Mapping[str, SingleTool]) -> SingleCall | None:
    """A call of a tool that can be batched, with valid arguments; None for any other call."""
    tool = singles.get(call.function)
    if tool is None:
        return None
    try:
        given = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return None
    fits = isinstance(given, dict) and all(name in given for name in tool.required)
    return SingleCall(call, given, tool) if fits else None


def _answers(
    entries: Sequence[Entry], wanted: set[str], failed: Callable[[str], bool]
) -> dict[str, Entry] | None:
    """The results by call id; None if one failed, is not plain, or is a second one for a call."""
    answers: dict[str, Entry] = {}
    for entry in entries:
        call_id = entry.call_id
        if (
            call_id is None
            or call_id not in wanted
            or call_id in answers
            or not entry.is_plain
            or failed(entry.text)
        ):
            return None
        answers[call_id] = entry
    return answers

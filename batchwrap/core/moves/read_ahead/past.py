"""Collects from a conversation which files were read, changed and found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead.paths import FilePath, parse
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import AHEAD


@dataclass(slots=True, repr=False)
class PastCall:
    """One of the agent's calls.

    Attributes:
        place: the index of its entry in the conversation.
        tool: its tool.
        given: its arguments; empty if they are not an object.
        path: the file that it names; None unless it clearly names one.
        is_added: whether read-ahead made it.
        answer: its result; None if it has none yet.
    """

    place: int
    tool: SingleTool
    given: dict[str, Any]
    path: FilePath | None
    is_added: bool
    answer: Entry | None = None

    @property
    def text(self) -> str:
        """The text of its result; empty if there is none."""
        return "" if self.answer is None else self.answer.text

    @property
    def went_well(self) -> bool:
        """Whether it has a result that reports no failure."""
        texts = () if self.answer is None else self.answer.texts()
        return not looks_failed(next((text for text in texts if text), "error"))


@dataclass(slots=True)
class Past:
    """What read-ahead needs to know of a conversation.

    Attributes:
        calls: the calls of known tools, in order.
        touches: the calls that read or change a file, by its name in lower case.
        prompt: the text of the user's latest message.
        asked: the index of that message in the conversation; -1 if there is none.
    """

    calls: list[PastCall] = field(default_factory=list)
    touches: dict[str, list[PastCall]] = field(default_factory=dict)
    prompt: str = ""
    asked: int = -1

    def add(self, call: PastCall) -> None:
        """Add the next call."""
        self.calls.append(call)
        if call.path is not None:
            self.touches.setdefault(call.path.name.casefold(), []).append(call)

    def newest(self, kind: str) -> PastCall | None:
        """The model's latest call, of a kind of tool, that has a result; None if there is none."""
        own = (c for c in reversed(self.calls) if c.tool.kind == kind and not c.is_added)
        return next((call for call in own if call.answer), None)

    def of(self, path: FilePath) -> list[PastCall]:
        """The calls that read or change this file, or one that may be the same, in order."""
        touches = self.touches.get(path.name.casefold(), ())
        return [call for call in touches if may_be_same(call.path, path)]

    def folders(self) -> set[FilePath]:
        """The folders in which the model itself has read a file."""
        own = (c for c in self.calls if c.tool.kind == "read" and not c.is_added and c.went_well)
        return {call.path.folder for call in own if call.path}

    def knows(self, path: FilePath, named: int) -> bool:
        """Whether the model already knows the contents of a file.

        It does if it has read or changed the file, unless the file was changed after it was last
        read, and was named again after that change.

        Args:
            path: the file.
            named: the index of the entry that names it.
        """
        known, changed = False, -1
        for call in self.of(path):
            known, changed = True, call.place if call.tool.kind != "read" else -1
        return known and not -1 < changed < named


def past_of(entries: Sequence[Entry], singles: Mapping[str, SingleTool]) -> Past:
    """Collects the past from the agent view of a conversation, in one pass."""
    past, waiting = Past(), dict[object, PastCall]()
    for place, entry in enumerate(entries):
        if entry.role == "model":
            for call in entry.calls:
                tool = singles.get(call.function)
                if tool is not None and tool.kind in ("read", "edit", "write", "read_only"):
                    past.add(_call(place, tool, call))
                    # Some providers use the same ids in each turn. A result then belongs to the
                    # latest call.
                    waiting[call.call_id] = past.calls[-1]
        elif entry.role == "result":
            answered = waiting.pop(entry.call_id, None)
            if answered is not None:
                answered.answer = entry
        elif entry.role == "user":
            past.prompt, past.asked = entry.text, place
    return past


def arguments_in(call: Call) -> dict[str, Any]:
    """The arguments of a call; empty if they are not a JSON object."""
    try:
        given = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}


def is_added(call: Call) -> bool:
    """Whether read-ahead made a call, judged by its id."""
    derived = ids.decode(call.call_id)
    return derived is not None and derived.kind == AHEAD


def may_be_same(one: FilePath | None, other: FilePath) -> bool:
    """Whether two paths may be the same file. A relative path may begin in any folder."""
    if one is None:
        return False
    if bool(one.root) == bool(other.root):
        return one.key == other.key
    mine, its = one.key[1], other.key[1]
    shorter = min(len(mine), len(its))
    return mine[-shorter:] == its[-shorter:]


def _call(place: int, tool: SingleTool, call: Call) -> PastCall:
    """A call with the file that it names. Searches are read for their results only."""
    given = {} if tool.kind == "read_only" else arguments_in(call)
    value = given.get(tool.path) if tool.path else None
    path = parse(value) if isinstance(value, str) else None
    return PastCall(place, tool, given, path, is_added(call))

"""What a conversation tells about files: who read them, who changed them, what was found."""

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
        place: where its entry stands in the conversation.
        tool: its tool.
        given: its arguments; empty where they make no sense.
        path: the file that it names, if it plainly names one.
        is_added: whether read-ahead made it.
        answer: its result, if it has one.
    """

    place: int
    tool: SingleTool
    given: dict[str, Any]
    path: FilePath | None
    is_added: bool
    answer: Entry | None = None

    @property
    def text(self) -> str:
        """Its result as one text; empty if there is none."""
        return "" if self.answer is None else self.answer.text

    @property
    def went_well(self) -> bool:
        """Whether it has a result, and that does not read as failed."""
        texts = () if self.answer is None else self.answer.texts()
        return not looks_failed(next((text for text in texts if text), "error"))


@dataclass(slots=True)
class Past:
    """A conversation, as far as read-ahead is concerned.

    Attributes:
        calls: the calls of tools that are known, in order.
        touches: those that read or change a file, by its name in lower case.
        prompt: what the user said last.
        asked: where it stands.
    """

    calls: list[PastCall] = field(default_factory=list)
    touches: dict[str, list[PastCall]] = field(default_factory=dict)
    prompt: str = ""
    asked: int = -1

    def add(self, call: PastCall) -> None:
        """Take in the next call."""
        self.calls.append(call)
        if call.path is not None:
            self.touches.setdefault(call.path.name.casefold(), []).append(call)

    def newest(self, kind: str) -> PastCall | None:
        """The model's newest call of a kind of tool that has a result."""
        own = (c for c in reversed(self.calls) if c.tool.kind == kind and not c.is_added)
        return next((call for call in own if call.answer), None)

    def of(self, path: FilePath) -> list[PastCall]:
        """The calls that read or change what may be this file, in order."""
        touches = self.touches.get(path.name.casefold(), ())
        return [call for call in touches if may_be_same(call.path, path)]

    def folders(self) -> set[FilePath]:
        """The folders of which the model itself has read a file."""
        own = (c for c in self.calls if c.tool.kind == "read" and not c.is_added and c.went_well)
        return {call.path.folder for call in own if call.path}

    def knows(self, path: FilePath, named: int) -> bool:
        """Whether the model knows a file that is named at this place of the conversation.

        It does if it has read or changed it, unless it was changed since it was read last,
        and named again after that.
        """
        known, changed = False, -1
        for call in self.of(path):
            known, changed = True, call.place if call.tool.kind != "read" else -1
        return known and not -1 < changed < named


def past_of(entries: Sequence[Entry], singles: Mapping[str, SingleTool]) -> Past:
    """What the agent view of a conversation tells, in one walk."""
    past, waiting = Past(), dict[object, PastCall]()
    for place, entry in enumerate(entries):
        if entry.role == "model":
            for call in entry.calls:
                tool = singles.get(call.function)
                if tool is not None and tool.kind in ("read", "edit", "write", "read_only"):
                    past.add(_call(place, tool, call))
                    # Some providers repeat their ids each turn: a result is of the newest.
                    waiting[call.call_id] = past.calls[-1]
        elif entry.role == "result":
            answered = waiting.pop(entry.call_id, None)
            if answered is not None:
                answered.answer = entry
        elif entry.role == "user":
            past.prompt, past.asked = entry.text, place
    return past


def arguments_in(call: Call) -> dict[str, Any]:
    """The arguments of a call; empty where they are no object."""
    try:
        given = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}


def is_added(call: Call) -> bool:
    """Whether read-ahead made a call, as its id tells."""
    derived = ids.decode(call.call_id)
    return derived is not None and derived.kind == AHEAD


def may_be_same(one: FilePath | None, other: FilePath) -> bool:
    """Whether two paths may be one file: a relative one may begin anywhere."""
    if one is None:
        return False
    if bool(one.root) == bool(other.root):
        return one.key == other.key
    mine, its = one.key[1], other.key[1]
    shorter = min(len(mine), len(its))
    return mine[-shorter:] == its[-shorter:]


def _call(place: int, tool: SingleTool, call: Call) -> PastCall:
    given = {} if tool.kind == "read_only" else arguments_in(call)
    value = given.get(tool.path) if tool.path else None
    path = parse(value) if isinstance(value, str) else None
    return PastCall(place, tool, given, path, is_added(call))

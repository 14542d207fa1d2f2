"""Gather: neighbouring single calls of one message become a call of the agent's own multi-tool.

Nothing is remembered: a merged call keeps the id of the first call that it stands for, the
other ids vanish, and the provider sees one call and its result from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.moves.conflict import Effect, conflict, effect_of
from batchwrap.core.tally import Tally
from batchwrap.core.tools.items import as_text
from batchwrap.core.tools.native import Native

_KNOWN = ("index", "id", "type", "function")  # fields of a call
_BARRIER = Effect("barrier", None)


class Gatherer:
    """Gathers the tool calls of one assistant message into native multi-calls.

    Feed it the fragments of the calls in the order in which they came; a plain call is one
    fragment. From the first call of a tool that has a native multi-tool on, calls wait until
    the message is complete. Then neighbouring calls of one single tool become one native
    call, unless they conflict. Every other call that waited goes out as it is, in one piece.
    Calls with the same arguments are never merged: an agent may take a repeated item for one.

    Args:
        natives: the native multi-tools, by the name of the single tool.
        tally: where counts and events go.
    """

    def __init__(self, natives: Mapping[str, Native], tally: Tally) -> None:
        self._natives = natives
        self._tally = tally
        self._held: list[chat.ToolCall] = []
        self._moved: dict[int | None, int] = {}  # by how much calls that went out moved down
        self._merged: set[int | None] = set()  # indexes of calls that are in native calls
        self._vanished = 0

    def fragment(self, delta: chat.ToolCall) -> list[chat.ToolCall]:
        """The fragments to hand on for one streamed fragment; the same object if unchanged."""
        index = chat.index_of(delta)
        known = index is not None and (index in self._moved or index in self._merged)
        if not known and (self._held or self._native_of(delta) is not None):
            self._held.append(delta)
            return []
        return self._pass_on(delta)

    def passes(self, index: int) -> bool:
        """Whether fragments of a call go out as they come."""
        return self._moved.get(index) == 0

    def finish(self) -> list[chat.ToolCall]:
        """What was held, when the message is complete."""
        held, self._held = self._held, []
        parts: dict[int | None, list[chat.ToolCall]] = {}
        for delta in held:
            parts.setdefault(chat.index_of(delta), []).append(delta)
        if not _in_order([*self._moved, *parts]):
            return [out for delta in held for out in self._pass_on(delta)]
        calls = [self._read(fragments) for fragments in parts.values()]
        return [out for run in _runs(calls) for out in self._hand_on(run)]

    def release(self) -> list[chat.ToolCall]:
        """What was held, as it came; nothing is merged from now on."""
        held, self._held, self._natives = self._held, [], {}
        return [out for delta in held for out in self._pass_on(delta)]

    def _read(self, parts: list[chat.ToolCall]) -> _Call:
        """A call that has come in these parts, and the item that it can become."""
        whole = _whole(parts)
        native = self._native_of(whole) if whole else None
        if whole is None or native is None:
            return _Call(parts if whole is None else [whole])
        arguments = chat.arguments_of(whole)
        item = native.item(arguments)
        if item is None:
            return _Call([whole])
        return _Call([whole], native, item, effect_of(native.single, arguments))

    def _hand_on(self, run: list[_Call]) -> list[chat.ToolCall]:
        first, native = run[0].parts[0], run[0].native
        if native is None or len(run) == 1:
            return [out for part in run[0].parts for out in self._pass_on(part)]
        text = f"{{{as_text(native.key)}:[{','.join(call.item for call in run)}]}}"
        function = {**chat.function_of(first), "name": native.name, "arguments": text}
        out = self._pass_on({**first, "function": function})
        self._merged.update(chat.index_of(call.parts[0]) for call in run)
        self._vanished += len(run) - 1
        self._tally.add("coalesced", len(run))
        self._tally.note("coalesced", tool=native.name, calls=len(run))
        return out

    def _pass_on(self, delta: chat.ToolCall) -> list[chat.ToolCall]:
        """The fragment, moved down by the calls before it that vanished."""
        index = chat.index_of(delta)
        if index in self._merged:
            return []  # the call was complete without it
        moved = self._moved.setdefault(index, self._vanished)
        return [delta if index is None or not moved else {**delta, "index": index - moved}]

    def _native_of(self, call: chat.ToolCall) -> Native | None:
        name = chat.function_of(call).get("name")
        return self._natives.get(name) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True, repr=False)
class _Call:
    """One call: in one part, or, where its parts are odd, as it came."""

    parts: list[chat.ToolCall]
    native: Native | None = None
    item: str = ""
    effect: Effect = _BARRIER

    def may_join(self, run: Sequence[_Call]) -> bool:
        """Whether it can be an item of the same native call."""
        if self.native is None or run[0].native is not self.native or len(run) >= self.native.most:
            return False
        return not any(self._clashes(other) for other in run)

    def _clashes(self, other: _Call) -> bool:
        same = orjson.loads(self.item) == orjson.loads(other.item)
        return same or conflict(other.effect, self.effect)


def _runs(calls: Sequence[_Call]) -> list[list[_Call]]:
    """The calls in their order, those together that become one."""
    runs: list[list[_Call]] = []
    for call in calls:
        if runs and call.may_join(runs[-1]):
            runs[-1].append(call)
        else:
            runs.append([call])
    return runs


def _whole(parts: Sequence[chat.ToolCall]) -> chat.ToolCall | None:
    """The call that its fragments make up; None if anything about them is odd.

    A call in one part is that same object.
    """
    first, function = parts[0], chat.function_of(parts[0])
    if not isinstance(first.get("id"), str) or not first["id"]:
        return None
    if not isinstance(function.get("name"), str):
        return None
    if not all(_is_plain(part, first, function) for part in parts):
        return None
    if len(parts) == 1:
        return first
    text = "".join(chat.function_of(part).get("arguments") or "" for part in parts)
    return {**first, "function": {**function, "arguments": text}}


def _is_plain(part: chat.ToolCall, first: chat.ToolCall, function: Mapping[str, Any]) -> bool:
    """Whether a fragment holds nothing but a part of the call that `first` opened."""
    own = part.get("function")
    return (
        isinstance(own, dict)
        and all(value is None for name, value in part.items() if name not in _KNOWN)
        and all(value is None for name, value in own.items() if name not in ("name", "arguments"))
        and part.get("type") in (None, "", "function")
        and part.get("id") in (None, "", first["id"])
        and own.get("name") in (None, "", function["name"])
        and isinstance(own.get("arguments"), (str, type(None)))
    )


def _in_order(indexes: Sequence[int | None]) -> bool:
    """Whether calls came in the order of their indexes, each with one of its own."""
    known = [index for index in indexes if index is not None]
    return len(known) == len(indexes) and all(one < other for one, other in pairwise(known))

"""Expand: the model's multi-call becomes the agent's own single calls, item by item.

Plain and streamed answers take the same road: a plain message is a stream of one piece.
Read-only items go out as each closes. From the first one that changes something, the rest
of a multi-call is held until all of it is there and fits: an edit is never run in part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core import chat
from batchwrap.core.growing import Growing
from batchwrap.core.memory import Placed, Turn
from batchwrap.core.tally import Tally
from batchwrap.core.views import ids, items
from batchwrap.core.views.conflict import Effect, Waves, effect_of
from batchwrap.core.views.find import SingleTool
from batchwrap.core.views.multi import AHEAD, SINGLE, MultiTool


@dataclass(slots=True)
class _Open:
    """One call of the model that is still being written."""

    call: chat.ToolCall
    multi: MultiTool | None
    nonce: str
    scanner: items.ItemScanner
    seen: int = 0
    out: int = 0
    pending: list[tuple[int, SingleTool, str]] = field(default_factory=list)
    broken: bool = False

    @property
    def origin(self) -> str:
        return str(self.call.get("id") or "")


class Expander:
    """Expands the tool calls of one assistant message.

    Feed it the calls (or their streamed fragments) in the order in which they came. While
    a multi-call is still open, fragments of later calls wait, so that the agent gets the
    calls in the model's order.
    """

    def __init__(
        self,
        multis: Mapping[str, MultiTool],
        singles: Mapping[str, SingleTool],
        waves: Waves,
        random_text: Callable[[int], str],
        tally: Tally,
    ) -> None:
        self._multis = multis
        self._singles = singles
        self._waves = waves
        self._random_text = random_text
        self._tally = tally
        self._turn = Turn()
        self._next_index = 0
        # By the provider's index: the agent's index, the call, its arguments so far.
        self._passed: dict[Any, tuple[int, chat.ToolCall, Growing]] = {}
        self._ended: set[Any] = set()  # provider's indexes of calls that were taken whole
        self._open: tuple[Any, _Open] | None = None
        self._later: list[chat.ToolCall] = []

    @property
    def turn(self) -> Turn:
        """The calls that have come so far."""
        for _, call, arguments in self._passed.values():
            call["function"]["arguments"] = arguments.text
        return self._turn

    def fragment(self, delta: chat.ToolCall) -> list[chat.ToolCall]:
        """The agent's fragments for one streamed fragment; the same object if unchanged."""
        index = chat.index_of(delta)
        if self._open is not None and index != self._open[0]:
            if not self._open[1].scanner.closed:
                self._later.append(delta)
                return []
            return [*self._close(), *self.fragment(delta)]
        if index in self._ended:
            return []
        if self._open is None and index not in self._passed:
            multi = self._multi_of(delta)
            if multi is not None or self._waves.waiting:
                self._open = index, self._start(delta, multi)
        if self._open is not None:
            return self._feed(self._open[1], chat.function_of(delta).get("arguments"))
        return [self._pass_on(index, delta)]

    def finish(self) -> list[chat.ToolCall]:
        """What is left when the message is complete."""
        calls: list[chat.ToolCall] = []
        while self._open is not None:
            calls += self._close()
        return calls

    def add_reads(self, reads: Sequence[tuple[SingleTool, str]]) -> list[chat.ToolCall]:
        """The calls of reads that are added to the turn's only call; their ids tell."""
        origin = str(self._turn.original[0].get("id") or "") if reads else ""
        if not origin:
            return []
        nonce = self._random_text(ids.NONCE_LENGTH)
        self._turn.nonces.append(nonce)
        calls: list[chat.ToolCall] = []
        for place, (tool, arguments) in enumerate(reads):
            derived = ids.DerivedId(nonce, place, 0, AHEAD, origin)
            calls += self._out(derived, tool.name, arguments, effect_of(tool, arguments))
        return calls

    def _feed(self, opened: _Open, arguments: object) -> list[chat.ToolCall]:
        found = opened.scanner.feed(arguments) if isinstance(arguments, str) else []
        return self._items(opened, found, ended=opened.scanner.closed)

    def _items(self, opened: _Open, found: list[str], *, ended: bool) -> list[chat.ToolCall]:
        """The calls for items that have come; the last one of all tells their number."""
        calls: list[chat.ToolCall] = []
        for place, item in enumerate(found, start=1) if opened.multi else ():
            assert opened.multi is not None
            meant = opened.multi.call(item)
            index, opened.seen = opened.seen, opened.seen + 1
            if meant is None or index > ids.MOST_ITEMS:
                opened.broken = True
            elif opened.pending or effect_of(*meant).changes:
                opened.pending.append((index, *meant))
            else:
                count = opened.seen if ended and place == len(found) else 0
                calls += self._place(opened, index, count, *meant)
        return calls

    def _close(self) -> list[chat.ToolCall]:
        """Ends the open call and lets those through that waited for it."""
        assert self._open is not None
        index, opened = self._open
        self._open = None
        self._ended.add(index)
        calls = self._end(opened)
        later, self._later = self._later, []
        for delta in later:
            calls += self.fragment(delta)
        return calls

    def _end(self, opened: _Open) -> list[chat.ToolCall]:
        text, multi = opened.scanner.text, opened.multi
        function = {**chat.function_of(opened.call), "arguments": text}
        whole = {**opened.call, "type": "function", "function": function}
        self._turn.original.append({key: whole[key] for key in whole if key != "index"})
        if multi is None:
            return self._hold_single(opened, text)
        calls: list[chat.ToolCall] = []
        if not opened.seen:
            calls += self._items(opened, items.read_items(text, multi.key), ended=True)
        self._turn.counts[opened.origin] = opened.seen
        fits = not opened.broken and _is_json(text)
        for index, tool, arguments in opened.pending if fits else ():
            calls += self._place(opened, index, opened.seen, tool, arguments)
        if not opened.out:
            calls += self._raw(opened, multi)
        self._turn.malformed |= not fits or not opened.seen
        self._tally.add("multi_calls")
        self._tally.add("items", opened.out)
        self._tally.note("expanded", tool=multi.name, items=opened.out)
        return calls

    def _hold_single(self, opened: _Open, text: str) -> list[chat.ToolCall]:
        """A call of its own, after calls that wait: it may have to wait for them, too."""
        name = chat.name_of(opened.call)
        derived = ids.DerivedId(opened.nonce, 0, 1, SINGLE, opened.origin)
        return self._out(derived, name, text, self._effect(name, text))

    def _place(
        self, opened: _Open, index: int, count: int, tool: SingleTool, arguments: str
    ) -> list[chat.ToolCall]:
        assert opened.multi is not None
        opened.out += 1
        derived = ids.DerivedId(opened.nonce, index, count, opened.multi.kind, opened.origin)
        return self._out(derived, tool.name, arguments, effect_of(tool, arguments))

    def _raw(self, opened: _Open, multi: MultiTool) -> list[chat.ToolCall]:
        """The raw arguments as one call, which the agent's own error handling answers."""
        opened.out += 1
        derived = ids.DerivedId(opened.nonce, 0, 1, multi.kind.upper(), opened.origin)
        # A tool without required parameters might accept them: the multi-tool's own name,
        # which the agent does not know, is refused for sure.
        refuses = next((tool for tool in multi.tools.values() if tool.required), None)
        name = refuses.name if refuses else multi.name
        return self._out(derived, name, opened.scanner.text, Effect("barrier", None))

    def _out(
        self, derived: ids.DerivedId, name: str, arguments: str, effect: Effect
    ) -> list[chat.ToolCall]:
        call = _call(ids.encode(derived), name, arguments)
        wave = self._waves.place(effect)
        self._turn.calls.append(Placed(call, wave, effect.kind))
        return [] if wave else [{"index": self._take_index(), **call}]

    def _pass_on(self, index: Any, delta: chat.ToolCall) -> chat.ToolCall:
        """A call, or a part of one, that goes out as it is."""
        said = chat.function_of(delta).get("arguments")
        text = said if isinstance(said, str) else ""
        if index in self._passed:
            place, _, arguments = self._passed[index]
            arguments.add(text)
        else:
            name = chat.name_of(delta)
            place, call = self._take_index(index), _call(str(delta.get("id") or ""), name, text)
            self._passed[index] = place, call, Growing(text)
            self._turn.original.append(call)
            effect = self._effect(name, text)
            self._waves.pass_on(effect)
            self._turn.calls.append(Placed(call, 0, effect.kind))
        return delta if index in (None, place) else {**delta, "index": place}

    def _effect(self, name: str, arguments: str) -> Effect:
        """The effect of a single call; on any path while its arguments are not all there."""
        tool = self._singles.get(name)
        if tool is None or _is_json(arguments):
            return effect_of(tool, arguments)
        return Effect(tool.kind, None)

    def _start(self, call: chat.ToolCall, multi: MultiTool | None) -> _Open:
        origin = str(call.get("id") or "")
        # Two calls of one turn with the same id must not share a group.
        taken = any(origin == made["id"] for made in self._turn.original)
        if taken or not self._turn.nonces:
            self._turn.nonces.append(self._random_text(ids.NONCE_LENGTH))
        scanner = items.ItemScanner(multi.key if multi else "")
        return _Open(call, multi, self._turn.nonces[-1], scanner)

    def _multi_of(self, call: chat.ToolCall) -> MultiTool | None:
        name = chat.function_of(call).get("name")
        return self._multis.get(name) if isinstance(name, str) else None

    def _take_index(self, own: Any = None) -> int:
        """The next free index; the provider's own while nothing was taken apart."""
        kept = isinstance(own, int) and own > self._next_index and not self._turn.nonces
        place = own if kept else self._next_index
        self._next_index = place + 1
        return int(place)


def _call(call_id: str, name: str, arguments: str) -> chat.ToolCall:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True

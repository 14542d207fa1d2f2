"""Gather: neighbouring single calls of one turn become a call of the agent's own multi-tool.

Nothing is remembered: a merged call keeps the id of the first call that it stands for, the
other ids vanish, and the provider sees one call and its result from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import orjson

from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.calls import FUNCTION, Fragment
from batchwrap.core.moves.conflict import Effect, conflict, effect_of
from batchwrap.core.tools.items import as_text
from batchwrap.core.tools.native import Native

_BARRIER = Effect("barrier", None)


class Gatherer:
    """Gathers the tool calls of one turn of the model into native multi-calls.

    Feed it the fragments of the calls in the order in which they came; a plain call is one
    fragment. From the first call of a tool that has a native multi-tool on, calls wait until
    the turn is complete. Then neighbouring calls of one single tool become one native
    call, unless they conflict. Every other call that waited goes out as it is, in one piece.
    Calls with the same arguments are never merged: an agent may take a repeated item for one.

    Args:
        natives: the native multi-tools, by the name of the single tool.
        metrics: where counts and events go.
    """

    def __init__(self, natives: Mapping[str, Native], metrics: ExchangeMetrics) -> None:
        self._natives = natives
        self._metrics = metrics
        self._held: list[Fragment] = []
        self._moved: dict[int | None, int] = {}  # by how much calls that went out moved down
        self._merged: set[int | None] = set()  # indexes of calls that are in native calls
        self._vanished = 0

    def fragment(self, part: Fragment) -> list[Fragment]:
        """The fragments to hand on for one streamed fragment; the same object if unchanged."""
        index = part.index
        known = index is not None and (index in self._moved or index in self._merged)
        if not known and (self._held or self._native_of(part) is not None):
            self._held.append(part)
            return []
        return self._pass_on(part)

    def passes(self, index: int) -> bool:
        """Whether fragments of a call go out as they come."""
        return self._moved.get(index) == 0

    def finish(self) -> list[Fragment]:
        """What was held, when the turn is complete."""
        held, self._held = self._held, []
        parts: dict[int | None, list[Fragment]] = {}
        for part in held:
            parts.setdefault(part.index, []).append(part)
        if not _in_order([*self._moved, *parts]):
            return [out for part in held for out in self._pass_on(part)]
        calls = [self._read(fragments) for fragments in parts.values()]
        return [out for run in _runs(calls) for out in self._hand_on(run)]

    def release(self) -> list[Fragment]:
        """What was held, as it came; nothing is merged from now on."""
        held, self._held, self._natives = self._held, [], {}
        return [out for part in held for out in self._pass_on(part)]

    def _read(self, parts: list[Fragment]) -> _Call:
        """A call that has come in these parts, and the item that it can become."""
        whole = _whole(parts)
        native = self._native_of(whole) if whole else None
        if whole is None or native is None:
            return _Call(parts if whole is None else [whole])
        arguments = whole.text or ""
        item = native.item(arguments)
        if item is None:
            return _Call([whole])
        return _Call([whole], native, item, effect_of(native.single, arguments))

    def _hand_on(self, run: list[_Call]) -> list[Fragment]:
        first, native = run[0].parts[0], run[0].native
        if native is None or len(run) == 1:
            return [out for part in run[0].parts for out in self._pass_on(part)]
        text = f"{{{as_text(native.key)}:[{','.join(call.item for call in run)}]}}"
        out = self._pass_on(replace(first, name=native.name, text=text, source=None))
        self._merged.update(call.parts[0].index for call in run)
        self._vanished += len(run) - 1
        self._metrics.add("coalesced", len(run))
        self._metrics.note("coalesced", tool=native.name, calls=len(run))
        return out

    def _pass_on(self, part: Fragment) -> list[Fragment]:
        """The fragment, moved down by the calls before it that vanished."""
        index = part.index
        if index in self._merged:
            return []  # the call was complete without it
        moved = self._moved.setdefault(index, self._vanished)
        return [part if index is None or not moved else replace(part, index=index - moved)]

    def _native_of(self, call: Fragment) -> Native | None:
        return None if call.function is None else self._natives.get(call.function)


@dataclass(frozen=True, slots=True, repr=False)
class _Call:
    """One call: in one part, or, where its parts are odd, as it came."""

    parts: list[Fragment]
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


def _whole(parts: Sequence[Fragment]) -> Fragment | None:
    """The call that its fragments make up; None if anything about them is odd.

    A call in one part is that same object.
    """
    first = parts[0]
    if not first.call_id or first.function is None:
        return None
    if not all(_is_plain(part, first) for part in parts):
        return None
    if len(parts) == 1:
        return first
    return replace(first, text="".join(part.text or "" for part in parts), source=None)


def _is_plain(part: Fragment, first: Fragment) -> bool:
    """Whether a fragment holds nothing but a part of the call that `first` opened."""
    return (
        part.form == FUNCTION
        and not part.extras
        and not part.inner
        and part.call_id in ("", first.call_id)
        and part.name in (None, "", first.name)
    )


def _in_order(indexes: Sequence[int | None]) -> bool:
    """Whether calls came in the order of their indexes, each with one of its own."""
    known = [index for index in indexes if index is not None]
    return len(known) == len(indexes) and all(one < other for one, other in pairwise(known))

"""Gather: merges consecutive single calls of one answer into a call of the agent's own multi-tool.

This is for agents that have a tool for several files themselves, where the model calls the single
tool several times. Nothing has to be remembered: the merged call keeps the id of the first call,
the other ids disappear, and from then on the provider sees one call and its result.
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
    """Merges the tool calls of one turn of the model into calls of native multi-tools.

    It takes the fragments of the calls in order of arrival. From the first call that a native
    multi-tool could run, calls wait until the turn is complete. Then consecutive calls of one
    single tool become one native call, unless they conflict. All other calls that waited go out
    unchanged, each in one piece. Calls with equal arguments are never merged, since an agent may
    drop a repeated item.

    Args:
        natives: the native multi-tools, by the name of the single tool.
        metrics: where counts and events go.
    """

    def __init__(self, natives: Mapping[str, Native], metrics: ExchangeMetrics) -> None:
        self._natives = natives
        self._metrics = metrics
        self._held: list[Fragment] = []
        # For the index of each call that went out: by how much its index became smaller.
        self._moved: dict[int | None, int] = {}
        self._merged: set[int | None] = set()  # indices of calls that are part of a native call
        self._vanished = 0

    def fragment(self, part: Fragment) -> list[Fragment]:
        """The fragments that replace one; the same object if it is unchanged, none if it waits."""
        index = part.index
        known = index is not None and (index in self._moved or index in self._merged)
        if not known and (self._held or self._native_of(part) is not None):
            self._held.append(part)
            return []
        return self._pass_on(part)

    def passes(self, index: int) -> bool:
        """Whether fragments of a call go out unchanged."""
        return self._moved.get(index) == 0

    def finish(self) -> list[Fragment]:
        """The calls that were held back, merged, when the turn is complete."""
        held, self._held = self._held, []
        parts: dict[int | None, list[Fragment]] = {}
        for part in held:
            parts.setdefault(part.index, []).append(part)
        # Indices that are missing or not in order could not be moved down reliably.
        if not _in_order([*self._moved, *parts]):
            return [out for part in held for out in self._pass_on(part)]
        calls = [self._read(fragments) for fragments in parts.values()]
        return [out for run in _runs(calls) for out in self._hand_on(run)]

    def release(self, *, for_good: bool) -> list[Fragment]:
        """The fragments that were held back, unchanged.

        Args:
            for_good: nothing is merged from now on; else nothing is merged with what comes later.
        """
        held, self._held = self._held, []
        self._natives = {} if for_good else self._natives
        return [out for part in held for out in self._pass_on(part)]

    def _read(self, parts: list[Fragment]) -> _Call:
        """The call in these fragments, with the item that it can become."""
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
        """The fragments for calls that become one native call, or for a single other call."""
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
        """The fragment, with its index less the number of earlier calls that disappeared."""
        index = part.index
        if index in self._merged:
            return []  # a late fragment of a call that was complete and merged
        moved = self._moved.setdefault(index, self._vanished)
        return [part if index is None or not moved else replace(part, index=index - moved)]

    def _native_of(self, call: Fragment) -> Native | None:
        return None if call.function is None else self._natives.get(call.function)


@dataclass(frozen=True, slots=True, repr=False)
class _Call:
    """One call that was held back.

    Attributes:
        parts: the complete call as one fragment; its own fragments if they are unusual.
        native: the multi-tool that can run it; None if there is none.
        item: the call as the JSON text of an item.
        effect: what it may read or change.
    """

    parts: list[Fragment]
    native: Native | None = None
    item: str = ""
    effect: Effect = _BARRIER

    def may_join(self, run: Sequence[_Call]) -> bool:
        """Whether it can become an item of the same native call as these calls."""
        if self.native is None or run[0].native is not self.native or len(run) >= self.native.most:
            return False
        return not any(self._clashes(other) for other in run)

    def _clashes(self, other: _Call) -> bool:
        same = orjson.loads(self.item) == orjson.loads(other.item)
        return same or conflict(other.effect, self.effect)


def _runs(calls: Sequence[_Call]) -> list[list[_Call]]:
    """The calls in order, grouped by the native call that they become."""
    runs: list[list[_Call]] = []
    for call in calls:
        if runs and call.may_join(runs[-1]):
            runs[-1].append(call)
        else:
            runs.append([call])
    return runs


def _whole(parts: Sequence[Fragment]) -> Fragment | None:
    """The complete call as one fragment; None if its fragments hold anything unusual.

    A single fragment is returned as the same object.
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
    """Whether a fragment holds only a part of the call that `first` begins, and no extra fields."""
    return (
        (part.form == FUNCTION or (not part.form and part.text is not None))
        and (part.is_plain or not part.extras)
        and not part.inner
        and part.call_id in ("", first.call_id)
        and part.name in (None, "", first.name)
    )


def _in_order(indexes: Sequence[int | None]) -> bool:
    """Whether each call has its own index, and they arrived in the order of these."""
    known = [index for index in indexes if index is not None]
    return len(known) == len(indexes) and all(one < other for one, other in pairwise(known))

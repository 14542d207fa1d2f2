"""The rest of a stream whose translation was broken off.

What was taken apart is not handed out once more; all other items go on as they came, behind those
that the agent has got. The last event repeats what came of the provider.
"""

from __future__ import annotations

from typing import Any

from batchwrap.core.formats.format import OriginOf, Piece
from batchwrap.core.formats.responses import Body, Item
from batchwrap.core.formats.responses.calls import is_call

_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_OVER = ("response.completed", "response.incomplete", "response.failed")


class ResponsesSalvage:
    """Keeps account of one stream: what came, and what of it the agent has got.

    Args:
        origin_of: tells what derived ids keep of an id.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._came: dict[Any, list[Body]] = {}  # the events of items of which nothing went out
        self._places: dict[Any, int] = {}
        self._apart: set[Any] = set()
        self._given: list[Item] = []

    def see(self, came: Body, made: list[Body] | None, piece: Piece | None = None) -> None:
        """An event came, and these went out for it; None: the event itself."""
        index = _index_of(came)
        if "output_index" in came and index not in self._places and index not in self._apart:
            self._came.setdefault(index, []).append(came)
        for event in [came] if made is None else made:
            if event.get("type") == _ADDED:
                self._gave(event)
            elif event.get("type") == _DONE:
                self._ended(event)

    def _gave(self, event: Body) -> None:
        item, place = event.get("item"), len(self._given)
        self._given.append(item if isinstance(item, dict) else {})
        if not isinstance(item, dict):
            return
        call_id = item.get("call_id")
        origin, is_derived = self._origin_of(call_id) if isinstance(call_id, str) else ("", False)
        for index, events in self._came.items():
            own = events[0].get("item")
            own_id = own.get("call_id") if isinstance(own, dict) else None
            kept = self._origin_of(own_id)[0] if isinstance(own_id, str) else ""
            if (kept == origin if origin else own == item) and index not in self._places:
                if is_derived:
                    self._apart.add(index)
                else:
                    self._places[index] = place
                del self._came[index]
                return

    def _ended(self, event: Body) -> None:
        place, item = event.get("output_index"), event.get("item")
        if isinstance(place, int) and place < len(self._given) and isinstance(item, dict):
            self._given[place] = item

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for one that is not translated; None: as it came."""
        kind, index = event.get("type"), _index_of(event)
        if kind in _OVER:
            return self._over(event)
        if "output_index" not in event:
            return None
        if index in self._apart:
            return []
        if index in self._places:
            return self._moved([event], index)
        held = [*self._came.pop(index, []), event]
        first = held[0].get("item")
        if isinstance(first, dict) and is_call(first) and kind != _DONE:
            self._came[index] = held  # nothing of it went out: it does when it is complete
            return []
        self._places[index] = len(self._given)
        self._given.append(first if isinstance(first, dict) else {})
        return self._moved(held, index)

    def _moved(self, events: list[Body], index: Any) -> list[Body]:
        for event in events:
            if event.get("type") == _DONE:
                self._ended({**event, "output_index": self._places[index]})
        return [{**event, "output_index": self._places[index]} for event in events]

    def _over(self, event: Body) -> list[Body] | None:
        response = event.get("response")
        if not isinstance(response, dict) or not isinstance(response.get("output"), list):
            return None
        return [{**event, "response": {**response, "output": list(self._given)}}]

    def end(self) -> list[Body]:
        """Nothing: half a call is no call, and the provider's end is the provider's."""
        return []


def _index_of(event: Body) -> int | None:
    """The index of an event's item; None where it is missing, or is no number."""
    index = event.get("output_index")
    return index if isinstance(index, int) else None

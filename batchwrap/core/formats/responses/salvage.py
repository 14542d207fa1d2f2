"""Completes a stream of the Responses API after an error in its translation.

The rules are those of `chat/salvage`: nothing more of an expanded call goes out, and all other
items go out as the provider sent them, with indices after those that the agent has received. The
last event repeats the items that the agent has received.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats.format import OriginOf, Piece
from batchwrap.core.formats.origins import Origins
from batchwrap.core.formats.responses import Body, Item, index_of, is_of_item
from batchwrap.core.formats.responses.calls import is_call

_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_OVER = ("response.completed", "response.incomplete", "response.failed")


@dataclass(slots=True, repr=False)
class _Item:
    """An item of the provider's, and what the agent has received of it.

    Attributes:
        place: its index in the agent view; None if the agent has not received the item itself.
        is_apart: whether it is a call that was expanded.
        held: its events, while nothing of it went out.
    """

    place: int | None = None
    is_apart: bool = False
    held: list[Body] = field(default_factory=list)


class ResponsesSalvage:
    """Records one stream: what the provider has sent, and what the agent has received.

    Args:
        origin_of: returns the part of a provider's id that derived ids hold.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._items: dict[Any, _Item] = {}  # the newest item with each index of the provider
        self._calls = Origins[_Item](origin_of)
        self._given: list[Item] = []

    def held(self, piece: Piece) -> bool:
        """Always False: complete events are stored, and a piece is not enough."""
        return False

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Record an event and the events that went out for it; None for the event itself."""
        item = self._came(came)
        for event in [came] if made is None else made:
            # Some servers send only the last event of an item, which then also begins it.
            is_whole = event.get("output_index") == len(self._given)
            if event.get("type") == _ADDED or (event.get("type") == _DONE and is_whole):
                self._gave(event, item)
            elif event.get("type") == _DONE:
                self._ended(event)

    def _came(self, event: Body) -> _Item | None:
        """Record an event of the provider's; returns its item, None if it belongs to none."""
        if not is_of_item(event):
            return None
        index = index_of(event)
        item = self._items.get(index)
        if item is None or event.get("type") == _ADDED:
            item = self._items[index] = _Item()
            if is_call(_item_of(event)):
                self._calls.came(_item_of(event).get("call_id"), item)
        if item.place is None and not item.is_apart:
            item.held.append(event)
        return item

    def _gave(self, event: Body, newest: _Item | None) -> None:
        """Record the start of an item in the agent view: a call by its id, or the newest item."""
        place, given, is_derived = len(self._given), _item_of(event), False
        self._given.append(given)
        item = newest
        if is_call(given):
            item, is_derived = self._calls.of(given.get("call_id"))
        if item is not None:
            item.held, item.is_apart = [], item.is_apart or is_derived
            item.place = None if is_derived else place

    def _ended(self, event: Body) -> None:
        """Record the final form of an item that the agent has received."""
        place, item = event.get("output_index"), event.get("item")
        if isinstance(place, int) and place < len(self._given) and isinstance(item, dict):
            self._given[place] = item

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for an untranslated event; None if it goes out unchanged."""
        if event.get("type") in _OVER:
            return self._over(event)
        item = self._came(event)
        if item is None:
            return None
        if item.place is None and not item.is_apart:
            return self._begun(item, event)
        return [] if item.place is None else [self._moved(event, item.place)]

    def _begun(self, item: _Item, event: Body) -> list[Body]:
        """The stored events of an item that begins in the agent view; a call only when complete."""
        first = _item_of(item.held[0])
        if is_call(first) and event.get("type") != _DONE:
            return []
        place = item.place = len(self._given)
        self._given.append(first)
        held, item.held = item.held, []
        return [self._moved(one, place) for one in held]

    def _moved(self, event: Body, place: int) -> Body:
        moved = {**event, "output_index": place}
        if event.get("type") == _DONE:
            self._ended(moved)
        return moved

    def _over(self, event: Body) -> list[Body] | None:
        """The last event with the items of the agent view; None if it lists no items."""
        response = event.get("response")
        if not isinstance(response, dict) or not isinstance(response.get("output"), list):
            return None
        return [{**event, "response": {**response, "output": list(self._given)}}]

    def end(self) -> list[Body]:
        """Always empty: an incomplete call is not handed out, and the stream does not end here."""
        return []


def _item_of(event: Body) -> Item:
    item = event.get("item")
    return item if isinstance(item, dict) else {}

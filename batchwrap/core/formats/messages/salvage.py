"""The rest of a stream whose translation was broken off, in blocks.

A call of the model of which the agent has got nothing is handed out whole; one that the agent got
as it was goes on; of one that was taken apart nothing more comes. All indices stay without gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats.format import OriginOf, Piece
from batchwrap.core.formats.messages import Body
from batchwrap.core.formats.messages.calls import is_call

_START, _DELTA, _STOP = "content_block_start", "content_block_delta", "content_block_stop"


@dataclass(slots=True, repr=False)
class _Block:
    """A block of the provider's, and what the agent has got of it."""

    start: Body
    text: str = ""
    place: int | None = None
    is_apart: bool = False
    is_over: bool = False

    @property
    def is_call(self) -> bool:
        """Whether it is a call."""
        content = self.start.get("content_block")
        return isinstance(content, dict) and is_call(content)


class MessagesSalvage:
    """Keeps account of one stream: what came, and what of it the agent has got.

    Args:
        origin_of: tells what derived ids keep of an id.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._blocks: dict[Any, _Block] = {}
        self._next = 0

    def see(self, came: Body, made: list[Body] | None, piece: Piece | None = None) -> None:
        """An event came, and these went out for it; None: the event itself."""
        self._came(came)
        for event in [came] if made is None else made:
            if event.get("type") == _START:
                self._gave(event)

    def _came(self, event: Body) -> None:
        kind, index = event.get("type"), _index_of(event)
        if kind == _START:
            self._blocks[index] = _Block(event)
        block = self._blocks.get(index)
        if kind == _DELTA and block is not None and block.is_call:
            delta = event.get("delta")
            text = delta.get("partial_json") if isinstance(delta, dict) else None
            block.text += text if isinstance(text, str) else ""
        elif kind == _STOP and block is not None:
            block.is_over = True

    def _gave(self, event: Body) -> None:
        """The agent has got the beginning of a block."""
        place, self._next = self._next, self._next + 1
        content = event.get("content_block")
        call_id = content.get("id") if isinstance(content, dict) else None
        origin, is_derived = self._origin_of(call_id) if isinstance(call_id, str) else ("", False)
        for block in self._blocks.values():
            own = block.start.get("content_block")
            own_id = own.get("id") if isinstance(own, dict) else None
            is_it = own == content if not origin else self._keeps(own_id) == origin
            if is_it and block.place is None:
                block.is_apart = block.is_apart or is_derived
                block.place = None if is_derived else place
                return

    def _keeps(self, call_id: object) -> str:
        return self._origin_of(call_id)[0] if isinstance(call_id, str) else ""

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for one that is not translated; None: as it came."""
        kind, index = event.get("type"), _index_of(event)
        self._came(event)
        if kind not in (_START, _DELTA, _STOP):
            return None
        block = self._blocks.get(index)
        if block is None or block.is_apart:
            return []
        if block.place is not None:
            return None if block.place == index else [{**event, "index": block.place}]
        if block.is_call:  # nothing of it went out: it does when it is complete
            return self._whole(block) if kind == _STOP else []
        return self._begun(block, event)

    def _begun(self, block: _Block, event: Body) -> list[Body]:
        block.place, self._next = self._next, self._next + 1
        begun = [] if event is block.start else [{**block.start, "index": block.place}]
        return [*begun, {**event, "index": block.place}]

    def _whole(self, block: _Block) -> list[Body]:
        block.place, self._next = self._next, self._next + 1
        place, piece = block.place, {"type": "input_json_delta", "partial_json": block.text or "{}"}
        return [
            {**block.start, "index": place},
            {"type": _DELTA, "index": place, "delta": piece},
            {"type": _STOP, "index": place},
        ]

    def end(self) -> list[Body]:
        """Nothing: half a call is no call, and the provider's end is the provider's."""
        return []


def _index_of(event: Body) -> int | None:
    """The index of an event's block; None where it is missing, or is no number."""
    index = event.get("index")
    return index if isinstance(index, int) else None

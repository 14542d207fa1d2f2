"""Completes a stream of the Messages API after an error in its translation.

The rules are those of `chat/salvage`: a call of which the agent has received nothing goes out when
it is complete, one that the agent received as the model wrote it continues, and nothing more of an
expanded call goes out. The indices of blocks have no gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats.format import OriginOf, Piece
from batchwrap.core.formats.messages import Block, Body, index_of
from batchwrap.core.formats.messages.calls import is_call
from batchwrap.core.formats.origins import Origins

_START, _DELTA, _STOP = "content_block_start", "content_block_delta", "content_block_stop"


@dataclass(slots=True, repr=False)
class _Block:
    """A block of the provider's, and what the agent has received of it.

    Attributes:
        start: its first event.
        pieces: pieces of a call's input, while nothing of the call went out.
        place: its index in the agent view; None if the agent has not received the block itself.
        is_apart: whether it is a call that was expanded.
    """

    start: Body
    pieces: list[str] = field(default_factory=list)
    place: int | None = None
    is_apart: bool = False

    @property
    def is_call(self) -> bool:
        """Whether it is a call."""
        return is_call(_content_of(self.start))


class MessagesSalvage:
    """Records one stream: what the provider has sent, and what the agent has received.

    Args:
        origin_of: returns the part of a provider's id that derived ids hold.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._blocks: dict[Any, _Block] = {}  # the newest block with each index of the provider
        self._calls = Origins[_Block](origin_of)
        self._next = 0

    def held(self, piece: Piece) -> bool:
        """Record a piece of an input for which nothing went out; False if its block is unknown."""
        block = self._blocks.get(piece[1])
        if block is None:
            return False
        if block.place is None and not block.is_apart:
            block.pieces.append(piece[2])
        return True

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Record an event and the events that went out for it; None for the event itself."""
        block = self._came(came)
        # Only starts count: a block that the agent has begun continues with the provider's events.
        for event in [came] if made is None else made:
            if event.get("type") == _START:
                self._gave(event, block)

    def _came(self, event: Body) -> _Block | None:
        """Record an event of the provider's; returns its block."""
        kind, index = event.get("type"), index_of(event)
        if kind == _START:
            begun = self._blocks[index] = _Block(event)
            if begun.is_call:
                self._calls.came(_content_of(event).get("id"), begun)
        block = self._blocks.get(index)
        if kind == _DELTA and block is not None and block.place is None and not block.is_apart:
            delta = event.get("delta")
            text = delta.get("partial_json") if isinstance(delta, dict) else None
            if isinstance(text, str):
                block.pieces.append(text)
        return block

    def _gave(self, event: Body, newest: _Block | None) -> None:
        """Record the start of a block in the agent view: a call by its id, or the newest block."""
        place, self._next = self._next, self._next + 1
        content, is_derived = _content_of(event), False
        block = newest
        if is_call(content):
            block, is_derived = self._calls.of(content.get("id"))
        if block is not None and is_derived:
            block.is_apart = True
        elif block is not None:
            block.place = place

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for an untranslated event; None if it goes out unchanged."""
        kind, index = event.get("type"), index_of(event)
        self._came(event)
        if kind not in (_START, _DELTA, _STOP):
            return None
        block = self._blocks.get(index)
        if block is None or block.is_apart:
            return []
        if block.place is not None:
            return None if block.place == index else [{**event, "index": block.place}]
        if block.is_call:  # nothing of it went out yet; it goes out when it is complete
            return self._whole(block) if kind == _STOP else []
        return self._begun(block, event)

    def _begun(self, block: _Block, event: Body) -> list[Body]:
        """The events that begin a block in the agent view, with this one."""
        block.place, self._next = self._next, self._next + 1
        begun = [] if event is block.start else [{**block.start, "index": block.place}]
        return [*begun, {**event, "index": block.place}]

    def _whole(self, block: _Block) -> list[Body]:
        """All events of a complete call, with the next free index."""
        block.place, self._next = self._next, self._next + 1
        place, text = block.place, "".join(block.pieces) or "{}"
        piece = {"type": "input_json_delta", "partial_json": text}
        return [
            {**block.start, "index": place},
            {"type": _DELTA, "index": place, "delta": piece},
            {"type": _STOP, "index": place},
        ]

    def end(self) -> list[Body]:
        """Always empty: an incomplete call is not handed out, and the stream does not end here."""
        return []


def _content_of(start: Body) -> Block:
    content = start.get("content_block")
    return content if isinstance(content, dict) else {}

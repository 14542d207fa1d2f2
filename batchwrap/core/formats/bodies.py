"""Reads and writes request bodies: of a conversation that continues, only the new part.

Each request of an agent repeats the whole conversation, half a megabyte at 128k tokens, and adds
an item or two. Its bytes are then those of an earlier body, with something inserted:

    head      {"messages":[{"role":"user",…},{"role":"assistant",…}
    added                                                          ,{"role":"tool",…}
    tail                                                                              ],"model":…}

`head` and `tail` together are the earlier body. The tail closes the list of items, and it closes
the longer list in the same way. So the new body is the earlier one with the added items. The items
that both bodies share are the same objects, which makes comparing the two conversations cheap, too.

The end of the list in the earlier body is found by writing its other fields as JSON again and
comparing the bytes. That works if the client writes JSON as nearly all SDKs do: without spaces, and
without escaping characters outside of ASCII. A body that is written in any other way is always
parsed completely.

The provider view of a conversation begins with the same objects in each request, too. So the bytes
of these items are kept, and only the items after them are written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Protocol, TypeVar

import orjson

from batchwrap.core.formats.format import Body
from batchwrap.core.parse import parsed_exactly, parsed_object, rendered

# One body for each running conversation. An agent runs a few subagents at the same time, at most.
_MOST_BODIES = 16
# All stored bodies together: sixteen bodies of half a megabyte.
_MOST_BYTES = 8_000_000
# The bytes of so many items are kept as one piece. The items of the last turn usually change in the
# next request; the piece that holds them is then written again.
_PIECE = 16


class _Sized(Protocol):
    """What is kept of a body for the next request of its conversation."""

    @property
    def size(self) -> int:
        """How many bytes are kept."""


_Kept = TypeVar("_Kept", bound=_Sized)


class Bodies:
    """Reads and writes bodies, and keeps the latest body of each conversation."""

    def __init__(self) -> None:
        # Replaced as a whole, so no lock is needed. If two threads write at the same time, one
        # body is lost, and the next request of that conversation is parsed completely.
        self._kept: tuple[_Parsed, ...] = ()
        self._written: tuple[_Written, ...] = ()

    def read(self, content: bytes, items_key: str) -> Body | None:
        """The JSON object in these bytes.

        Args:
            content: the body.
            items_key: the field that lists the conversation.

        Returns:
            The object, whose items must not be changed in place; None if the bytes are not JSON or
            not an object.
        """
        for known in self._kept:
            continued = known.continued(content, items_key)
            if continued is not None:
                self._kept = _latest(continued, known, self._kept)
                return {**continued.body}
        body = parsed_object(content)
        if body is not None and isinstance(body.get(items_key), list):
            parsed = _parsed(content, body, items_key)
            if parsed is not None:
                self._kept = _latest(parsed, None, self._kept)
        return body

    def write(self, body: Body, items_key: str) -> bytes:
        """The JSON of a body.

        Args:
            body: the body; nothing in it may change any more.
            items_key: the field that lists the conversation.

        Raises:
            RecursionError: the body is nested deeper than Python can walk.
        """
        items = body.get(items_key)
        if not isinstance(items, list) or not items:
            return rendered(body)
        known = next((one for one in self._written if one.items[0] is items[0]), None)
        try:
            latest = _written(items, known)
            begins, ends = _around(body, items_key)
        except TypeError:  # the body contains something that orjson cannot write
            return rendered(body)
        self._written = _latest(latest, known, self._written)
        return b"".join((begins, *latest.pieces, ends))


def _latest(new: _Kept, old: _Kept | None, kept: Sequence[_Kept]) -> tuple[_Kept, ...]:
    """The new body in place of the one that it continues, and the others within the limits."""
    latest: list[_Kept] = []
    size = 0
    for one in (new, *(other for other in kept if other is not old)):
        size += one.size
        if size <= _MOST_BYTES and len(latest) < _MOST_BODIES:
            latest.append(one)
    return tuple(latest)


@dataclass(frozen=True, slots=True, repr=False)
class _Parsed:
    """A parsed body.

    Attributes:
        head: its bytes up to the end of its last item.
        tail: the rest of its bytes.
        items_key: the field that lists its items.
        body: the parsed object.
    """

    head: bytes
    tail: bytes
    items_key: str
    body: Body

    @property
    def size(self) -> int:
        """How many bytes are kept; the tail, which contains the tools, is short beside the head."""
        return len(self.head)

    def continued(self, content: bytes, items_key: str) -> _Parsed | None:
        """The body with these bytes; None unless it is this body with items added, or unchanged."""
        end = len(content) - len(self.tail)
        if end < len(self.head) or items_key != self.items_key:
            return None
        if not (content.startswith(self.head) and content.endswith(self.tail)):
            return None
        if end == len(self.head):
            return self
        items, added = self.body[items_key], content[len(self.head) : end]
        # The first item of a list has no comma before it.
        new = _values(added[1:]) if items and added.startswith(b",") else None
        if not new:
            return None
        return _Parsed(content[:end], self.tail, items_key, {**self.body, items_key: items + new})


@dataclass(frozen=True, slots=True, repr=False)
class _Written:
    """The items of a body that was written.

    Attributes:
        items: the items.
        pieces: their bytes; every piece but the first one begins with a comma.
        ends: the number of items up to the end of each piece.
        size: how many bytes are kept.
    """

    items: Sequence[Any]
    pieces: list[bytes]
    ends: list[int]
    size: int


def _written(items: Sequence[Any], known: _Written | None) -> _Written:
    """The bytes of a body's items. Pieces that the known body shares are not written again.

    Raises:
        TypeError: orjson cannot write one of the items.
    """
    pieces: list[bytes] = []
    ends: list[int] = []
    if known is not None:
        is_shared = [*map(is_, known.items, items)]
        shared = is_shared.index(False) if False in is_shared else len(is_shared)
        kept = bisect_right(known.ends, shared)
        pieces, ends = known.pieces[:kept], known.ends[:kept]
    for start in range(ends[-1] if ends else 0, len(items), _PIECE):
        piece = orjson.dumps(items[start : start + _PIECE])[1:-1]
        pieces.append(b",%b" % piece if start else piece)
        ends.append(min(start + _PIECE, len(items)))
    return _Written(items, pieces, ends, sum(map(len, pieces)))


def _around(body: Body, items_key: str) -> tuple[bytes, bytes]:
    """The bytes of a body before its first item, and after its last one."""
    keys = list(body)
    place = keys.index(items_key)
    before, after = keys[:place], keys[place + 1 :]
    begins = orjson.dumps({**{key: body[key] for key in before}, items_key: []})
    ends = orjson.dumps({items_key: [], **{key: body[key] for key in after}})
    return begins[: -len("]}")], ends[len(orjson.dumps({items_key: []})) - len("]}") :]


def _values(content: bytes) -> list[Any] | None:
    """The JSON values in a comma-separated list without brackets; None if it is not valid JSON."""
    try:
        values: list[Any] = parsed_exactly(b"[%b]" % content, strict=True)
    except ValueError:
        return None
    return values


def _parsed(content: bytes, body: Body, items_key: str) -> _Parsed | None:
    """A completely parsed body, cut at the end of its items; None if that place is unknown."""
    try:
        # A parsed object keeps the order of its fields, so written again they give the same bytes.
        begins, tail = _around(body, items_key)
    except TypeError:  # the body contains something that orjson cannot write
        return None
    is_compact = content.startswith(begins) and content.endswith(tail)
    if not is_compact or len(begins) + len(tail) > len(content):
        return None
    return _Parsed(content[: -len(tail)], tail, items_key, body)

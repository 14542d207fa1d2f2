"""Reads request bodies, and parses only the new part of a conversation that continues.

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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats.format import Body
from batchwrap.core.parse import parsed_exactly, parsed_object, rendered

# One body for each running conversation. An agent runs a few subagents at the same time, at most.
_MOST_BODIES = 16
# All stored bodies together: sixteen bodies of half a megabyte.
_MOST_BYTES = 8_000_000


class Bodies:
    """Reads bodies and keeps the latest body of each conversation."""

    def __init__(self) -> None:
        # Replaced as a whole, so no lock is needed. If two threads write at the same time, one
        # body is lost, and the next request of that conversation is parsed completely.
        self._kept: tuple[_Parsed, ...] = ()

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
                self._keep(continued, known)
                return {**continued.body}
        body = parsed_object(content)
        if body is not None and isinstance(body.get(items_key), list):
            self._keep(_parsed(content, body, items_key))
        return body

    def _keep(self, new: _Parsed | None, old: _Parsed | None = None) -> None:
        """Store a body in place of the one that it continues, and drop what exceeds the limits."""
        kept: list[_Parsed] = []
        size = 0
        for one in (new, *self._kept):
            if one is None or (one is old and one is not new):
                continue
            size += len(one.head)
            if size <= _MOST_BYTES and len(kept) < _MOST_BODIES:
                kept.append(one)
        self._kept = tuple(kept)


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


def _values(content: bytes) -> list[Any] | None:
    """The JSON values in a comma-separated list without brackets; None if it is not valid JSON."""
    try:
        values: list[Any] = parsed_exactly(b"[%b]" % content, strict=True)
    except ValueError:
        return None
    return values


def _parsed(content: bytes, body: Body, items_key: str) -> _Parsed | None:
    """A completely parsed body, cut at the end of its items; None if that place is unknown."""
    # A parsed object keeps the order of its fields, so written again they give the same bytes.
    keys = list(body)
    place = keys.index(items_key)
    before, after = keys[:place], keys[place + 1 :]
    begins = rendered({**{key: body[key] for key in before}, items_key: []})[: -len("]}")]
    ends = rendered({items_key: [], **{key: body[key] for key in after}})
    tail = ends[len(rendered({items_key: []})) - len("]}") :]
    is_compact = content.startswith(begins) and content.endswith(tail)
    if not is_compact or len(begins) + len(tail) > len(content):
        return None
    return _Parsed(content[: -len(tail)], tail, items_key, body)

"""Reading request bodies: of a conversation that continues, only what is new is parsed.

Each request of an agent repeats the whole conversation, half a megabyte at 128k tokens, and adds
an item or two. Its bytes are then those of an earlier body, with something in the middle:

    head      {"messages":[{"role":"user",…},{"role":"assistant",…}
    added                                                          ,{"role":"tool",…}
    tail                                                                              ],"model":…}

`head` and `tail` together are the earlier body. A tail that closes the list of items behind the
head closes it behind further items, too, so the new body is the earlier one and these items. The
items that both have are the same objects, which also makes comparing the two conversations cheap.

Where the list ends in a body that was parsed whole is known if the client writes JSON the way
nearly all SDKs do: without spaces, and with what is not ASCII as it is. Any other body is parsed
whole, each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats.format import Body
from batchwrap.core.parse import parsed_exactly, parsed_object, rendered

# One for each conversation that is under way; an agent runs a few subagents at most.
_MOST_BODIES = 16
# Of all bodies that are kept: sixteen of a context of 128k tokens.
_MOST_BYTES = 8_000_000


class Bodies:
    """Reads bodies, and keeps the latest one of each conversation for the next."""

    def __init__(self) -> None:
        # Replaced as a whole: of two threads one may lose its body, which costs a parse.
        self._kept: tuple[_Parsed, ...] = ()

    def read(self, content: bytes, items_key: str) -> Body | None:
        """The JSON object that these bytes are, or None.

        Args:
            content: the body.
            items_key: the field that lists the conversation.
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
        """Keep a body in place of the one that it continues, as far as there is room."""
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
    """A body that was parsed.

    Attributes:
        head: its bytes up to the end of its last item.
        tail: its bytes from there on.
        items_key: the field of its items.
        body: what it says.
    """

    head: bytes
    tail: bytes
    items_key: str
    body: Body

    def continued(self, content: bytes, items_key: str) -> _Parsed | None:
        """The body with these bytes, if it is this one, with more items or without; else None."""
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
    """The values that these bytes list, without brackets around them; None: they are no such."""
    try:
        values: list[Any] = parsed_exactly(b"[%b]" % content, strict=True)
    except ValueError:
        return None
    return values


def _parsed(content: bytes, body: Body, items_key: str) -> _Parsed | None:
    """A body that was parsed whole; None where the end of its items cannot be told."""
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

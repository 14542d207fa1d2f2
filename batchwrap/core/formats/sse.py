"""Splits a byte stream into server-sent events, reads their payload, and writes events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re

DONE = b"[DONE]"
# Events of providers have less than a hundredth of this. A longer one would only fill the memory.
MOST_EVENT_BYTES = 64 * 1024 * 1024
_BLANK = b"\n\n"
_LF, _CR = b"\n\r"  # as numbers, which `in` finds faster in bytes
_TAIL = 2  # bytes of the longest line end

# Two line ends in a row end an event. The group is atomic, so that a single "\r\n" is not
# read as "\r" and "\n".
_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_DATA = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)


class Splitter:
    """Splits a byte stream into events. Joined, the events are the input to the byte.

    Each byte is searched once and copied once. If an event exceeds the limit, `is_full` becomes
    True and all further bytes are ignored.

    Args:
        most: the largest number of bytes of an event.
    """

    def __init__(self, most: int = MOST_EVENT_BYTES) -> None:
        self.is_full = False
        self._most = most
        self._pieces: list[bytes] = []  # of the incomplete event
        self._size = 0
        self._tail = b""  # its last bytes, in which a line end may be cut in two

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; returns the events that they complete, each with its blank line."""
        tail = self._tail
        # Servers nearly always send exactly one event at a time.
        if not tail and _CR not in data and data.find(_BLANK) == len(data) - 2 >= 0:
            return [] if self.is_full else [data]
        if self.is_full:
            return []
        events = _cut(tail + data if tail else data)
        rest = events.pop()
        if not events:
            self._keep(data, rest[-_TAIL:])
            return []
        if tail:
            events[0] = b"".join([*self._pieces, events[0][len(tail) :]])
        self._pieces, self._size = [], 0
        self._keep(rest, rest[-_TAIL:])
        return events

    def rest(self) -> bytes:
        """The bytes after the last complete event; empties the splitter."""
        rest = b"".join(self._pieces)
        self._pieces, self._size, self._tail = [], 0, b""
        return rest

    def _keep(self, piece: bytes, tail: bytes) -> None:
        """Store a piece of the incomplete event, unless it becomes too long."""
        self._tail = tail
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self.is_full = self._size > self._most


def _cut(data: bytes) -> list[bytes]:
    """The events in these bytes, each with its blank line; the last element is the rest."""
    if _CR not in data:  # nearly always; the pattern takes ten times as long
        *parts, rest = data.split(b"\n\n")
        return [*[part + b"\n\n" for part in parts], rest]
    events, start = [], 0
    for end in _END.finditer(data):
        events.append(data[start : end.end()])
        start = end.end()
    return [*events, data[start:]]


def data_of(event: bytes) -> bytes:
    """The payload of an event: its data lines, joined by newlines."""
    # Servers nearly always send a single line of data, alone or after the event's name.
    line = event
    if event[:7] == b"event: " and _CR not in event:
        line = event[event.find(b"\n") + 1 :]
    if line[:6] == b"data: " and line[-2:] == _BLANK and _LF not in (data := line[6:-2]):
        return data
    return b"\n".join(_DATA.findall(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))


def is_comment(event: bytes) -> bool:
    """Whether an event has no fields, only comments and blank lines: servers send them as pings."""
    lines = event.replace(b"\r", b"\n").split(b"\n")
    return all(not line or line.startswith(b":") for line in lines)


def render(data: bytes, name: str | None = None) -> bytes:
    """The bytes of an event with this payload, and with a line for its name if it has one."""
    line = b"" if name is None else b"event: " + name.encode(errors="replace") + b"\n"
    return line + b"data: " + data + b"\n\n"

"""Server-sent events as bytes: split at any byte, and put together again unchanged."""

from __future__ import annotations

import re

DONE = b"[DONE]"
# No provider sends a hundredth of it; what is longer would only fill the memory.
MOST_EVENT_BYTES = 64 * 1024 * 1024
_BLANK = b"\n\n"
_LF, _CR = b"\n\r"  # as numbers, since bytes are searched for those at once
_TAIL = 2  # bytes: as much as a line end has

# Two line ends in a row close an event. The group is atomic: a lone "\r\n" must not be
# read as "\r" and "\n".
_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_DATA = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)


class Splitter:
    """Cuts a byte stream into events; the pieces joined are the input to the byte.

    Each byte is looked at once, and copied once. An event that is longer than the limit is
    not collected: `is_full` says so, and nothing more is taken in.

    Args:
        most: bytes of an event.
    """

    def __init__(self, most: int = MOST_EVENT_BYTES) -> None:
        self.is_full = False
        self._most = most
        self._pieces: list[bytes] = []  # of the event that is not complete
        self._size = 0
        self._tail = b""  # its last bytes, where a line end may be cut in two

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; returns the events that are complete, each with its blank line."""
        tail = self._tail
        # A whole event at a time is what servers send almost always.
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
        """What came after the last complete event; empties the splitter."""
        rest = b"".join(self._pieces)
        self._pieces, self._size, self._tail = [], 0, b""
        return rest

    def _keep(self, piece: bytes, tail: bytes) -> None:
        self._tail = tail
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self.is_full = self._size > self._most


def _cut(data: bytes) -> list[bytes]:
    """The events in some bytes, each with its blank line, and at last what comes after them."""
    if _CR not in data:  # almost always; the pattern takes ten times as long
        *parts, rest = data.split(b"\n\n")
        return [*[part + b"\n\n" for part in parts], rest]
    events, start = [], 0
    for end in _END.finditer(data):
        events.append(data[start : end.end()])
        start = end.end()
    return [*events, data[start:]]


def data_of(event: bytes) -> bytes:
    """The payload of an event: its data lines, joined by newlines."""
    # One line of data, alone or behind the event's name, is what servers send almost always.
    line = event
    if event[:7] == b"event: " and _CR not in event:
        line = event[event.find(b"\n") + 1 :]
    if line[:6] == b"data: " and line[-2:] == _BLANK and _LF not in (data := line[6:-2]):
        return data
    return b"\n".join(_DATA.findall(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))


def is_comment(event: bytes) -> bool:
    """Whether an event has no fields, only comments and blank lines."""
    lines = event.replace(b"\r", b"\n").split(b"\n")
    return all(not line or line.startswith(b":") for line in lines)


def render(data: bytes, name: str | None = None) -> bytes:
    """One event with this payload, and a line with its name if it has one."""
    line = b"" if name is None else b"event: " + name.encode(errors="replace") + b"\n"
    return line + b"data: " + data + b"\n\n"

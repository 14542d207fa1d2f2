"""The stream of a wire answer: bytes in, bytes out, each event through the exchange."""

from __future__ import annotations

from collections import deque
from typing import Any

from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import sse
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.format import Body, Format
from batchwrap.core.parse import glued, parsed, parsed_exactly, rendered
from batchwrap.core.repair.faults import MALFORMED, OVERSIZED

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAY_BE_GLUED = (b"{", b"data:")


class _Came(dict[str, Any]):
    """A chunk with the bytes that it came in, kept for as long as anybody keeps the chunk."""

    __slots__ = ("event",)
    event: bytes


class EventPipe:
    """Takes the bytes of an event stream through an exchange.

    Events that nothing changes keep their bytes, comments and odd line ends included.

    Args:
        exchange: what they are the answer in.
        most_bytes: of one event; a longer one ends the stream with an error, or is handed out
            unread where streams are not repaired.
    """

    def __init__(self, exchange: Exchange, most_bytes: int = sse.MOST_EVENT_BYTES) -> None:
        self._exchange = exchange
        self._splitter = sse.Splitter(most_bytes)
        self._ended = False
        self._failed = False
        self._is_open_ended = False  # whether what comes is handed out unread

    def feed(self, data: bytes) -> bytes:
        """The bytes to hand out for bytes that came."""
        if self._is_open_ended:
            return data
        out = b"".join(map(self._guarded, self._splitter.feed(data)))
        return out + self._oversized() if self._splitter.is_full else out

    def finish(self) -> bytes:
        """The bytes to hand out when the stream is over."""
        rest, last = self._splitter.rest(), b""
        with self._exchange.guard.step("event"):
            last = rest if rest and not self._is_half(rest) else b""
        last = self._guarded(last) if last else b""
        with self._exchange.guard.step("event"):
            last += self._end(marked=False)
        return last

    def _guarded(self, event: bytes) -> bytes:
        """The bytes to hand out for an event; after a mistake of ours nothing is translated."""
        with self._exchange.guard.step("event"):
            return self._event(event)
        self._exchange.break_off()
        with self._exchange.guard.step("event"):
            return self._event(event)
        return event

    def _event(self, event: bytes) -> bytes:
        if self._ended:
            return b"" if self._failed else event
        if event.startswith(_BYTE_ORDER_MARK) and self._exchange.mends:
            event = event.removeprefix(_BYTE_ORDER_MARK)  # it would hide the first event
        data = sse.data_of(event)
        if data == sse.DONE:
            out = self._end(marked=True)
            return out if self._failed else out + event
        try:
            chunk = parsed_exactly(data)
        except ValueError:
            return self._unread(event, data)
        if not isinstance(chunk, dict):
            return self._noise(event)
        came = _Came(chunk)
        chunks = self._exchange.chunk(came)
        if chunks is None:
            return event
        came.event = event
        return b"".join(map(self._bytes, chunks))

    def _oversized(self) -> bytes:
        """What to hand out for an event that is too long: an error, or all as it comes."""
        if self._exchange.mends and not self._ended:
            told = b"".join(map(self._bytes, self._exchange.lost(OVERSIZED) or ()))
            if self._failed:
                return told
        self._is_open_ended = not self._failed
        return self._splitter.rest() if self._is_open_ended else b""

    def _unread(self, event: bytes, data: bytes) -> bytes:
        """An event that is no JSON: several in one, a broken one, or none at all."""
        parts = glued(data) if self._exchange.mends and data.startswith(_MAY_BE_GLUED) else []
        if not parts:
            return self._malformed(event) if data.startswith(b"{") else self._noise(event)
        self._exchange.taken_apart()
        return b"".join(self._event(sse.render(part)) for part in parts)

    def _malformed(self, event: bytes) -> bytes:
        """An event whose part of the answer is lost; SDKs fail on it, each in its own way."""
        chunks = self._exchange.lost(MALFORMED) if self._exchange.mends else None
        return event if chunks is None else b"".join(map(self._bytes, chunks))

    def _noise(self, event: bytes) -> bytes:
        """An event that tells nothing; clients stumble over all but comments."""
        if not self._exchange.mends or sse.is_comment(event):
            return event
        self._exchange.dropped()
        return b""

    def _is_half(self, rest: bytes) -> bool:
        """Whether a stream broke off in the middle of an event."""
        data = sse.data_of(rest)
        if not self._exchange.mends or self._ended or data == sse.DONE or sse.is_comment(rest):
            return False
        try:
            return not isinstance(parsed(data), dict)
        except ValueError:
            return not glued(data)

    def _bytes(self, chunk: Body) -> bytes:
        """A chunk as bytes: as it came, if it is one that came."""
        self._failed = self._failed or "error" in chunk
        self._ended = self._ended or self._failed
        if isinstance(chunk, _Came):
            return chunk.event
        return sse.render(rendered(chunk), self._exchange.event_name(chunk))

    def _end(self, *, marked: bool) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        return b"".join(map(self._bytes, self._exchange.end(marked=marked)))


class Opening:
    """The first events of a stream that say something, one after the other."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._splitter = sse.Splitter()
        self._payloads: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Take in some bytes."""
        self._payloads.extend(filter(None, map(sse.data_of, self._splitter.feed(data))))

    def is_ready(self) -> bool:
        """Whether the next event is here, or will not come."""
        return bool(self._payloads) or self._splitter.is_full

    def next(self) -> Body | None:
        """The next event; None if it is no JSON object, or not here."""
        if self._payloads:
            with self._guard.step("event"):
                return _object(self._payloads.popleft())
        return None


def render_all(events: list[Body], form: Format = CHAT_FORMAT) -> bytes:
    """A whole stream in a format, with its end mark."""
    out = [sse.render(rendered(event), form.event_name(event)) for event in events]
    return b"".join(out if form.end_mark is None else [*out, sse.render(form.end_mark)])


def _object(data: bytes) -> Body | None:
    try:
        value = parsed(data)
    except ValueError:
        value = next((parsed(part) for part in glued(data) if part != sse.DONE), None)
    return value if isinstance(value, dict) else None

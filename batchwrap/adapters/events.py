"""Passes the events of a stream through an exchange: bytes in, bytes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any

import orjson

from batchwrap.adapters.pieces import BytePieces, BytesPipe, waited_for
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import sse
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.format import Body, Format, Look
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.parse import exactly, glued, parsed, rendered
from batchwrap.core.repair.faults import MALFORMED, OVERSIZED

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAY_BE_GLUED = (b"{", b"data:")
_BLANK_LINE = b"\n\n"


class _Came(dict[str, Any]):
    """A chunk with its original bytes, which live as long as the chunk."""

    __slots__ = ("event",)
    event: bytes


def _came(event: bytes, data: bytes, said: Body) -> _Came:
    """A chunk with the exact values of its bytes."""
    came = _Came(exactly(data, said))
    came.event = event
    return came


class EventPipe:
    """Passes the bytes of an event stream through an exchange.

    Unchanged events keep their bytes, including comments and unusual line ends.

    Args:
        exchange: the exchange that the stream answers.
        most_bytes: the maximum size of an event; a longer one ends the stream with an error, or is
            handed out unread if streams are not repaired.

    Attributes:
        is_paused: whether a script has to be run before anything more is fed.
    """

    def __init__(self, exchange: Exchange, most_bytes: int = sse.MOST_EVENT_BYTES) -> None:
        self._exchange = exchange
        self._splitter = sse.Splitter(most_bytes)
        self._step = exchange.guard.step("event")
        self._fast_path = exchange.fast_path
        self._ended = False
        self._failed = False
        self._is_open_ended = False  # whether the rest is handed out unread
        self.is_paused = False
        self._is_finishing = False  # whether it is paused at its very end
        self._behind: list[bytes] = []  # events that came behind it

    def feed(self, data: bytes) -> bytes:
        """The bytes to hand out for bytes that came."""
        if self._is_open_ended:
            return data
        return self._read(self._splitter.feed(data))

    def _read(self, events: list[bytes]) -> bytes:
        """The bytes to hand out for some events, up to one that waits for a script."""
        out: list[bytes] = []
        with self._step:  # one guard for all events of a read
            for event in events:
                out.append(self._event(event))
                if self.is_paused:
                    break
        if self.is_paused:
            self._behind += events[len(out) :]
            return b"".join(out)
        if len(out) < len(events):  # an error of our own
            self._exchange.break_off()
            out += map(self._guarded, events[len(out) :])
        whole = b"".join(out)
        return whole + self._oversized() if self._splitter.is_full else whole

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that has to be run before anything more is fed."""
        return self._exchange.script_due if self.is_paused else None

    def ran(self, outcome: ScriptOutcome) -> bytes:
        """The bytes to hand out once that script has this outcome."""
        out = b""
        with self._step:
            out = b"".join(map(self._bytes, self._exchange.chunk_ran(outcome)))
        self.is_paused = self._exchange.script_due is not None
        if self.is_paused:
            return out
        behind, self._behind = self._behind, []
        out += self._read(behind)
        if self.is_paused or not self._is_finishing:
            return out
        ended = self.finish()
        return out.rstrip(b"\r\n") + _BLANK_LINE + ended if out and ended else out + ended

    def finish(self) -> bytes:
        """The bytes to hand out when the stream is over."""
        rest, last = self._splitter.rest(), b""
        with self._step:
            last = rest if rest and not self._is_half(rest) else b""
        last = self._guarded(last) if last else b""
        self._is_finishing = self.is_paused  # the rest follows once the script was run
        if self._is_finishing:
            return last
        ended = b""
        with self._step:
            ended = self._end(marked=False)
            if ended and last == rest:  # as it came, without the blank line that ends it
                last = rest.rstrip(b"\r\n") + _BLANK_LINE if _is_object(rest) else b""
        return last + ended

    def _guarded(self, event: bytes) -> bytes:
        """The bytes to hand out for an event; after an error of our own, it is not translated."""
        with self._step:
            return self._event(event)
        self._exchange.break_off()
        with self._step:
            return self._event(event)
        return event

    def _event(self, event: bytes) -> bytes:
        if self._ended:
            return b"" if self._failed else event
        if event.startswith(_BYTE_ORDER_MARK) and self._exchange.mends:
            event = event.removeprefix(_BYTE_ORDER_MARK)  # otherwise readers miss the first event
        data = sse.data_of(event)
        try:
            said = orjson.loads(data)
        except orjson.JSONDecodeError:
            return self._odd(event, data)
        if type(said) is not dict:
            return self._noise(event)
        write = self._fast_path.take(said)
        if write is None:
            return event
        if write is Look.CLOSER:
            return self._closely(event, data, said)
        return b"".join(map(self._bytes, write(partial(_came, event, data, said))))

    def _closely(self, event: bytes, data: bytes, said: Body) -> bytes:
        """The bytes for an event that is more than a piece of a text."""
        try:
            came = _came(event, data, said)
        except ValueError:  # too deep
            return self._unread(event, data)
        chunks = self._exchange.chunk(came)
        self.is_paused = self._exchange.script_due is not None
        return event if chunks is None else b"".join(map(self._bytes, chunks))

    def _odd(self, event: bytes, data: bytes) -> bytes:
        """The bytes for an event that is no chunk, or one that orjson does not read."""
        if data == sse.DONE:
            out = self._end(marked=True)
            if self.is_paused:
                self._behind.append(event)
                return out
            return out if self._failed else out + event
        try:
            said = parsed(data)
        except ValueError:
            return self._unread(event, data)
        if not isinstance(said, dict):
            return self._noise(event)
        return self._closely(event, data, said)

    def _oversized(self) -> bytes:
        """The bytes to hand out for an event that is too long: an error, or all bytes unread."""
        if self._exchange.mends and not self._ended:
            told = b"".join(map(self._bytes, self._exchange.lost(OVERSIZED) or ()))
            if self._failed:
                return told
        self._is_open_ended = not self._failed
        return self._splitter.rest() if self._is_open_ended else b""

    def _unread(self, event: bytes, data: bytes) -> bytes:
        """Handle an event that is not JSON: several in one, a broken one, or none at all."""
        parts = glued(data) if self._exchange.mends and data.startswith(_MAY_BE_GLUED) else []
        if not parts:
            return self._malformed(event) if data.startswith(b"{") else self._noise(event)
        self._exchange.taken_apart()
        out: list[bytes] = []
        events = [sse.render(part) for part in parts]
        while events and not self.is_paused:
            out.append(self._event(events.pop(0)))
        self._behind += events
        return b"".join(out)

    def _malformed(self, event: bytes) -> bytes:
        """Handle a broken event, whose part of the answer is lost. SDKs would fail on it."""
        chunks = self._exchange.lost(MALFORMED) if self._exchange.mends else None
        return event if chunks is None else b"".join(map(self._bytes, chunks))

    def _noise(self, event: bytes) -> bytes:
        """Drop an event without meaning, since clients fail on all of these but comments."""
        if not self._exchange.mends or sse.is_comment(event):
            return event
        self._exchange.dropped()
        return b""

    def _is_half(self, rest: bytes) -> bool:
        """Whether the stream ended in the middle of an event."""
        data = sse.data_of(rest)
        if not self._exchange.mends or self._ended or data == sse.DONE or sse.is_comment(rest):
            return False
        return not (_is_object(rest) or glued(data))

    def _bytes(self, chunk: Body) -> bytes:
        """The bytes of a chunk: the original ones, if it is an original chunk."""
        self._failed = self._failed or "error" in chunk
        self._ended = self._ended or self._failed
        if isinstance(chunk, _Came):
            return chunk.event
        return sse.render(rendered(chunk), self._exchange.event_name(chunk))

    def _end(self, *, marked: bool) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        out = b"".join(map(self._bytes, self._exchange.end(marked=marked)))
        self.is_paused = self._exchange.script_due is not None
        return out


def _is_object(event: bytes) -> bool:
    """Whether the payload of an event is a JSON object, and all of it."""
    try:
        return isinstance(parsed(sse.data_of(event)), dict)
    except ValueError:
        return False


def through(pipe: BytesPipe | None, source: Iterable[bytes]) -> Generator[Any, Any]:
    """The bytes of a source, passed through a pipe if there is one.

    Yields:
        Bytes to hand out, or a `ScriptRun`, for whose outcome it then waits.
    """
    if pipe is None:
        yield from source
        return
    for data in source:
        if out := pipe.feed(data):
            yield out
        if pipe.is_paused:
            yield from waited_for(BytePieces(pipe))
    if out := pipe.finish():
        yield out
    if pipe.is_paused:
        yield from waited_for(BytePieces(pipe))


class Opening:
    """Reads the first events of a stream that have data, one after the other."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._splitter = sse.Splitter()
        self._payloads: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Add some bytes."""
        self._payloads.extend(filter(None, map(sse.data_of, self._splitter.feed(data))))

    def is_ready(self) -> bool:
        """Whether the next event has come, or cannot come."""
        return bool(self._payloads) or self._splitter.is_full

    def next(self) -> Body | None:
        """The next event; None if it is not a JSON object, or has not come."""
        if self._payloads:
            with self._guard.step("event"):
                return _object(self._payloads.popleft())
        return None


def render_all(events: list[Body], form: Format = CHAT_FORMAT) -> bytes:
    """The bytes of a whole stream in a format, with its end mark."""
    out = [sse.render(rendered(event), form.event_name(event)) for event in events]
    return b"".join(out if form.end_mark is None else [*out, sse.render(form.end_mark)])


def _object(data: bytes) -> Body | None:
    try:
        value = parsed(data)
    except ValueError:
        value = next((parsed(part) for part in glued(data) if part != sse.DONE), None)
    return value if isinstance(value, dict) else None

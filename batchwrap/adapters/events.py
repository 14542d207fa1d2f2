"""The stream of a wire answer: bytes in, bytes out, each event through the exchange."""

from __future__ import annotations

import orjson

from batchwrap.core import sse
from batchwrap.core.chat import Body
from batchwrap.core.exchange import Exchange


class EventPipe:
    """Takes the bytes of an event stream through an exchange.

    Events that nothing changes keep their bytes, comments and odd line ends included.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = sse.Splitter()
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """The bytes to hand out for bytes that came."""
        return b"".join(self._event(event) for event in self._splitter.feed(data))

    def finish(self) -> bytes:
        """The bytes to hand out when the stream is over."""
        rest = self._splitter.rest()
        return (self._event(rest) if rest else b"") + self._end()

    def _event(self, event: bytes) -> bytes:
        data = sse.data_of(event)
        if data == sse.DONE:
            return self._end() + event
        chunk = _object(data)
        if chunk is None:
            return event
        chunks = self._exchange.chunk(chunk)
        return event if chunks is None else b"".join(map(_render, chunks))

    def _end(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        return b"".join(map(_render, self._exchange.end()))


class FirstEvent:
    """Looks for the first event of a stream that says something."""

    def __init__(self) -> None:
        self.event: Body | None = None
        self._splitter = sse.Splitter()

    def feed(self, data: bytes) -> bool:
        """Take in some bytes; whether it is there (`event` is None if it is no JSON object)."""
        for event in self._splitter.feed(data):
            payload = sse.data_of(event)
            if payload:
                self.event = _object(payload)
                return True
        return False


def render_all(chunks: list[Body]) -> bytes:
    """A whole stream with its end marker."""
    return b"".join([*map(_render, chunks), sse.render(sse.DONE)])


def _render(chunk: object) -> bytes:
    return sse.render(orjson.dumps(chunk))


def _object(data: bytes) -> Body | None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

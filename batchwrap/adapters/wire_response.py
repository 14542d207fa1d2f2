"""An answer on the wire. It is read undecoded, so that an unchanged body keeps its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import chain
from types import ModuleType
from typing import Any

from batchwrap.adapters.events import EventPipe, Opening, through
from batchwrap.adapters.pieces import AsyncPiped, BytePieces, BytesPipe, Failing
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.formats import sse
from batchwrap.core.formats.format import Body
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.parse import parsed_object

# In a stream that passes through, only events with usage or an error are parsed.
_TELLING = (b'"usage"', b'"error"')
# Frames of AWS, which hold no events that are read here.
_FRAMES = "application/vnd.amazon.eventstream"


class Tap:
    """Passes a stream through and reads the usage and the errors in it."""

    script_due, is_paused = None, False  # nothing is translated

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = sse.Splitter()

    def feed(self, data: bytes) -> bytes:
        """Return the bytes as they came."""
        with self._exchange.guard.step("event"):
            for event in self._splitter.feed(data):
                self._look(event)
        return data

    def ran(self, outcome: ScriptOutcome) -> bytes:
        """No script was due."""
        return b""

    def finish(self) -> bytes:
        """Read a last, incomplete event; there are no more bytes to hand out."""
        if self._splitter.is_full:
            return b""
        with self._exchange.guard.step("event"):
            self._look(self._splitter.rest())
        return b""

    def _look(self, event: bytes) -> None:
        if not any(name in event for name in _TELLING):
            return
        if (told := parsed_object(sse.data_of(event))) is not None:
            self._exchange.chunk(told)


class _WireResponse:
    """A response of the inner transport.

    Args:
        response: the response.
        library: httpx or httpx2.
        exchange: the exchange that it belongs to.
    """

    def __init__(self, response: Any, library: ModuleType, exchange: Exchange) -> None:
        self.response = response
        self.raw: bytes | None = None  # the body of a plain answer, once it is read
        self.came: list[bytes] = []  # the beginning of a stream that was read in advance
        self.data: Any = None  # the rest of the stream
        self._library = library
        self._exchange = exchange
        self._cut: Exception | None = None  # the error that ended a stream after its first events

    @cached_property
    def _opening(self) -> Opening:
        """Reads the first events; made for streams alone."""
        return Opening(self._exchange.guard)

    @property
    def head(self) -> Head:
        """Status and headers."""
        kind = self._kind
        # Some gateways send events with another content type, or none. SDKs do not check it.
        other = "json" in kind or "html" in kind
        is_stream = kind.startswith(("text/event-stream", _FRAMES))
        is_stream = is_stream or (self._exchange.streams and not other)
        return Head(self.response.status_code, self.response.headers, is_stream)

    @property
    def _kind(self) -> str:
        kind: str = self.response.headers.get("content-type", "").lower()
        return kind

    @property
    def _has_events(self) -> bool:
        """Whether a stream consists of events."""
        return not self._kind.startswith(_FRAMES)

    @property
    def is_decoded(self) -> bool:
        """Whether the library can decode the body; otherwise it passes through."""
        encoding, probe = self.response.headers.get("content-encoding"), b"?"
        if encoding is None:
            return True
        headers = {"content-encoding": encoding}
        try:
            return bool(
                self._library.Response(200, headers=headers, content=probe).content != probe
            )
        except self._library.DecodingError:
            return True

    @property
    def is_recoded(self) -> bool:
        """Whether the bytes that are handed out differ from those that came."""
        encoded = "content-encoding" in self.response.headers
        return self.is_decoded and (encoded or self._exchange.is_translated)

    @property
    def _is_plain(self) -> bool:
        """Whether a stream's bytes are handed out by the library as they came."""
        response = self.response
        return "content-encoding" not in response.headers and not response.is_stream_consumed

    def _breaks_off(self, error: Exception) -> None:
        """The connection was lost. The events that came are handed out before the error."""
        if not self.came:
            raise error
        self._cut = error

    def _rest(self) -> Iterator[bytes]:
        """Raise the error after the first events if the connection was lost there."""
        if self._cut is not None:
            raise self._cut
        yield from ()

    def _pipe(self, exchange: Exchange) -> BytesPipe | None:
        if not (self.is_decoded and self._has_events):
            return None
        return EventPipe(exchange) if exchange.is_translated else Tap(exchange)

    def _decoded(self) -> WholeBody:
        raw = self.raw or b""
        if "content-encoding" not in self.response.headers:
            return self._exchange.read(raw)
        whole = self._library.Response(200, headers=self.response.headers, content=raw)
        return self._exchange.read(whole.content)


class SyncWireResponse(_WireResponse):
    """For threads."""

    def _bytes(self) -> Iterator[bytes]:
        """The stream, decoded. Where nothing is encoded the library has nothing to do."""
        return iter(self.response.stream) if self._is_plain else self.response.iter_bytes()

    def read(self) -> WholeBody:
        """The whole body, decoded.

        The rest of a stream is not read, since a thread cannot know whether it ends soon.
        """
        if self.raw is None and self.data is None:
            self.raw = b"".join(self.response.stream)
        return self._decoded()

    def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one."""
        if not self._has_events:
            return None
        if self.data is None:
            self.data = self._bytes()
        if self._opening.is_ready():
            return self._opening.next()
        try:
            for data in self.data:
                self.came.append(data)
                self._opening.feed(data)
                if self._opening.is_ready():
                    break
        except self._library.RequestError as error:
            self._breaks_off(error)
        return self._opening.next()

    def pieces(self, exchange: Exchange) -> Generator[Any, Any]:
        """The stream, each event taken through the exchange."""
        rest = self._bytes() if self.data is None else self.data
        return through(self._pipe(exchange), chain(self.came, self._rest(), rest))

    def close(self) -> None:
        """Release the connection."""
        self.response.close()


class AsyncWireResponse(_WireResponse):
    """For tasks."""

    def _bytes(self) -> AsyncIterator[bytes]:
        """The stream, decoded. Where nothing is encoded the library has nothing to do."""
        return aiter(self.response.stream) if self._is_plain else self.response.aiter_bytes()

    async def read(self) -> WholeBody:
        """The whole body, decoded; the rest of a stream is read and dropped."""
        if self.data is not None:
            with suppress(self._library.RequestError):
                async for _ in self.data:
                    pass
        elif self.raw is None:
            self.raw = b"".join([data async for data in self.response.stream])
        return self._decoded()

    async def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one."""
        if not self._has_events:
            return None
        if self.data is None:
            self.data = self._bytes()
        if self._opening.is_ready():
            return self._opening.next()
        try:
            async for data in self.data:
                self.came.append(data)
                self._opening.feed(data)
                if self._opening.is_ready():
                    break
        except self._library.RequestError as error:
            self._breaks_off(error)
        return self._opening.next()

    def pieces(self, exchange: Exchange) -> AsyncPiped:
        """The stream, each event taken through the exchange."""
        rest: AsyncIterator[bytes] = self._bytes() if self.data is None else self.data
        if self._cut is not None:
            rest = Failing(self._cut)
        return AsyncPiped(self.came, rest, BytePieces(self._pipe(exchange)))

    async def close(self) -> None:
        """Release the connection, whether or not the stream was read to its end."""
        if hasattr(self.data, "aclose"):
            with suppress(RuntimeError):  # another task is waiting in it
                await self.data.aclose()
        await self.response.aclose()

"""An answer that is arriving on the wire, read raw so that untouched bodies keep their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from itertools import chain
from types import ModuleType
from typing import Any

from batchwrap.adapters.events import EventPipe, Opening, Pipe, through
from batchwrap.adapters.pieces import AsyncPiped, Failing
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.formats import sse
from batchwrap.core.formats.format import Body
from batchwrap.core.parse import parsed_object

# What is of interest in a stream that is handed out as it comes: what was used, and refusals.
_TELLING = (b'"usage"', b'"error"')


class Tap:
    """Looks at a stream that is handed out as it comes, for what it says about usage and errors."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = sse.Splitter()

    def feed(self, data: bytes) -> bytes:
        """The bytes themselves, at once."""
        with self._exchange.guard.step("event"):
            for event in self._splitter.feed(data):
                self._look(event)
        return data

    def finish(self) -> bytes:
        """Nothing: all was handed out."""
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
        exchange: what it is an answer in.
    """

    def __init__(self, response: Any, library: ModuleType, exchange: Exchange) -> None:
        self.response = response
        self.raw: bytes | None = None  # of a plain answer, once it is read
        self.came: list[bytes] = []  # of a stream whose first events were looked at
        self.data: Any = None  # the rest of it
        self._library = library
        self._exchange = exchange
        self._opening = Opening(exchange.guard)
        self._cut: Exception | None = None  # what has ended a stream behind its first events

    @property
    def head(self) -> Head:
        """Status and headers."""
        headers = self.response.headers
        kind = headers.get("content-type", "").lower()
        # Some gateways send events under another type, or none; SDKs do not look at it.
        other = "json" in kind or "html" in kind
        is_stream = kind.startswith("text/event-stream") or (self._exchange.streams and not other)
        return Head(self.response.status_code, headers, is_stream)

    @property
    def is_decoded(self) -> bool:
        """Whether the library knows the body's encoding; else it stays as it came."""
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
        """Whether a stream is handed out in other bytes than it came in."""
        encoded = "content-encoding" in self.response.headers
        return self.is_decoded and (encoded or self._exchange.is_translated)

    @property
    def _is_plain(self) -> bool:
        """Whether a stream's bytes are handed out by the library as they came."""
        response = self.response
        return "content-encoding" not in response.headers and not response.is_stream_consumed

    def _breaks_off(self, error: Exception) -> None:
        """The connection is lost: what came is handed out first."""
        if not self.came:
            raise error
        self._cut = error

    def _rest(self) -> Iterator[bytes]:
        """What follows the first events if the connection was lost there: the error."""
        if self._cut is not None:
            raise self._cut
        yield from ()

    def _pipe(self, exchange: Exchange) -> Pipe | None:
        if not self.is_decoded:
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

        The rest of a stream is not read: nothing tells a thread whether it ends soon.
        """
        if self.raw is None and self.data is None:
            self.raw = b"".join(self.response.stream)
        return self._decoded()

    def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one."""
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

    def pieces(self, exchange: Exchange) -> Generator[bytes]:
        """The stream, each event taken through the exchange."""
        rest = self._bytes() if self.data is None else self.data
        return through(self._pipe(exchange), chain(self.came, self._rest(), rest))

    def close(self) -> None:
        """Let go of the connection."""
        self.response.close()


class AsyncWireResponse(_WireResponse):
    """For tasks."""

    def _bytes(self) -> AsyncIterator[bytes]:
        """The stream, decoded. Where nothing is encoded the library has nothing to do."""
        return aiter(self.response.stream) if self._is_plain else self.response.aiter_bytes()

    async def read(self) -> WholeBody:
        """The whole body, decoded; of a stream that was begun, its rest is read and dropped."""
        if self.data is not None:
            with suppress(self._library.RequestError):
                async for _ in self.data:
                    pass
        elif self.raw is None:
            self.raw = b"".join([data async for data in self.response.stream])
        return self._decoded()

    async def first(self) -> Body | None:
        """The first event of a stream, decoded, and with each call the next one."""
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
        pipe = self._pipe(exchange)

        def feed(data: bytes) -> tuple[bytes, ...]:
            out = pipe.feed(data) if pipe is not None else data
            return (out,) if out else ()

        def finish() -> tuple[bytes, ...]:
            out = pipe.finish() if pipe is not None else b""
            return (out,) if out else ()

        rest: AsyncIterator[bytes] = self._bytes() if self.data is None else self.data
        if self._cut is not None:
            rest = Failing(self._cut)
        return AsyncPiped(self.came, rest, feed, finish)

    async def close(self) -> None:
        """Let go of the connection, read to its end or not."""
        if hasattr(self.data, "aclose"):
            with suppress(RuntimeError):  # another task is waiting in it
                await self.data.aclose()
        await self.response.aclose()

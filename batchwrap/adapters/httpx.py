"""The wire for httpx."""

from __future__ import annotations

from batchwrap.adapters import wire
from batchwrap.errors import MissingExtraError

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx", extra="httpx") from error


class SyncStream(wire.SyncStream, httpx.SyncByteStream):
    """The body of a streamed response."""


class AsyncStream(wire.AsyncStream, httpx.AsyncByteStream):
    """The body of a streamed response."""


class Transport(wire.SyncWire, httpx.BaseTransport):
    """A transport that sends by the client's own transport."""

    library = httpx
    stream_type = SyncStream


class AsyncTransport(wire.AsyncWire, httpx.AsyncBaseTransport):
    """A transport that sends by the client's own transport."""

    library = httpx
    stream_type = AsyncStream

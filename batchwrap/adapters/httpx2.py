"""The wire bound to httpx2."""

from __future__ import annotations

from batchwrap.adapters import wire
from batchwrap.errors import MissingExtraError

try:
    import httpx2
except ImportError as error:
    raise MissingExtraError("httpx2", extra="httpx2") from error


class SyncStream(wire.SyncStream, httpx2.SyncByteStream):
    """The body of a streamed response."""


class AsyncStream(wire.AsyncStream, httpx2.AsyncByteStream):
    """The body of a streamed response."""


class Transport(wire.SyncWire, httpx2.BaseTransport):
    """A transport that sends by the client's own transport."""

    library = httpx2
    stream_type = SyncStream


class AsyncTransport(wire.AsyncWire, httpx2.AsyncBaseTransport):
    """A transport that sends by the client's own transport."""

    library = httpx2
    stream_type = AsyncStream

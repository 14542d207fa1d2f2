"""The wire bound to httpx2."""

from __future__ import annotations

from batchwrap.adapters import wire
from batchwrap.errors import MissingExtraError

try:
    import httpx2
except ImportError as error:
    raise MissingExtraError("httpx2", extra="httpx2") from error


class SyncStream(wire.SyncStream, httpx2.SyncByteStream):
    """A streamed body."""


class AsyncStream(wire.AsyncStream, httpx2.AsyncByteStream):
    """A streamed body."""


class Transport(wire.SyncWire, httpx2.BaseTransport):
    """A transport around a client's own."""

    library = httpx2
    stream_type = SyncStream


class AsyncTransport(wire.AsyncWire, httpx2.AsyncBaseTransport):
    """A transport around a client's own."""

    library = httpx2
    stream_type = AsyncStream

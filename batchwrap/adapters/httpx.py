"""The wire bound to httpx."""

from __future__ import annotations

from batchwrap.adapters import wire
from batchwrap.errors import MissingExtraError

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx", extra="httpx") from error


class SyncStream(wire.SyncStream, httpx.SyncByteStream):
    """A streamed body."""


class AsyncStream(wire.AsyncStream, httpx.AsyncByteStream):
    """A streamed body."""


class Transport(wire.SyncWire, httpx.BaseTransport):
    """A transport around a client's own."""

    library = httpx
    stream_type = SyncStream


class AsyncTransport(wire.AsyncWire, httpx.AsyncBaseTransport):
    """A transport around a client's own."""

    library = httpx
    stream_type = AsyncStream

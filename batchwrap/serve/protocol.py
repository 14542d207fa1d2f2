"""The HTTP protocol of one connection: uvicorn's, with time limits and the API's errors.

uvicorn answers malformed requests in its own words, which SDKs cannot read, and waits without end
for the head of a request. Here errors have the form of the API; a connection that sends no complete
head within `HEAD_WITHIN_S` is closed; and a connection for which this process has not enough open
files gets a 503.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchwrap.serve.caller import Caller, error_content

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MALFORMED, TOO_SLOW, BUSY = "batchwrap_malformed_request", "batchwrap_too_slow", "batchwrap_busy"
HEAD_WITHIN_S = 30.0
_LINGER_S = 2.0  # how long a refused client has to read the error
# A connection needs one file, and its request to the upstream another. The rest of the process
# (the store, the log) gets its own.
_FILES_A_CONNECTION, _OTHER_FILES = 2, 64
_UNKNOWN_FILES = 1_024


class Protocol(H11Protocol):
    """One connection of a client."""

    def __init__(self, config: Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection; if there are too many, its requests get a 503."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self.app = _busy
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; after a refusal it is dropped."""
        if not self._is_refused:
            super().data_received(data)
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        super().connection_lost(exc)
        self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer a client whose request is not HTTP."""
        self._refuse(400, f"{msg} Or its head is too large.", MALFORMED)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the application answers a request for another protocol."""

    def _wait_for_head(self) -> None:
        """Start the timer for a head that is not complete, or stop it if there is none."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._refuse(408, "The head of the request did not come in time.", TOO_SLOW)

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Send an error and close, unless the application has begun to answer."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            status, content = error_content(status, message, code)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"connection", b"close"),
            ]
            response = h11.Response(status_code=status, headers=headers)
            for event in (response, h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._is_refused = True
        self._stop_waiting()
        # If a client is still sending, closing at once would reset the connection, and the client
        # would lose the answer that it has not read yet.
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def most_connections() -> int:
    """The number of clients that may be connected, given the open files of this process."""
    files = _UNKNOWN_FILES
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        files = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    return max((files - _OTHER_FILES) // _FILES_A_CONNECTION, 1)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    message = "Too many connections are open for the open files that this process may have."
    headers = [(b"retry-after", b"1"), (b"connection", b"close")]
    await Caller(scope, receive, send).fail(503, message, BUSY, headers)

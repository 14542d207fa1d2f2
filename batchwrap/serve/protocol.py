"""HTTP on a socket: what uvicorn leaves to its own words is told in the API's, and nobody hangs.

A connection that does not send the head of a request within `HEAD_WITHIN_S` is closed, and one
above the number that fits this process's open files is told so.
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
_LINGER_S = 2.0
# A connection needs a file, and so does its request to the upstream; these are for all else.
_FILES_A_CONNECTION, _OTHER_FILES = 2, 64
_UNKNOWN_FILES = 1_024


class Protocol(H11Protocol):
    """One connection of a client."""

    def __init__(self, config: Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self.app = _busy
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if not self._is_refused:  # what it still sends is read, and is nobody's business
            super().data_received(data)
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Tell the client that it speaks no HTTP."""
        self._refuse(400, f"{msg} Or its head is too large.", MALFORMED)

    def _unsupported_upgrade_warning(self) -> None:
        """It is answered by the application."""

    def _wait_for_head(self) -> None:
        """Watch over a head that is not complete, from its first byte on."""
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
        """Answer in place of the application, unless that has begun to, and hang up."""
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
        # Closing at once would reset the connection of a client that still sends, and with it
        # the answer that the client has not read yet.
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def most_connections() -> int:
    """How many clients may be connected at once, by the open files that this process may have."""
    files = _UNKNOWN_FILES
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        files = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    return max((files - _OTHER_FILES) // _FILES_A_CONNECTION, 1)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    message = "Too many connections are open for the open files that this process may have."
    headers = [(b"retry-after", b"1"), (b"connection", b"close")]
    await Caller(scope, receive, send).fail(503, message, BUSY, headers)

"""The client at the other end of a connection: what it sends, what it gets, whether it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from batchwrap.serve.headers import Headers as Pairs

_OURS = 500  # from here on it is not the client's fault


class ClientGone(Exception):
    """The client hung up before it had sent its whole request."""


class Caller:
    """One request of a client, and the way back to it.

    Attributes:
        method: the HTTP method.
        path: to the byte.
        query: the same, without its question mark.
        headers: by name, in any case.
        answered: whether a status was sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers = Headers(scope=scope)
        self.answered = False
        self._receive = receive
        self._send = send
        self._read = anyio.Event()

    @property
    def has_body(self) -> bool:
        """Whether the headers announce a body."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON, as the headers say."""
        return self.has_body and "json" in self.headers.get("content-type", "").lower()

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes in, once.

        Raises:
            ClientGone: the client hung up in the middle of it.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if data := message.get("body", b""):
                yield data
        self._read.set()

    async def gone(self) -> None:
        """Return when the client has hung up; its body has to be read first, by `body`."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Pairs) -> None:
        """Send the status and the headers."""
        self.answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The body is complete."""
        await self._send({"type": "http.response.body"})

    async def fail(self, status: int, message: str, code: str) -> None:
        """Send an error in the form of OpenAI's."""
        kind = "server_error" if status >= _OURS else "invalid_request_error"
        fields = {"message": message, "type": kind, "param": None, "code": code}
        content = orjson.dumps({"error": fields})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await self.start(status, headers)
        await self.piece(content)
        await self.end()

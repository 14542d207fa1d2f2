"""The client of a request: reads what it sends, answers it, and notices when it disconnects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import anyio
import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from batchwrap.core.formats.api_errors import ApiError, ErrorForm, openai_error
from batchwrap.core.formats.endpoints import errors_at
from batchwrap.serve.proxy_headers import Headers as Pairs

BODY_WITHIN_S = 60.0  # the longest time between two pieces of a body
# The statuses after which clients may send the same request again.
_PASSING = frozenset({503})


class TooLarge(Exception):
    """The client's body is larger than it may be."""


class TooSlow(Exception):
    """The client has stopped in the middle of its body."""


class ClientGone(Exception):
    """The client disconnected before it had sent its whole request."""


class Caller:
    """One request of a client, and its answer.

    Attributes:
        method: the HTTP method.
        path: the path's bytes, as the client wrote them.
        query: the query's bytes, without the question mark.
        headers: the headers by name, in upper or lower case.
        answered: whether the status was sent.
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
    def is_smuggled(self) -> bool:
        """Whether two headers disagree about where the body ends (request smuggling).

        The upstream may believe the other one, and take the rest of the body for a request.
        """
        return "content-length" in self.headers and "transfer-encoding" in self.headers

    @property
    def wants_websocket(self) -> bool:
        """Whether the client asks for another protocol."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def is_json(self) -> bool:
        """Whether the headers say that the body is JSON."""
        return self.has_body and "json" in self.headers.get("content-type", "").lower()

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives; it can be read once.

        Raises:
            ClientGone: the client disconnected in the middle of it.
            TooSlow: nothing more arrived for `BODY_WITHIN_S`.
        """
        more = True
        while more:
            with anyio.move_on_after(BODY_WITHIN_S) as waiting:
                message = await self._receive()
            if waiting.cancelled_caught:
                raise TooSlow
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if data := message.get("body", b""):
                yield data
        self._read.set()

    async def whole_body(self, limit: int) -> bytes:
        """The body in one piece.

        Raises:
            TooLarge: it has more bytes than the limit, or says so in its header.
        """
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise TooLarge
        pieces, size = [], 0
        async for data in self.body():
            size += len(data)
            if size > limit:
                raise TooLarge
            pieces.append(data)
        return b"".join(pieces)

    async def gone(self) -> None:
        """Return when the client has disconnected. `body` has to be read before."""
        # ASGI has one queue for the body and the disconnect: this must not take away the body.
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
        """End the body."""
        await self._send({"type": "http.response.body"})

    async def fail(
        self, status: int, message: str, code: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send an error in the form of the API that the client speaks."""
        form = errors_at(self.path.decode(errors="replace"), self.headers)
        status, content = error_content(status, message, code, form)
        framing = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await self.start(status, [*framing, *headers])
        await self.piece(content)
        await self.end()


def error_content(
    status: int, message: str, code: str, form: ErrorForm = openai_error
) -> tuple[int, bytes]:
    """The status and the body of an error.

    If it is unknown whose client it is, OpenAI's form is used, with the outer `type` that
    Anthropic's clients read.
    """
    told = ApiError(status=status, message=message, code=code, is_passing=status in _PASSING)
    status, body = form(told)
    return status, orjson.dumps({"type": "error", **body})

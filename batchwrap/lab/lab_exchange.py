"""One HTTP request at the lab, from its first byte to its entry in the journal."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from batchwrap.lab.dialects import LabResponse
from batchwrap.lab.journal import Entry
from batchwrap.lab.rate_limits import RateLimitLedger, RateLimitRefusal, RateLimitReservation
from batchwrap.lab.simulated_provider import SimulatedProvider

T = TypeVar("T")

# nginx's status for a request whose client left before the response.
CLIENT_LEFT = 499
# Timers are not finer than the event loop's poll, so shorter waits are skipped.
_SHORTEST_SLEEP_S = 0.001
_GZIP = 16 + zlib.MAX_WBITS


class ClientDisconnected(Exception):
    """The client closed the connection before the response was complete."""


class LabExchange:
    """Reads a request, paces and writes its response, and records both when it ends.

    However the exchange ends, `end` runs once: it settles the reservation and writes the entry
    before the client has the last bytes. So a client that has its response finds the entry in the
    journal, and its unused tokens are given back.

    Attributes:
        body: the request's body.
        json: the parsed body; None if it is not JSON.
        params: the parameters in the path.
        stream, prompt_tokens, completion_tokens: values for the journal, which the endpoint's
            handler keeps up to date.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        provider: SimulatedProvider,
        threads: Executor,
        hang_up: Callable[[Any], None],
    ) -> None:
        self.body = b""
        self.json: Any = None
        self.params: dict[str, str] = scope.get("path_params", {})
        self.stream = False
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._request = Request(scope, receive)
        self._send = send
        self._provider = provider
        self._threads = threads
        self._hang_up = hang_up
        self._started_s = provider.clock.now()
        self._status = CLIENT_LEFT
        self._reserved: tuple[RateLimitLedger, RateLimitReservation] | None = None
        self._gzip: Any = None
        self._gone = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._ended = False
        provider.journal.begin()

    # Reading

    async def read(self) -> None:
        """Read the body, and then watch for a client that disconnects."""
        try:
            self.body = await self._request.body()
        except ClientDisconnect:
            raise ClientDisconnected from None
        try:
            self.json = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            self.json = None
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        # After the body, ASGI's queue has only the disconnect.
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    @functools.cached_property
    def headers(self) -> dict[str, str]:
        """The request's headers by lower-case name."""
        found: dict[str, str] = {}
        for name, value in self._request.headers.items():
            # Repeated headers are joined as RFC 9110 (5.3) allows.
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The request's headers as they came, with names in lower case."""
        return self._request.headers.raw

    # Limits

    def admit(self, ledger: RateLimitLedger, tokens: float) -> RateLimitRefusal | None:
        """Reserve tokens until the end of the exchange, or return the refusal."""
        outcome = ledger.reserve(self._provider.clock.now(), tokens)
        if isinstance(outcome, RateLimitRefusal):
            return outcome
        self._reserved = ledger, outcome
        return None

    def limit_headers(self) -> dict[str, str]:
        """The rate-limit headers of an admitted request."""
        if self._reserved is None:
            return {}
        standings = self._reserved[0].standings(self._provider.clock.now())
        return self._provider.voice.headers(standings, self._provider.time_scale)

    # Time

    async def wait_until(self, due_s: float) -> None:
        """Wait until a time in provider seconds since the start.

        Raises:
            ClientDisconnected: the client left in the meantime.
        """
        clock = self._provider.clock
        delay_s = (due_s - clock.now()) / clock.scale
        if clock.skip is not None:  # a manual clock is advanced; nothing really waits
            clock.skip(max(0.0, delay_s))
            await asyncio.sleep(0)
        elif delay_s < _SHORTEST_SLEEP_S:
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(delay_s):
                    await self._gone.wait()
            except TimeoutError:
                return
        self._check_client()

    async def in_thread(self, function: Callable[[Any], T], argument: Any) -> T:
        """Call a function that may take long, in a thread.

        Raises:
            ClientDisconnected: the client left in the meantime.
        """
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._threads, function, argument)
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not call.done():  # a thread cannot be stopped; its result is dropped
            call.cancel()
            raise ClientDisconnected
        return await call

    def _check_client(self) -> None:
        if self._gone.is_set():
            raise ClientDisconnected

    # Writing

    async def respond(self, answer: LabResponse) -> None:
        """Send a complete response as JSON."""
        await self.respond_bytes(answer.status, answer.headers, orjson.dumps(answer.body))

    async def respond_bytes(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send JSON text as the whole response."""
        sent = {"content-type": "application/json", **headers}
        if self._takes_gzip():
            sent["content-encoding"] = "gzip"
            packer = zlib.compressobj(wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
        await self.respond_exactly(status, _encoded(sent), body)

    async def respond_exactly(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send a whole response with these headers and `content-length`."""
        self._check_client()
        self._status = status
        self.end(cancelled=False)  # before the head, since many clients read no further
        length = (b"content-length", str(len(body)).encode())
        await self._send_head(status, [*headers, length])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start_stream(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of events with status 200."""
        sent = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        if self._takes_gzip():
            sent["content-encoding"] = "gzip"
            self._gzip = zlib.compressobj(wbits=_GZIP)
        await self.start(200, _encoded({**sent, **headers}))

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin a response with exactly these headers."""
        self._check_client()
        self._status = status
        await self._send_head(status, headers)

    async def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        message = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await self._send(message)

    async def write(self, data: bytes) -> None:
        """Send a part of the body.

        Raises:
            ClientDisconnected: the client left.
        """
        await asyncio.sleep(0)  # lets the loop notice a client that left, and serve others
        self._check_client()
        if self._gzip is not None:
            # Flushed at each event, or the client would get a stream's events all at once.
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes) -> None:
        """Send the last part of a stream."""
        self._check_client()
        self.end(cancelled=False)
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def hang_up(self) -> None:
        """Close the connection without ending the response."""
        self._hang_up(self._request.scope["client"])
        await self._gone.wait()

    def _takes_gzip(self) -> bool:
        return self._provider.gzip and "gzip" in self.headers.get("accept-encoding", "")

    # The end

    def end(self, *, cancelled: bool) -> None:
        """Settle and write the entry; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        now_s = self._provider.clock.now()
        if self._reserved is not None:
            ledger, reservation = self._reserved
            # A failed request costs nothing. A client that left pays for what was generated.
            failed = self._status >= 400 and self._status != CLIENT_LEFT
            used = 0 if failed else self.prompt_tokens + self.completion_tokens
            ledger.settle(now_s, reservation, used)
        self._provider.journal.end(
            Entry(
                method=self._request.method,
                path=self._request.scope["path"],
                query=self._request.scope["query_string"].decode("latin-1"),
                headers=self.headers,
                body=self.body,
                json=self.json,
                status=self._status,
                prompt_tokens=self.prompt_tokens,
                completion_tokens=self.completion_tokens,
                started_s=self._started_s,
                ended_s=now_s,
                stream=self.stream,
                cancelled=cancelled,
            )
        )

    def close(self) -> None:
        """Close the connection."""
        self.end(cancelled=True)
        if self._watcher is not None:
            self._watcher.cancel()


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

"""uvicorn in a daemon thread, on a free port of the loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import uvicorn
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchwrap.lab import completions, generating, other_endpoints
from batchwrap.lab.dialects import error
from batchwrap.lab.lab_exchange import ClientDisconnected, LabExchange
from batchwrap.lab.rate_limits import RateLimitLedger
from batchwrap.lab.simulated_provider import SimulatedProvider

Handler = Callable[[LabExchange, SimulatedProvider, RateLimitLedger], Awaitable[None]]

_VERTEX = "/v1/projects/{project}/locations/{region}/publishers/anthropic/models"
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/v1/chat/completions", completions.complete),
    ("POST", "/v1/embeddings", other_endpoints.embeddings),
    ("POST", "/v1/completions", generating.completions),
    ("POST", "/v1/responses", generating.responses),
    ("POST", "/v1/messages", generating.messages),
    ("POST", "/v1/messages/count_tokens", generating.count_messages),
    ("POST", "/v1/responses/input_tokens", generating.count_responses),
    ("POST", "/v1/echo", other_endpoints.echo),
    ("GET", "/v1/models", other_endpoints.models),
    # Azure's paths, old and new; the new ones are Groq's, too.
    ("POST", "/openai/deployments/{name}/chat/completions", completions.complete),
    ("POST", "/openai/v1/chat/completions", completions.complete),
    ("POST", "/openai/v1/responses", generating.responses),
    ("POST", "/openai/responses", generating.responses),
    ("POST", "/openai/deployments/{name}/embeddings", other_endpoints.embeddings),
    # Anthropic's models at Google and at Amazon.
    ("POST", f"{_VERTEX}/count-tokens:rawPredict", generating.count_messages),
    ("POST", f"{_VERTEX}/{{name}}:rawPredict", generating.hosted_messages),
    ("POST", f"{_VERTEX}/{{name}}:streamRawPredict", generating.hosted_messages),
    ("POST", "/model/{name:path}/invoke", generating.hosted_messages),
    ("POST", "/model/{name:path}/invoke-with-response-stream", generating.framed_messages),
)
# Models may block, so each running model call has a thread.
_MODEL_THREADS = 64
_START_WITHIN_S = 30.0
_STOP_WITHIN_S = 10.0


class LoopbackServer(uvicorn.Server):
    """uvicorn, stopped by an event; its own loop polls ten times a second."""

    def __init__(self, provider: SimulatedProvider, on_connection: Callable[[], None]) -> None:
        self._transports: dict[Any, asyncio.Transport] = {}
        self._threads = ThreadPoolExecutor(_MODEL_THREADS, "batchwrap-lab-model")
        self._stopping = asyncio.Event()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        super().__init__(
            uvicorn.Config(
                self._app(provider),
                http=_protocol(self._transports, on_connection),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=60,
            )
        )
        # The protocol is named, or asyncio leaves Nagle's algorithm on: 40 ms a response.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(
            target=self._run, name=f"batchwrap-lab-{self.port}", daemon=True
        )
        self._thread.start()
        try:
            self._loop = self._ready.result(_START_WITHIN_S)
        except BaseException:
            self._listener.close()
            raise

    def stop(self) -> None:
        """Close all connections and wait until the thread ends."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_WITHIN_S)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            asyncio.run(self.serve(sockets=[self._listener]))
        except BaseException as failure:
            if self._ready.done():
                raise
            self._ready.set_exception(failure)  # raised by the thread that starts the lab

    async def main_loop(self) -> None:
        """Serve until told to stop (uvicorn's own asks ten times a second)."""
        self._ready.set_result(asyncio.get_running_loop())
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut all connections (uvicorn's own waits for the running requests)."""
        for server in self.servers:
            server.close()
        for transport in list(self._transports.values()):
            transport.abort()  # running requests notice that their client left, and end
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _app(self, provider: SimulatedProvider) -> ASGIApp:
        def endpoint(handler: Handler) -> ASGIApp:
            return _Endpoint(handler, provider, self._threads, self._close_connection)

        routes = [
            Route(path, endpoint(handler), methods=[method]) for method, path, handler in _ROUTES
        ]
        return Router(routes, redirect_slashes=False, default=endpoint(other_endpoints.unknown))

    def _close_connection(self, client: Any) -> None:
        transport = self._transports.get(client)
        if transport is not None:
            transport.close()


class _Endpoint:
    """One handler as an ASGI application."""

    def __init__(
        self,
        handler: Handler,
        provider: SimulatedProvider,
        threads: ThreadPoolExecutor,
        hang_up: Callable[[Any], None],
    ) -> None:
        self._handler = handler
        self._provider = provider
        self._threads = threads
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = LabExchange(
            scope,
            receive,
            send,
            provider=self._provider,
            threads=self._threads,
            hang_up=self._hang_up,
        )
        try:
            await exchange.read()
            ledger = self._provider.ledger(exchange.headers)
            if ledger is None:
                wrong = error(401, "Incorrect API key provided.", code="invalid_api_key")
                await exchange.respond(wrong)
            else:
                await self._handler(exchange, self._provider, ledger)
        except ClientDisconnected:
            pass
        finally:
            exchange.close()


def _protocol(
    transports: dict[Any, asyncio.Transport], on_connection: Callable[[], None]
) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which also counts connections and keeps their transports."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            on_connection()
            self._peer = tuple(transport.get_extra_info("peername")[:2])
            transports[self._peer] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self._peer, None)
            super().connection_lost(exc)

    return Protocol

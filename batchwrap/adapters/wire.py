"""The wire: one implementation for httpx and httpx2, which are built alike.

`batchwrap.adapters.httpx` and `.httpx2` bind these classes to the types of one library.
What a caller of the client sees survives: the types, timeouts, proxies, hooks and pools
are those of the client's own transport, which does the sending.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from itertools import chain
from types import ModuleType, TracebackType
from typing import Any, Self

import orjson

from batchwrap.adapters.events import EventPipe, FirstEvent, render_all
from batchwrap.adapters.keys import origin_of, with_key
from batchwrap.adapters.marker import is_translated
from batchwrap.core.chat import Body
from batchwrap.core.exchange import AnswerLocally, Exchange, Head, Respond
from batchwrap.core.repair.faults import CONTEXT_CODE
from batchwrap.core.views.deliver import LocalAnswer
from batchwrap.directives import Mode
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import sent
from batchwrap.engine import Engine
from batchwrap.errors import (
    BatchwrapError,
    ContextLimitExceeded,
    LimitExceeded,
    QuotaExhausted,
    RequestTooLarge,
    StoreUnavailable,
)
from batchwrap.modes import as_mode

_CHAT = "/chat/completions"
_MODE = "x-batchwrap-mode"
_ATTEMPT = "x-stainless-retry-count"  # how often the SDK has tried before
_SIGNED = "aws4-hmac-sha256"
_FRAMING = ("content-length", "transfer-encoding")
_ENCODING = ("content-encoding", "content-length")


class _Wire:
    """What both transports share. `library` is httpx or httpx2."""

    library: ModuleType

    def __init__(self, inner: Any, engine: Engine, *, retries: bool) -> None:
        self.inner = inner
        self.engine = engine
        self._retries = retries  # whether refusals are retried here

    def __getattr__(self, name: str) -> Any:
        # Pools, proxies and the like: whoever looks for them finds the inner transport's.
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _chat_body(self, request: Any) -> Body | None:
        """The body of a request that is our business, else None."""
        body = None if is_translated() else self._readable(request)
        if body is None:
            self.engine.passed_through()
        return body

    def _readable(self, request: Any) -> Body | None:
        headers = request.headers
        if request.method != "POST" or not request.url.path.endswith(_CHAT):
            return None
        if "content-encoding" in headers or not isinstance(request.stream, self.library.ByteStream):
            return None  # compressed, or an upload that can be read only once
        if headers.get("authorization", "").lower().startswith(_SIGNED):
            return None  # the signature covers the body: it must stay as it was signed
        return _object(b"".join(request.stream))

    def _told(self, request: Any) -> tuple[Any, Mode | None]:
        """The request without the header that tells the mode, and the mode."""
        told = request.headers.get(_MODE)
        if told is None:
            return request, None
        headers = [pair for pair in request.headers.raw if pair[0].lower() != _MODE.encode()]
        bare = self.library.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return bare, as_mode(told)

    def _request(self, request: Any, body: Body | None, api_key: str | None) -> Any:
        if body is None and api_key is None:
            return request
        headers = [pair for pair in request.headers.raw if pair[0].lower() not in _RAW_FRAMING]
        content = b"".join(request.stream) if body is None else orjson.dumps(body)
        return self.library.Request(
            request.method,
            request.url,
            headers=with_key(headers, api_key),
            content=content,
            extensions=request.extensions,
        )

    def _response(self, incoming: _Incoming, respond: Respond, request: Any) -> Any:
        response, body = incoming.response, respond.body
        headers = response.headers.copy()
        content = incoming.raw or b""
        if body is not None or respond.chunks is not None:
            for name in (*_ENCODING, *_FRAMING):
                headers.pop(name, None)
            kind = "application/json" if respond.chunks is None else "text/event-stream"
            headers["content-type"] = kind
            content = orjson.dumps(body) if respond.chunks is None else render_all(respond.chunks)
            headers["content-length"] = str(len(content))
        if respond.gave_up and self._retries:
            headers["x-should-retry"] = "false"
        elif respond.retry and request.headers.get(_ATTEMPT) == "0":
            headers["x-should-retry"] = "true"
        return self.library.Response(
            respond.status or response.status_code,
            headers=headers,
            stream=self.library.ByteStream(content),
            extensions=response.extensions,
        )

    def _stream_response(self, incoming: _Incoming, stream: Any) -> Any:
        headers = incoming.response.headers.copy()
        if incoming.is_decoded:
            for name in _ENCODING:
                headers.pop(name, None)
        return self.library.Response(
            incoming.response.status_code,
            headers=headers,
            stream=stream,
            extensions=incoming.response.extensions,
        )

    def _local(self, answer: LocalAnswer, request: Any) -> Any:
        """A local answer in the provider's form, marked by a header of ours."""
        asked = _object(b"".join(request.stream)) or {}
        if asked.get("stream"):
            options = asked.get("stream_options")
            with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
            kind, content = "text/event-stream", render_all(answer.chunks(with_usage=with_usage))
        else:
            kind, content = "application/json", orjson.dumps(answer.completion())
        headers = {"content-type": kind, "x-batchwrap-served": "local"}
        return self.library.Response(200, headers=headers, content=content)

    def _refused(self, error: LimitExceeded | StoreUnavailable) -> Any:
        """A refusal of ours in the provider's form, so that the SDK raises its own error."""
        status, kind, code = _REFUSALS[type(error)]
        body = {"error": {"message": str(error), "type": kind, "param": None, "code": code}}
        headers = {"content-type": "application/json", "x-should-retry": "false"}
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            headers["retry-after"] = f"{retry_after_s:.3f}"
        return self.library.Response(status, headers=headers, content=orjson.dumps(body))

    def _too_large(self, error: ContextLimitExceeded) -> Any:
        """The same for a request that the model's context cannot hold."""
        fields = {"message": str(error), "type": "invalid_request_error", "param": "messages"}
        body = {"error": {**fields, "code": CONTEXT_CODE}}
        headers = {"content-type": "application/json", "x-should-retry": "false"}
        return self.library.Response(400, headers=headers, content=orjson.dumps(body))


# Status, type and code of each error of ours, as SDKs read them.
_REFUSALS: dict[type[BatchwrapError], tuple[int, str, str]] = {
    LimitExceeded: (429, "rate_limit_error", "batchwrap_limit_exceeded"),
    QuotaExhausted: (429, "rate_limit_error", "batchwrap_quota_exhausted"),
    RequestTooLarge: (413, "invalid_request_error", "batchwrap_request_too_large"),
    StoreUnavailable: (503, "server_error", "batchwrap_store_unavailable"),
}
_RAW_FRAMING = tuple(name.encode() for name in _FRAMING)


class SyncWire(_Wire):
    """The transport for threads."""

    stream_type: type[Any]

    def handle_request(self, request: Any) -> Any:
        """Send a request, through the exchange if it is a chat completion."""
        request, mode = self._told(request)
        asked = self._chat_body(request)
        if asked is None:
            return self.inner.handle_request(request)

        def send(body: Body | None, api_key: str | None) -> _SyncIncoming:
            made = self._request(request, body, api_key)
            response = self.inner.handle_request(made)
            return _SyncIncoming(response, self.library, call.exchange)

        call = self.engine.call(asked, origin_of(request), mode=mode)
        try:
            answer = sync.run(call.exchange, send, gate=call.gate, on_end=call.ended)
        except (LimitExceeded, StoreUnavailable) as error:
            return self._refused(error)
        except ContextLimitExceeded as error:
            return self._too_large(error)
        if isinstance(answer.outcome, AnswerLocally):
            return self._local(answer.outcome.answer, request)
        if isinstance(answer.outcome, Respond):
            return self._response(sent(answer.incoming), answer.outcome, request)
        return self._stream_response(sent(answer.incoming), self.stream_type(answer.outcome))

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.inner.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the client's own transport."""
        self.inner.close()


class AsyncWire(_Wire):
    """The transport for tasks."""

    stream_type: type[Any]

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request, through the exchange if it is a chat completion."""
        request, mode = self._told(request)
        asked = self._chat_body(request)
        if asked is None:
            return await self.inner.handle_async_request(request)

        async def send(body: Body | None, api_key: str | None) -> _AsyncIncoming:
            made = self._request(request, body, api_key)
            response = await self.inner.handle_async_request(made)
            return _AsyncIncoming(response, self.library, call.exchange)

        call = self.engine.call(asked, origin_of(request), mode=mode)
        try:
            answer = await tasks.run(call.exchange, send, gate=call.gate, on_end=call.ended)
        except (LimitExceeded, StoreUnavailable) as error:
            return self._refused(error)
        except ContextLimitExceeded as error:
            return self._too_large(error)
        if isinstance(answer.outcome, AnswerLocally):
            return self._local(answer.outcome.answer, request)
        if isinstance(answer.outcome, Respond):
            return self._response(sent(answer.incoming), answer.outcome, request)
        return self._stream_response(sent(answer.incoming), self.stream_type(answer.outcome))

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Close the client's own transport."""
        await self.inner.aclose()


class _Incoming:
    """A response of the inner transport, read raw so that untouched bodies keep their bytes."""

    def __init__(self, response: Any, library: ModuleType, exchange: Exchange) -> None:
        self.response = response
        self.raw: bytes | None = None  # of a plain answer, once it is read
        self.came: list[bytes] = []  # of a stream whose first event was looked at
        self.data: Any = None  # the rest of it
        self._library = library
        self._exchange = exchange

    @property
    def head(self) -> Head:
        headers = self.response.headers
        kind = headers.get("content-type", "").lower()
        # Some gateways send events under another type, or none; SDKs do not look at it.
        other = "json" in kind or "html" in kind
        is_stream = kind.startswith("text/event-stream") or (self._exchange.streams and not other)
        return Head(self.response.status_code, headers, is_stream)

    @property
    def is_decoded(self) -> bool:
        """Whether the library knows the body's encoding; else it stays as it came."""
        encoding, probe = self.response.headers.get("content-encoding"), b"?"
        if encoding is None:
            return True
        headers = {"content-encoding": encoding}
        try:
            return bool(
                self._library.Response(200, headers=headers, content=probe).content != probe
            )
        except self._library.DecodingError:
            return True

    def _decoded(self) -> Body | None:
        raw = self.raw or b""
        if "content-encoding" not in self.response.headers:
            return self._exchange.read(raw)
        whole = self._library.Response(200, headers=self.response.headers, content=raw)
        return self._exchange.read(whole.content)


class _SyncIncoming(_Incoming):
    def read(self) -> Body | None:
        if self.data is None and self.raw is None:
            self.raw = b"".join(self.response.stream)
        return self._decoded()

    def first(self) -> Body | None:
        looking, self.data = FirstEvent(), self.response.iter_bytes()
        for data in self.data:
            self.came.append(data)
            if looking.feed(data):
                break
        return looking.event

    def pieces(self, exchange: Exchange) -> Generator[bytes]:
        pipe = EventPipe(exchange) if self.is_decoded else None
        for data in chain(self.came, self.data or self.response.iter_bytes()):
            if out := pipe.feed(data) if pipe is not None else data:
                yield out
        if pipe is not None and (out := pipe.finish()):
            yield out

    def close(self) -> None:
        self.response.close()


class _AsyncIncoming(_Incoming):
    async def read(self) -> Body | None:
        if self.data is None and self.raw is None:
            self.raw = b"".join([data async for data in self.response.stream])
        return self._decoded()

    async def first(self) -> Body | None:
        looking, self.data = FirstEvent(), self.response.aiter_bytes()
        async for data in self.data:
            self.came.append(data)
            if looking.feed(data):
                break
        return looking.event

    async def pieces(self, exchange: Exchange) -> AsyncGenerator[bytes]:
        pipe = EventPipe(exchange) if self.is_decoded else None
        async with aclosing(self.data or self.response.aiter_bytes()) as decoded:
            for data in self.came:
                if out := pipe.feed(data) if pipe is not None else data:
                    yield out
            async for data in decoded:
                if out := pipe.feed(data) if pipe is not None else data:
                    yield out
        if pipe is not None and (out := pipe.finish()):
            yield out

    async def close(self) -> None:
        await self.response.aclose()


class SyncStream:
    """The body of a streamed answer; iterating again goes on where the last one stopped."""

    def __init__(self, pieces: sync.Pieces) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Let go of the connection and settle."""
        self._pieces.close()


class AsyncStream:
    """The body of a streamed answer; iterating again goes on where the last one stopped.

    openai 3.x breaks off at the end marker and then iterates a second time to drain the
    connection; a stream that could be iterated once only would cost a new connection.
    """

    def __init__(self, pieces: tasks.AsyncPieces) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Let go of the connection and settle."""
        await self._pieces.aclose()


def _object(content: bytes) -> Body | None:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None

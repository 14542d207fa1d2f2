"""The wire: one implementation for httpx and httpx2, which have the same structure.

`batchwrap.adapters.httpx` and `.httpx2` bind these classes to the types of one library.
Requests are sent by the client's own transport, so its timeouts, proxies and connection pool stay
in use, and the caller sees the same types and hooks as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Self

from batchwrap.adapters import replies
from batchwrap.adapters.events import render_all
from batchwrap.adapters.keys import is_signed, origin_of, with_key
from batchwrap.adapters.marker import TRANSLATED_HEADER, is_translated
from batchwrap.adapters.wire_response import AsyncWireResponse, SyncWireResponse
from batchwrap.core.exchange.actions import AnswerLocally, Respond
from batchwrap.core.exchange.error_answers import NOT_UNDERSTOOD
from batchwrap.core.formats.endpoints import Endpoint, counted_at, endpoint_at, errors_at
from batchwrap.core.formats.format import Body
from batchwrap.core.parse import rendered
from batchwrap.directives import Mode
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import sent
from batchwrap.engine import Call, Engine
from batchwrap.errors import BatchwrapError, ClientClosed
from batchwrap.modes import as_mode
from batchwrap.throttle.signal import Waits

_MODE = "x-batchwrap-mode"
_OURS = (_MODE, TRANSLATED_HEADER)
_RAW_OURS = tuple(name.encode() for name in _OURS)
_ATTEMPT = "x-stainless-retry-count"  # the number of retries that the SDK has made
_SIGNED = (
    "batching and reminders are inactive for requests that are signed for AWS (SigV4), since the "
    "signature covers the body. Those are throttled, and otherwise left as they are; with an API "
    "key (bearer token) they are batched"
)
_FRAMING = ("content-length", "transfer-encoding")
_ENCODING = ("content-encoding", "content-length")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request to an endpoint that batchwrap handles.

    Attributes:
        request: the library's request, without the headers for batchwrap.
        body: the decoded body.
        endpoint: the API endpoint of its path.
        mode: the agent's mode according to a header; None without one.
    """

    request: Any
    body: Body
    endpoint: Endpoint
    mode: Mode | None


class _Wire:
    """The common part of the sync and async transports. `library` is httpx or httpx2.

    Args:
        inner: the client's own transport.
        engine: handles the requests.
        retries: whether refused requests are retried here.
        connection_error: the error class that the calling SDK raises without a connection.
    """

    library: ModuleType

    def __init__(
        self,
        inner: Any,
        engine: Engine,
        *,
        retries: bool,
        connection_error: Callable[..., Exception] | None = None,
    ) -> None:
        self.inner = inner
        self.engine = engine
        self._retries = retries
        self._connection_error = connection_error
        self._waits = Waits()

    def __getattr__(self, name: str) -> Any:
        # Code that looks for the connection pool or proxies finds those of the inner transport.
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _let_go(self) -> None:
        """End all waits of the client's requests, and the workers that run its scripts."""
        self._waits.close()
        self.engine.interpreter.close()

    def _declined(self, request: Any) -> Any:
        """The answer to a helper of an SDK that asks in another way if it is refused; else None."""
        helper = request.headers.get(_HELPER)
        if helper is None or not self.engine.translates or is_signed(request.headers):
            return None
        with self.engine.guard().step("read"):
            endpoint = endpoint_at(request.url.path)
            if endpoint is None or endpoint.format is None:
                return None
            body = self._body(request, endpoint)
            told = None if body is None else endpoint.format.declined(body, helper)
            return None if told is None else replies.declined(self.library, told)
        return None

    def _taken(self, request: Any, *, may_answer: bool) -> tuple[_Asked, Call] | None:
        """The request and its `Call`; None for a request that passes through."""
        with self.engine.guard().step("read"):
            asked = self._read(request)
            return None if asked is None else (asked, self._call(asked, may_answer=may_answer))
        return None

    def _counted(self, request: Any) -> Any:
        """The request to send where one is only counted: what would be sent; None: the request."""
        endpoint = counted_at(request.url.path) if request.method == "POST" else None
        is_done = is_translated() or TRANSLATED_HEADER in request.headers
        is_done = is_done or is_signed(request.headers)
        if endpoint is None or is_done or self.engine.is_off or not self.engine.translates:
            return None
        with self.engine.guard().step("request"):
            body = self._body(request, endpoint)
            mode = as_mode(request.headers.get(_MODE) or "")
            origin = origin_of(request)
            view = body and self.engine.counted(body, origin, endpoint=endpoint, mode=mode)
            content = endpoint.without_model(view) if view else None
            return self._with_content(self._bare(request), rendered(content)) if content else None
        return None

    def _read(self, request: Any) -> _Asked | None:
        endpoint = endpoint_at(request.url.path) if request.method == "POST" else None
        signed = endpoint is not None and is_signed(request.headers)
        if endpoint is not None and signed:
            endpoint = self._left(endpoint)
        body = None
        if endpoint is not None and not is_translated() and self.engine.serves(endpoint):
            body = self._body(request, endpoint)
        if endpoint is None or body is None:
            self.engine.passed_through()
            return None
        if signed:
            return _Asked(request, body, endpoint, None)
        # Another layer of ours in front has translated the request; it is still throttled here.
        told = {name: request.headers.get(name) for name in _OURS}
        if told[TRANSLATED_HEADER] is not None:
            endpoint = endpoint.translated
        return _Asked(self._bare(request), body, endpoint, as_mode(told[_MODE] or ""))

    def _left(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint for a signed request, of which nothing may be changed."""
        if endpoint.format is not None and self.engine.translates:
            self.engine.warn_once("signed", _SIGNED)
        return endpoint.untranslated.unpooled

    def _body(self, request: Any, endpoint: Endpoint) -> Body | None:
        headers = request.headers
        if "content-encoding" in headers or not isinstance(request.stream, self.library.ByteStream):
            return None  # compressed, or an upload that can be read only once
        return self.engine.read(b"".join(request.stream), endpoint)

    def _bare(self, request: Any) -> Any:
        """The request without the headers for batchwrap."""
        if not any(name in request.headers for name in _OURS):
            return request
        return self.library.Request(
            request.method,
            request.url,
            headers=[pair for pair in request.headers.raw if pair[0].lower() not in _RAW_OURS],
            stream=request.stream,
            extensions=request.extensions,
        )

    def _call(self, asked: _Asked, *, may_answer: bool) -> Call:
        return self.engine.call(
            asked.body,
            origin_of(asked.request),
            endpoint=asked.endpoint,
            may_answer=may_answer,
            retries=self._retries,
            mode=asked.mode,
            waits=self._waits,
        )

    def _request(self, asked: _Asked, call: Call, body: Body | None, api_key: str | None) -> Any:
        """The request to send; the agent's own if nothing is changed or encoding fails."""
        if body is None and api_key is None:
            return asked.request
        with call.exchange.guard.step("encode"):
            return self._changed(asked, call, body, api_key)
        call.exchange.withdraw()
        return asked.request

    def _changed(self, asked: _Asked, call: Call, body: Body | None, api_key: str | None) -> Any:
        # Only another `serve` reads the mark, and known providers are none.
        marked = body is not None and self.engine.translates and not call.is_known
        if body is None:
            content = b"".join(asked.request.stream)
        else:
            endpoint = asked.endpoint
            content = self.engine.written(endpoint.without_model(body), endpoint)
        return self._with_content(asked.request, content, api_key=api_key, marked=marked)

    def _with_content(
        self, request: Any, content: bytes, *, api_key: str | None = None, marked: bool = False
    ) -> Any:
        headers = request.headers
        changed = self.library.Request(
            request.method,
            request.url,
            headers=headers if api_key is None else with_key(headers.raw, api_key),
            stream=self.library.ByteStream(content),
            extensions=request.extensions,
        )
        changed.headers["content-length"] = str(len(content))
        if "transfer-encoding" in headers:
            del changed.headers["transfer-encoding"]
        if marked:
            changed.headers[TRANSLATED_HEADER] = "1"
        changed.read()  # as the agent's own request, whose content is there to look at
        return changed

    def _failed(self, error: BatchwrapError, request: Any) -> Any:
        """An error of batchwrap as a response, or as an exception that the SDK understands."""
        form = errors_at(request.url.path, request.headers)
        told = replies.refused(self.library, error, form)
        if told is not None:
            return told
        if isinstance(error, ClientClosed):
            # The SDK raises its own error at once; after the library's it would retry.
            kind = self._connection_error or self.library.ConnectError
            raise kind(message=str(error), request=request) from error
        raise error

    def _response(
        self, incoming: SyncWireResponse | AsyncWireResponse, respond: Respond, request: Any
    ) -> Any:
        response, content = incoming.response, self._content(respond)
        made = self.library.Response(
            response.status_code if content is None else respond.status or response.status_code,
            headers=response.headers,
            stream=self.library.ByteStream((incoming.raw or b"") if content is None else content),
            extensions=response.extensions,
        )
        headers = made.headers
        if content is not None:  # else the provider's own bytes, which its headers still fit
            for name in (*_ENCODING, *_FRAMING):
                headers.pop(name, None)
            kind = "application/json" if respond.chunks is None else "text/event-stream"
            headers["content-type"] = kind
            headers["content-length"] = str(len(content))
        # Stainless SDKs obey this header, whatever the status is.
        if respond.gave_up and self._retries:
            headers["x-should-retry"] = "false"
        elif respond.retry and request.headers.get(_ATTEMPT) == "0":
            headers["x-should-retry"] = "true"
        return made

    def _content(self, respond: Respond) -> bytes | None:
        """The bytes of an answer; None to hand out the provider's own bytes."""
        with self.engine.guard().step("encode"):
            if respond.chunks is not None:
                return render_all(respond.chunks)
            return None if respond.body is None else rendered(respond.body)
        return None

    def _stream_response(self, incoming: SyncWireResponse | AsyncWireResponse, stream: Any) -> Any:
        headers = incoming.response.headers.copy()
        if incoming.is_recoded:
            for name in _ENCODING:
                headers.pop(name, None)
        return self.library.Response(
            incoming.response.status_code,
            headers=headers,
            stream=stream,
            extensions=incoming.response.extensions,
        )


# Which helpers of an SDK of Stainless's made a request: anthropic's tool runner names itself.
_HELPER = "x-stainless-helper"


class SyncWire(_Wire):
    """The transport for threads."""

    stream_type: type[Any]

    def handle_request(self, request: Any) -> Any:
        """Send a request, through an exchange if its endpoint is one that batchwrap handles."""
        declined = self._declined(request)
        return self._handled(request) if declined is None else declined

    def _handled(self, request: Any, *, may_answer: bool = True) -> Any:
        taken = self._taken(request, may_answer=may_answer)
        if taken is None:
            return self._passed(request)
        asked, call = taken

        def send(body: Body | None, api_key: str | None) -> SyncWireResponse:
            response = self.inner.handle_request(self._request(asked, call, body, api_key))
            return SyncWireResponse(response, self.library, call.exchange)

        try:
            answer = sync.run(
                call.exchange,
                send,
                admission=call.admission,
                on_end=call.ended,
                interpreter=call.interpreter,
                memory=call.memory,
            )
        except BatchwrapError as error:
            return self._failed(error, request)
        if isinstance(answer.outcome, AnswerLocally):
            with self.engine.guard().step("local_answer"):
                return replies.local(self.library, answer.outcome.answer, asked.body)
            # The answer could not be written, so the provider is asked after all.
            return self._handled(request, may_answer=False)
        if isinstance(answer.outcome, Respond):
            return self._response(sent(answer.incoming), answer.outcome, request)
        return self._stream_response(sent(answer.incoming), self.stream_type(answer.outcome))

    def _passed(self, request: Any) -> Any:
        counted = self._counted(request)
        if counted is not None:
            response = self.inner.handle_request(counted)
            if response.status_code not in NOT_UNDERSTOOD:
                return response
            response.close()  # our view was refused: count the agent's own request
        return self.inner.handle_request(self._bare(request))

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._let_go()
        self.inner.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the client's own transport and end all waits of its requests."""
        self._let_go()
        self.inner.close()


class AsyncWire(_Wire):
    """The transport for tasks."""

    stream_type: type[Any]

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request, through an exchange if its endpoint is one that batchwrap handles."""
        declined = self._declined(request)
        return await self._handled(request) if declined is None else declined

    async def _handled(self, request: Any, *, may_answer: bool = True) -> Any:
        taken = self._taken(request, may_answer=may_answer)
        if taken is None:
            return await self._passed(request)
        asked, call = taken

        async def send(body: Body | None, api_key: str | None) -> AsyncWireResponse:
            made = self._request(asked, call, body, api_key)
            response = await self.inner.handle_async_request(made)
            return AsyncWireResponse(response, self.library, call.exchange)

        try:
            answer = await tasks.run(
                call.exchange,
                send,
                admission=call.admission,
                on_end=call.ended,
                interpreter=call.interpreter,
                memory=call.memory,
            )
        except BatchwrapError as error:
            return self._failed(error, request)
        if isinstance(answer.outcome, AnswerLocally):
            with self.engine.guard().step("local_answer"):
                return replies.local(self.library, answer.outcome.answer, asked.body)
            return await self._handled(request, may_answer=False)
        if isinstance(answer.outcome, Respond):
            return self._response(sent(answer.incoming), answer.outcome, request)
        return self._stream_response(sent(answer.incoming), self.stream_type(answer.outcome))

    async def _passed(self, request: Any) -> Any:
        counted = self._counted(request)
        if counted is not None:
            response = await self.inner.handle_async_request(counted)
            if response.status_code not in NOT_UNDERSTOOD:
                return response
            await response.aclose()
        return await self.inner.handle_async_request(self._bare(request))

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._let_go()
        await self.inner.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Close the client's own transport and end all waits of its requests."""
        self._let_go()
        await self.inner.aclose()


class SyncStream:
    """The body of a streamed answer; a second iteration continues where the first stopped."""

    def __init__(self, pieces: sync.Pieces) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Release the connection and settle the reservation."""
        self._pieces.close()


class AsyncStream:
    """The body of a streamed answer; a second iteration continues where the first stopped.

    openai 3.x stops at the end marker and then iterates again to drain the connection. A stream
    that can be iterated only once would cost a new connection.
    """

    def __init__(self, pieces: tasks.AsyncPieces) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Release the connection and settle the reservation."""
        await self._pieces.aclose()

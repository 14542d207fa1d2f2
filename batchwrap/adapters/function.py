"""The decorator: the same engine around a completion function, for keyword arguments and objects.

For `litellm.completion`, `acompletion` and any function of that shape.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from itertools import chain, islice
from typing import Any, Self
from urllib.parse import urlsplit

from batchwrap.adapters.marker import is_translated, translating
from batchwrap.adapters.objects import ChunkPipe, Rebuilder, Templates, as_dict
from batchwrap.core import chat
from batchwrap.core.exchange import AnswerLocally, Exchange, Head, Respond
from batchwrap.core.views.deliver import LocalAnswer
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import sent
from batchwrap.engine import Engine
from batchwrap.errors import BrokenAnswer, ConfigError
from batchwrap.options import Options
from batchwrap.throttle.accounts import Origin

_ENGINE = "__batchwrap__"


def batch_function(function: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """The decorated function."""
    if not callable(function):
        raise ConfigError("fn", f"{function!r} is not a function")
    engine = Engine(options)
    is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
    around = _around_async(function, engine) if is_async else _around(function, engine)
    setattr(around, _ENGINE, engine)
    return around


def engine_of(function: object) -> Engine | None:
    """The engine of a decorated function, or None."""
    engine = getattr(function, _ENGINE, None)
    return engine if isinstance(engine, Engine) else None


def _around(function: Callable[..., Any], engine: Engine) -> Callable[..., Any]:
    templates = Templates()

    @functools.wraps(function)
    def complete(*args: Any, **kwargs: Any) -> Any:
        request = _Request.of(function, args, kwargs)
        if request is None:
            engine.passed_through()
            return function(*args, **kwargs)

        def send(body: chat.Body | None, api_key: str | None) -> _SyncResult:
            try:
                with translating():
                    result = function(**request.arguments(body, api_key))
            except Exception as error:
                return _SyncResult.refused(error, templates)
            if inspect.isawaitable(result):
                raise ConfigError("fn", f"{function!r} returns an awaitable: declare it async")
            return _SyncResult(result, templates, is_stream=request.is_stream(result))

        may_answer = templates.serve(stream=request.wants_stream)
        call = engine.call(request.body, request.origin, may_answer=may_answer)
        answer = sync.run(call.exchange, send, gate=call.gate, on_end=call.ended)
        if isinstance(answer.outcome, AnswerLocally):
            return _local(answer.outcome.answer, request, templates, _sync_pieces)
        incoming = sent(answer.incoming)
        if isinstance(answer.outcome, Respond):
            return incoming.out(answer.outcome)
        templates.stream = incoming.original
        return _like(incoming.original, answer.outcome)

    return complete


def _around_async(function: Callable[..., Any], engine: Engine) -> Callable[..., Any]:
    templates = Templates()

    @functools.wraps(function)
    async def complete(*args: Any, **kwargs: Any) -> Any:
        request = _Request.of(function, args, kwargs)
        if request is None:
            engine.passed_through()
            return await function(*args, **kwargs)

        async def send(body: chat.Body | None, api_key: str | None) -> _AsyncResult:
            try:
                with translating():
                    result = await function(**request.arguments(body, api_key))
            except Exception as error:
                return _AsyncResult.refused(error, templates)
            return _AsyncResult(result, templates, is_stream=request.is_stream(result))

        may_answer = templates.serve(stream=request.wants_stream)
        call = engine.call(request.body, request.origin, may_answer=may_answer)
        answer = await tasks.run(call.exchange, send, gate=call.gate, on_end=call.ended)
        if isinstance(answer.outcome, AnswerLocally):
            return _local(answer.outcome.answer, request, templates, _async_pieces)
        incoming = sent(answer.incoming)
        if isinstance(answer.outcome, Respond):
            return incoming.out(answer.outcome)
        templates.stream = incoming.original
        return _like(incoming.original, answer.outcome)

    return complete


class _Request:
    """The keyword arguments of a call, and the body that the exchange sees in them."""

    def __init__(self, arguments: dict[str, Any], messages: list[Any]) -> None:
        self._arguments = arguments
        self.body: chat.Body = {**arguments, "messages": [_seen(message) for message in messages]}

    @classmethod
    def of(
        cls, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Request | None:
        """The request, or None if the call is none of our business."""
        if is_translated():
            return None
        if args:
            named = _named(function, args)
            if named is None:
                return None
            kwargs = {**named, **kwargs}
        messages = kwargs.get("messages")
        return cls(kwargs, messages) if isinstance(messages, list) else None

    def arguments(self, body: chat.Body | None, api_key: str | None) -> dict[str, Any]:
        """The keyword arguments to call with, for a body of the exchange."""
        key = {} if api_key is None else {"api_key": api_key}
        if body is None:
            return {**self._arguments, **key}
        changed = {key: value for key, value in body.items() if value is not self.body.get(key)}
        if "messages" in changed:
            changed["messages"] = [
                getattr(message, "original", message) for message in changed["messages"]
            ]
        return {**self._arguments, **changed, **key}

    @property
    def origin(self) -> Origin:
        """Where it goes, as far as its arguments tell."""
        url = self._arguments.get("api_base") or self._arguments.get("base_url") or ""
        key = self._arguments.get("api_key") or ""
        return Origin(host=urlsplit(str(url)).hostname or "", api_key=str(key))

    @property
    def wants_stream(self) -> bool:
        """Whether the caller asked for a stream."""
        return bool(self._arguments.get("stream"))

    def is_stream(self, result: object) -> bool:
        """Whether a result is a stream of chunks."""
        if not self.wants_stream or hasattr(result, "model_dump") or isinstance(result, dict):
            return False  # a completion, although it can be iterated, too
        return hasattr(result, "__iter__") or hasattr(result, "__aiter__")


class _Seen(dict[str, Any]):
    """A message object of an SDK as the exchange sees it.

    Agents append such objects to their history. Those that the exchange leaves alone, now or
    in the requests that follow, go back as the objects that they were.
    """

    original: Any


def _seen(message: Any) -> chat.Message | None:
    view = as_dict(message)
    if view is None or view is message:
        return view
    seen = _Seen(view)
    seen.original = message
    return seen


def _named(function: Callable[..., Any], args: tuple[Any, ...]) -> dict[str, Any] | None:
    """Positional arguments by their names; None where they have none."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return None
    taken = parameters[: len(args)]
    if len(taken) < len(args) or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in taken):
        return None
    return {parameter.name: value for parameter, value in zip(taken, args, strict=True)}


class _Result:
    """What the function returned (a completion or a stream), or raised as a refusal."""

    def __init__(
        self,
        original: Any,
        templates: Templates,
        *,
        is_stream: bool = False,
        error: Exception | None = None,
    ) -> None:
        self.original = original
        self._templates = templates
        self._is_stream = is_stream
        self._error = error
        self.came: list[Any] = []  # of a stream whose first chunk was looked at
        self.source: Any = None  # the rest of it

    @classmethod
    def refused(cls, error: Exception, templates: Templates) -> Self:
        """The answer that an SDK's error stands for; any other error is raised again."""
        if not isinstance(getattr(error, "status_code", None), int):
            raise error
        return cls(None, templates, error=error)

    @property
    def head(self) -> Head:
        if self._error is not None:
            return Head(getattr(self._error, "status_code", 0), _headers(self._error))
        return Head(200, {}, self._is_stream)

    def said(self) -> chat.Body | None:
        """The answer, or what the error says."""
        if self._error is None:
            return as_dict(self.original)
        body = getattr(self._error, "body", None)
        if isinstance(body, dict):
            return body if "error" in body else {"error": body}
        return {"error": {"message": str(self._error)}}

    def out(self, respond: Respond) -> Any:
        """What the caller gets.

        Raises:
            Exception: the SDK's own error, where the retries were used up.
            BrokenAnswer: the answer cannot be used.
        """
        if self._error is not None:
            raise self._error
        if respond.status is not None and respond.body is not None:
            raise BrokenAnswer(respond.body)
        if respond.body is None:
            return self.original
        rebuilder = Rebuilder()
        rebuilder.see(self.original)
        self._templates.whole = rebuilder
        return rebuilder.build(respond.body)


class _SyncResult(_Result):
    def read(self) -> chat.Body | None:
        return self.said()

    def first(self) -> chat.Body | None:
        self.source = iter(self.original)
        self.came = list(islice(self.source, 1))
        return as_dict(self.came[0]) if self.came else None

    def pieces(self, exchange: Exchange) -> Generator[Any]:
        pipe = ChunkPipe(exchange, self._templates)
        for chunk in chain(self.came, self.source or self.original):
            yield from pipe.feed(chunk)
        yield from pipe.finish()

    def close(self) -> None:
        if self._is_stream and hasattr(self.original, "close"):
            self.original.close()


class _AsyncResult(_Result):
    async def read(self) -> chat.Body | None:
        return self.said()

    async def first(self) -> chat.Body | None:
        self.source = aiter(self.original)
        async for chunk in self.source:
            self.came.append(chunk)
            return as_dict(chunk)
        return None

    async def pieces(self, exchange: Exchange) -> AsyncGenerator[Any]:
        pipe = ChunkPipe(exchange, self._templates)
        for chunk in self.came:
            for piece in pipe.feed(chunk):
                yield piece
        async for chunk in self.source or self.original:
            for piece in pipe.feed(chunk):
                yield piece
        for piece in pipe.finish():
            yield piece

    async def close(self) -> None:
        close = getattr(self.original, "aclose", None) or getattr(self.original, "close", None)
        closing = close() if self._is_stream and close is not None else None
        if inspect.isawaitable(closing):
            await closing


def _like(original: Any, pieces: Any) -> Any:
    """The translated stream as an object of the original's type.

    A subclass made for it shares the original's attributes, so `isinstance`, hidden
    parameters and response headers stay. Generators cannot be subclassed: theirs is `pieces`.
    """
    kind = type(original)
    if (
        inspect.isgenerator(original)
        or inspect.isasyncgen(original)
        or not hasattr(original, "__dict__")
    ):
        return pieces
    end = getattr(pieces, "aclose", None) or pieces.close
    methods: dict[str, Any] = {"close": lambda _: end(), "aclose": lambda _: end()}
    if hasattr(pieces, "__anext__"):
        methods |= {"__aiter__": lambda _: pieces, "__anext__": lambda _: anext(pieces)}
    else:
        methods |= {"__iter__": lambda _: pieces, "__next__": lambda _: next(pieces)}
    like: Any = object.__new__(type(kind.__name__, (kind,), methods))
    like.__dict__ = vars(original)
    return like


def _local(
    answer: LocalAnswer, request: _Request, templates: Templates, pieces: Callable[..., Any]
) -> Any:
    """A local answer as an object of the types that the function returns."""
    if not request.wants_stream:
        return templates.completion(answer)
    options = request.body.get("stream_options")
    with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
    chunks = templates.chunks(answer, with_usage=with_usage)
    return _like(templates.stream, pieces(chunks))


def _sync_pieces(chunks: list[Any]) -> Generator[Any]:
    yield from chunks


async def _async_pieces(chunks: list[Any]) -> AsyncGenerator[Any]:
    for chunk in chunks:
        yield chunk


def _headers(error: Exception) -> dict[str, str]:
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None)
    return {str(name).lower(): str(value) for name, value in dict(headers or {}).items()}

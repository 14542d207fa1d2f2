"""The decorator: the engine for a completion function, with keyword arguments and objects.

It takes `litellm.completion`, `responses`, `anthropic_messages`, their async versions, methods of a
Router, and any function that takes the fields of such a request: sync, async, a generator, an async
generator, or one that returns an awaitable without being declared async.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any

from batchwrap.adapters import sdk_errors
from batchwrap.adapters.call_request import CallRequest, Signature
from batchwrap.adapters.call_results import AsyncResult, SyncResult, is_stream
from batchwrap.adapters.call_streams import like, like_local
from batchwrap.adapters.hints import Hints, given_to, spoken_by
from batchwrap.adapters.marker import translating
from batchwrap.adapters.objects import Templates
from batchwrap.core.exchange.actions import AnswerLocally, Head, Respond
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats.endpoints import Endpoint
from batchwrap.core.formats.format import Body
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import Answer, sent
from batchwrap.engine import Call, Engine
from batchwrap.errors import ConfigError
from batchwrap.options import Options

_ENGINE = "__batchwrap__"


def batch_function(
    function: Callable[..., Any],
    options: Options,
    engine: Engine | None = None,
    endpoint: Endpoint | None = None,
) -> Callable[..., Any]:
    """The decorated function.

    Args:
        function: the function to decorate.
        options: the user's options.
        engine: an engine to share; None makes a new one.
        endpoint: the endpoint of its API; None to infer it from the name or the arguments.
    """
    if not callable(function):
        raise ConfigError("fn", f"{function!r} is not a function")
    target = _Target(function, engine or Engine(options), endpoint or spoken_by(function))
    around = _decorated(target, _bare(function))
    functools.update_wrapper(around, function)
    setattr(around, _ENGINE, target.engine)
    return around


def engine_of(function: object) -> Engine | None:
    """The engine of a decorated function, or None."""
    engine = getattr(function, _ENGINE, None)
    return engine if isinstance(engine, Engine) else None


def _bare(function: Any) -> Any:
    """The innermost function, without partials, decorators and callable objects around it."""
    # Only the innermost function shows whether it is async or a generator.
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) else type(function).__call__


def _decorated(target: _Target, bare: Any) -> Callable[..., Any]:
    """The decorated function, of the same kind as the bare one."""
    if inspect.isgeneratorfunction(bare):
        return _generator(target)
    if inspect.isasyncgenfunction(bare):
        return _async_generator(target)
    if inspect.iscoroutinefunction(bare):
        return _coroutine(target)
    return _function(target)


def _function(target: _Target) -> Callable[..., Any]:
    def complete(*args: Any, **kwargs: Any) -> Any:
        if target.is_async:
            return _call_async(target, args, kwargs)
        try:
            return _call(target, args, kwargs)
        except _Awaitable:  # the function is async, and nothing of it has run yet
            return _call_async(target, args, kwargs)

    return complete


def _coroutine(target: _Target) -> Callable[..., Any]:
    async def complete(*args: Any, **kwargs: Any) -> Any:
        return await _call_async(target, args, kwargs)

    return complete


def _generator(target: _Target) -> Callable[..., Any]:
    target.streams = True

    def complete(*args: Any, **kwargs: Any) -> Generator[Any]:
        yield from _call(target, args, kwargs)

    return complete


def _async_generator(target: _Target) -> Callable[..., Any]:
    target.streams = True

    async def complete(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        async with aclosing(await _call_async(target, args, kwargs)) as pieces:
            async for piece in pieces:
                yield piece

    return complete


class _Awaitable(Exception):
    """Raised when a function returns an awaitable that is not declared async."""


class _Target:
    """One decorated function and the state that its calls share."""

    def __init__(
        self, function: Callable[..., Any], engine: Engine, endpoint: Endpoint | None
    ) -> None:
        self.function = function
        self.engine = engine
        self._endpoint = endpoint
        self._templates: dict[str, Templates] = {}
        self.streams = False  # whether results are streams if a call does not say it
        self.is_async = False  # whether it is async without being declared so
        self.hints = Hints(function)
        self._signature = Signature(function)
        self._defaults = given_to(function)

    def taken(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, may_answer: bool
    ) -> tuple[CallRequest, Call] | None:
        """The call as a request, and its `Call`; None for a call that passes through."""
        streams, signature = self.streams, self._signature
        with self.engine.guard().step("read"):
            request = CallRequest.of(
                args, kwargs, self._defaults, signature, streams=streams, endpoint=self._endpoint
            )
            if request is not None:
                return request, self._exchange(request, may_answer=may_answer)
        self.engine.passed_through()
        return None

    def _exchange(self, request: CallRequest, *, may_answer: bool) -> Call:
        return self.engine.call(
            request.body,
            self.hints.origin(request.body),
            endpoint=_endpoint_of(request),
            may_answer=may_answer and self.templates(request).serve(stream=request.wants_stream),
            retries=self.hints.is_router or not request.is_routed,
        )

    def templates(self, request: CallRequest) -> Templates:
        """Its recent results for requests of this API."""
        endpoint = _endpoint_of(request)
        assert endpoint.format is not None
        return self._templates.setdefault(endpoint.name, Templates(endpoint.format))

    def arguments(
        self, request: CallRequest, call: Call, body: Body | None, api_key: str | None
    ) -> dict[str, Any]:
        """The keyword arguments to call the function with."""
        with call.exchange.guard.step("encode"):
            return request.arguments(body, api_key)
        call.exchange.withdraw()
        return request.arguments(None, api_key)

    def head(self, request: CallRequest, call: Call, result: Any) -> Head:
        """The status and headers of a result."""
        headers: dict[str, str] = {}
        with call.exchange.guard.step("headers"):
            self.hints.learn(request.body, result)
            headers = self.hints.headers(request.body, result)
        streams = is_stream(result, wanted=request.wants_stream)
        if not request.says_stream:  # the next local answer has the same kind as this result
            self.streams = streams
        if streams:
            request.streams()
        return Head(200, headers, streams)

    def refused(self, request: CallRequest, error: Exception) -> Head:
        """The status and headers of an error. An error that no provider sent is raised again."""
        status = sdk_errors.status_of(error)
        if status is None:
            raise error
        beneath = request.retries_beneath or self.hints.retries
        tries = sdk_errors.tries_of(error, beneath)
        return Head(status, sdk_errors.headers_of(error), tries=tries)

    def refuse_awaitable(self, result: Any) -> None:
        """Stop if a call has only made an awaitable; it is repeated where it can be awaited."""
        if not inspect.isawaitable(result):
            return
        undo = getattr(result, "close", None) or getattr(result, "cancel", None)
        if undo is None or undo() is False:
            raise ConfigError("fn", f"{self.function!r} returns an awaitable: declare it async")
        self.is_async = True
        raise _Awaitable

    def answered(self, request: CallRequest, answer: Answer[Any, Any], *, is_async: bool) -> Any:
        """The result for the caller; None for a local answer that cannot be made."""
        outcome, guard = answer.outcome, self.engine.guard()
        if isinstance(outcome, AnswerLocally):
            with guard.step("local_answer"):
                return self._local(request, outcome.answer, is_async=is_async)
            return None
        incoming = sent(answer.incoming)
        if isinstance(outcome, Respond):
            if outcome.chunks is not None and isinstance(incoming.original, dict):
                return like_local(None, outcome.chunks, is_async=is_async)
            return incoming.out(outcome)
        self.templates(request).stream = incoming.original
        with guard.step("answer"):
            return like(incoming.original, outcome)
        return outcome

    def _local(self, request: CallRequest, answer: LocalAnswer, *, is_async: bool) -> Any:
        templates = self.templates(request)
        if not request.wants_stream:
            return templates.completion(answer)
        chunks = templates.chunks(answer, with_usage=request.wants_usage)
        return like_local(templates.stream, chunks, is_async=is_async)


def _endpoint_of(request: CallRequest) -> Endpoint:
    assert request.endpoint is not None  # others pass through
    return request.endpoint


def _call(
    target: _Target, args: tuple[Any, ...], kwargs: dict[str, Any], *, may_answer: bool = True
) -> Any:
    """Call a function through an exchange.

    Raises:
        _Awaitable: the function returned one, and nothing of it has run.
    """
    taken = target.taken(args, kwargs, may_answer=may_answer)
    if taken is None:
        return target.function(*args, **kwargs)
    request, call = taken

    def send(body: Body | None, api_key: str | None) -> SyncResult:
        try:
            with translating():
                result = target.function(**target.arguments(request, call, body, api_key))
                target.refuse_awaitable(result)
                head = target.head(request, call, result)
                incoming = SyncResult(result, target.templates(request), head, call.exchange.guard)
                if inspect.isgenerator(result):  # its errors must be raised inside this block
                    incoming.start()
        except Exception as error:
            head, guard = target.refused(request, error), call.exchange.guard
            return SyncResult(None, target.templates(request), head, guard, error)
        return incoming

    def ended(exchange: Exchange) -> None:
        if not target.is_async:  # otherwise it is counted where it is awaited
            call.ended(exchange)

    answer = sync.run(
        call.exchange,
        send,
        admission=call.admission,
        on_end=ended,
        interpreter=call.interpreter,
        memory=call.memory,
    )
    made = target.answered(request, answer, is_async=False)
    if made is None and isinstance(answer.outcome, AnswerLocally):
        return _call(target, args, kwargs, may_answer=False)
    return made


async def _call_async(
    target: _Target, args: tuple[Any, ...], kwargs: dict[str, Any], *, may_answer: bool = True
) -> Any:
    """Call a function that returns an awaitable, or an async generator, through an exchange."""
    taken = target.taken(args, kwargs, may_answer=may_answer)
    if taken is None:
        return await _awaited(target.function(*args, **kwargs))
    request, call = taken

    async def send(body: Body | None, api_key: str | None) -> AsyncResult:
        try:
            with translating():
                given = target.arguments(request, call, body, api_key)
                result = await _awaited(target.function(**given))
                head = target.head(request, call, result)
                incoming = AsyncResult(result, target.templates(request), head, call.exchange.guard)
                if inspect.isasyncgen(result):  # its errors must be raised inside this block
                    await incoming.start()
        except Exception as error:
            head, guard = target.refused(request, error), call.exchange.guard
            return AsyncResult(None, target.templates(request), head, guard, error)
        return incoming

    answer = await tasks.run(
        call.exchange,
        send,
        admission=call.admission,
        on_end=call.ended,
        interpreter=call.interpreter,
        memory=call.memory,
    )
    made = target.answered(request, answer, is_async=True)
    if made is None and isinstance(answer.outcome, AnswerLocally):
        return await _call_async(target, args, kwargs, may_answer=False)
    return made


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result

"""The decorator takes every kind of function that a completion can come out of."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.adapters.function import engine_of
from batchwrap.errors import ConfigError
from batchwrap.lab import Lab, Raw
from tests.adapters.conversation import END, MULTI_CALL, READS, TOOLS, USER, calls_of, gather

REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))
Serve = Callable[..., Lab]


def sdk(running: Lab) -> openai.OpenAI:
    """A bare client without retries of its own."""
    return openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0)


def sdk_async(running: Lab) -> openai.AsyncOpenAI:
    """The same for tasks."""
    return openai.AsyncOpenAI(base_url=running.base_url, api_key="k", max_retries=0)


def test_a_generator_function(serve: Serve) -> None:
    """One that streams by itself stays a generator; a refusal before its first chunk is retried."""
    running = serve(REFUSED, MULTI_CALL)
    with sdk(running) as client:

        @batchwrap.batched
        def complete(messages: list[Any], tools: list[Any]) -> Iterator[Any]:
            yield from client.chat.completions.create(
                model="m", messages=messages, tools=tools, stream=True
            )

        stream = complete([USER], TOOLS)
        assert running.round_trips == running.refusals == 0, "a generator is lazy"
        assert gather(list(stream))["calls"] == READS
    assert (running.refusals, batchwrap.stats(complete).retries) == (1, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_async_generator_function(serve: Serve) -> None:
    """The same for tasks; the decorated one is iterated without an await, too."""
    running = serve(REFUSED, MULTI_CALL)
    async with sdk_async(running) as client:

        @batchwrap.batched
        async def complete(messages: list[Any], tools: list[Any]) -> AsyncIterator[Any]:
            stream = await client.chat.completions.create(
                model="m", messages=messages, tools=tools, stream=True
            )
            async for chunk in stream:
                yield chunk

        assert gather([chunk async for chunk in complete([USER], TOOLS)])["calls"] == READS
    assert (running.refusals, batchwrap.stats(complete).retries) == (1, 1)


@pytest.mark.anyio
async def test_closed_early() -> None:
    """Closing what a generator function gave closes the function's own generator."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    closed: list[str] = []

    @batchwrap.batched
    def complete(messages: list[Any]) -> Iterator[Any]:
        try:
            while True:
                yield chunk
        finally:
            closed.append("sync")

    @batchwrap.batched
    async def complete_async(messages: list[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                yield chunk
        finally:
            closed.append("async")

    stream: Any = complete([USER])
    assert next(stream) is chunk
    stream.close()
    streamed: Any = complete_async([USER])
    assert await anext(streamed) is chunk
    await streamed.aclose()
    assert closed == ["sync", "async"]


def test_a_generator_around_a_wrapped_client(serve: Serve) -> None:
    """What runs only when the first chunk is asked for is translated once, too."""
    running = serve(MULTI_CALL)
    with sdk(running) as bare:
        client = batchwrap.wrap(bare)

        @batchwrap.batched
        def complete(**kwargs: Any) -> Iterator[Any]:
            yield from client.chat.completions.create(model="m", stream=True, **kwargs)

        assert gather(list(complete(messages=[USER], tools=TOOLS)))["calls"] == READS
        assert (batchwrap.stats(client).requests, batchwrap.stats(complete).requests) == (0, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_awaitable_that_nobody_declared(serve: Serve) -> None:
    """A plain function that returns a coroutine or a task is awaited, sent and counted once."""
    running = serve(MULTI_CALL, MULTI_CALL, MULTI_CALL, MULTI_CALL)
    async with sdk_async(running) as client:

        def start(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        def start_task(**kwargs: Any) -> Any:
            return asyncio.ensure_future(start(**kwargs))

        for function in (start, start_task):
            complete = batchwrap.batched(function)
            for _ in range(2):
                done = await complete(messages=[USER], tools=TOOLS)
                assert calls_of(done.choices[0].message) == READS
            assert batchwrap.stats(complete).requests == 2
    assert running.round_trips == 4


def test_an_awaitable_that_cannot_be_undone() -> None:
    """One that has perhaps begun is refused by name, not sent twice."""

    class Later:
        def __await__(self) -> Iterator[Any]:
            yield

    class Running(Later):
        def cancel(self) -> bool:
            """Too late."""
            return False

    for made in (Later(), Running()):

        def start(made: Any = made, **kwargs: Any) -> Any:
            return made

        with pytest.raises(ConfigError, match="returns an awaitable: declare it async"):
            batchwrap.batched(start)(messages=[USER])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_sdks_own_method(serve: Serve) -> None:
    """`client.chat.completions.create` itself, sync and async, which does not look async."""
    running = serve(MULTI_CALL, MULTI_CALL)
    with sdk(running) as client:
        create: Any = batchwrap.batched(client.chat.completions.create)
        done = create(model="m", messages=[USER], tools=TOOLS)
        assert calls_of(done.choices[0].message) == READS
    async with sdk_async(running) as later:
        create = batchwrap.batched(later.chat.completions.create)
        done = await create(model="m", messages=[USER], tools=TOOLS)
        assert calls_of(done.choices[0].message) == READS


def test_a_partial(serve: Serve) -> None:
    """What a partial names belongs to the request; the call may name something else."""
    running = serve(MULTI_CALL, END)
    with sdk(running) as client:
        create: Any = functools.partial(client.chat.completions.create, model="m", stream=True)
        complete = batchwrap.batched(create)
        assert gather(list(complete(messages=[USER], tools=TOOLS)))["calls"] == READS
        done = complete(messages=[USER], tools=TOOLS, stream=False)
        assert done.choices[0].message.content == "Both read."


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_methods_and_callable_objects(serve: Serve) -> None:
    """A method is decorated in its class; an object with an async `__call__` is async."""
    running = serve(MULTI_CALL, MULTI_CALL)
    async with sdk_async(running) as client:

        class Agent:
            @batchwrap.batched
            async def complete(self, messages: list[Any], **kwargs: Any) -> Any:
                return await client.chat.completions.create(model="m", messages=messages, **kwargs)

            async def __call__(self, **kwargs: Any) -> Any:
                return await client.chat.completions.create(model="m", **kwargs)

        done = await Agent().complete([USER], tools=TOOLS)
        assert calls_of(done.choices[0].message) == READS
        called = await batchwrap.batched(Agent())(messages=[USER], tools=TOOLS)
        assert calls_of(called.choices[0].message) == READS


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_function_that_streams_by_itself(serve: Serve) -> None:
    """Where only the function knows that it streams, its streams are translated all the same."""
    running = serve(*[MULTI_CALL] * 4)
    with sdk(running) as client:

        @batchwrap.batched
        def complete(messages: list[Any], tools: list[Any]) -> Any:
            return client.chat.completions.create(
                model="m", messages=messages, tools=tools, stream=True
            )

        for _ in range(2):
            stream = complete([USER], TOOLS)
            assert isinstance(stream, openai.Stream)
            assert gather(list(stream))["calls"] == READS
    async with sdk_async(running) as later:

        @batchwrap.batched
        async def complete_async(messages: list[Any], tools: list[Any]) -> Any:
            return await later.chat.completions.create(
                model="m", messages=messages, tools=tools, stream=True
            )

        for _ in range(2):
            chunks = [chunk async for chunk in await complete_async([USER], TOOLS)]
            assert gather(chunks)["calls"] == READS
    assert batchwrap.stats(complete).multi_calls == 2


def test_a_dropped_stream_holds_nothing(serve: Serve) -> None:
    """A stream that nobody reads to its end gives back what was reserved for it."""
    with sdk(serve(MULTI_CALL, MULTI_CALL)) as client:
        limited = batchwrap.batched(limits=[batchwrap.Limit("tokens", 1_000_000, 60)])
        complete: Any = limited(client.chat.completions.create)
        budget = engine_of(complete).budget  # type: ignore[union-attr]
        stream = complete(model="m", messages=[USER], tools=TOOLS, stream=True)
        next(stream)
        idle = [budget.is_idle]
        del stream
        idle.append(budget.is_idle)
        with complete(model="m", messages=[USER], tools=TOOLS, stream=True) as opened:
            next(iter(opened))
        assert [*idle, budget.is_idle] == [False, True, True]

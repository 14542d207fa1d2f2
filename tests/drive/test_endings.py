"""Endings that no caller plans: cancellation, dropped streams, refusals that concern others."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import tenacity

from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.limits.cost import Cost
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import Answer
from batchwrap.drive.interpreter import Interpreter
from batchwrap.engine import Engine
from batchwrap.errors import ClientClosed
from batchwrap.options import Limit, Options, Throttle
from batchwrap.throttle.accounts import Origin
from batchwrap.throttle.signal import Waits
from tests.throttle.harness import LONG_S, until


class Bench:
    """An exchange with its limiter, and how often it ended."""

    def __init__(self, wait_s: float = 0) -> None:
        retrying = tenacity.Retrying(wait=tenacity.wait_fixed(wait_s))
        throttle = Throttle(limits=[Limit("tokens", 10_000, 1e9)], retry=retrying)
        engine = Engine(Options(batching=None, repair=None, throttle=throttle))
        self.waits = Waits()
        request = {"messages": [{"role": "user", "content": "hi"}]}
        call = engine.call(request, Origin(), waits=self.waits)
        self.budget, self.admission, self.ended = engine.budget, call.admission, 0
        self.exchange = call.exchange

    def on_end(self, exchange: Exchange) -> None:
        """Count the ends."""
        self.ended += 1

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(now.waiting for _, now in self.budget.limiter.snapshots().values())

    @property
    def running(self) -> int:
        """How many requests were admitted and have not ended."""
        return sum(now.running for _, now in self.budget.limiter.snapshots().values())

    @property
    def is_over(self) -> bool:
        """Whether all is settled and reported once."""
        return self.ended == 1 and self.budget.is_idle

    async def run_async(self, send: Any) -> Answer[Any, tasks.AsyncPieces]:
        """Run with the driver for tasks."""
        return await tasks.run(
            self.exchange,
            send,
            admission=self.admission,
            on_end=self.on_end,
            interpreter=Interpreter(),
        )


class Endless:
    """An answer that never gets anywhere, and needs a moment to be closed."""

    def __init__(self, *, is_stream: bool) -> None:
        self.head = Head(200, {}, is_stream)
        self.waits = anyio.Event()
        self.closed = False

    async def read(self) -> None:
        """Wait for ever."""
        self.waits.set()
        await anyio.sleep_forever()

    async def first(self) -> None:
        """Nothing that could be a refusal."""

    async def pieces(self, exchange: Exchange) -> AsyncGenerator[Any]:
        """Wait for ever after the first piece."""
        yield "first"
        self.waits.set()
        await anyio.sleep_forever()

    async def close(self) -> None:
        """Closed after a moment, in which a cancelled task would be cancelled again."""
        await anyio.lowlevel.checkpoint()
        self.closed = True


@pytest.mark.anyio
@pytest.mark.parametrize("is_stream", [False, True])
async def test_cancelled(is_stream: bool) -> None:
    """A cancelled task lets go of the connection in peace, and settles."""
    bench, incoming = Bench(), Endless(is_stream=is_stream)

    async def send(body: Any, api_key: Any) -> Endless:
        return incoming

    async def read() -> None:
        answer = await bench.run_async(send)
        assert isinstance(answer.outcome, tasks.AsyncPieces)
        assert [piece async for piece in answer.outcome]

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await incoming.waits.wait()
        group.cancel_scope.cancel()
    assert incoming.closed
    assert bench.is_over


@pytest.mark.anyio
async def test_dropped_by_a_task() -> None:
    """A stream that a task forgets is settled when it is collected."""
    bench, incoming = Bench(), Endless(is_stream=True)

    async def send(body: Any, api_key: Any) -> Endless:
        return incoming

    answer = await bench.run_async(send)
    assert not bench.is_over
    del answer
    gc.collect()
    assert bench.is_over


class Plain:
    """A whole answer, for both drivers in turn."""

    def __init__(self, status: int) -> None:
        self.head = Head(status, {})

    def read(self) -> WholeBody:
        """Nothing."""
        return WholeBody(None)

    def first(self) -> None:
        """Nothing."""

    def pieces(self, exchange: Exchange) -> Generator[Any]:
        """Nothing."""
        yield from ()

    def close(self) -> None:
        """Nothing."""


class AsyncPlain(Plain):
    """The same for tasks."""

    async def read(self) -> WholeBody:  # type: ignore[override]
        """Nothing."""
        return WholeBody(None)

    async def first(self) -> None:  # type: ignore[override]
        """Nothing."""

    async def close(self) -> None:  # type: ignore[override]
        """Nothing."""


def refused(bench: Bench) -> None:
    """A request of a thread that is refused, and waits."""
    sync.run(
        bench.exchange,
        lambda body, key: Plain(429),
        admission=bench.admission,
        on_end=bench.on_end,
        interpreter=Interpreter(),
    )


def refused_async(bench: Bench) -> None:
    """A request of a task that is refused, and waits."""

    async def send(body: Any, api_key: Any) -> AsyncPlain:
        return AsyncPlain(429)

    anyio.run(bench.run_async, send)


@pytest.mark.parametrize("request_once", [refused, refused_async])
def test_others_wait_too(request_once: Callable[[Bench], None]) -> None:
    """When the provider names a time, nobody is sent before it: a crowd would be refused again."""
    bench = Bench(wait_s=100)
    other = bench.budget.request({}, Origin(), waits=bench.waits)

    def run(request: Callable[[], object]) -> None:
        with pytest.raises(ClientClosed):
            request()

    first = partial(request_once, bench)
    second = partial(other.reserve, Cost(1, 1), Cost(1, 1))
    threads = [threading.Thread(target=run, args=(one,)) for one in (first, second)]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        until(lambda number=number: bench.waiting == number)  # type: ignore[misc]
    assert bench.running == 0
    bench.waits.close()
    for thread in threads:
        thread.join(LONG_S)
    assert bench.is_over

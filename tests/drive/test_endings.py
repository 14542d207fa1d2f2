"""Endings that no caller plans: cancellation, dropped streams, refusals that concern others."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import tenacity

from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.drive import sync, tasks
from batchwrap.drive.answer import Answer
from batchwrap.drive.interpreter import Interpreter
from batchwrap.engine import Engine
from batchwrap.options import Limit, Options, Throttle
from batchwrap.throttle.accounts import Origin


class Bench:
    """An exchange with its limiter, and how often it ended."""

    def __init__(self, wait_s: float = 0) -> None:
        retrying = tenacity.Retrying(wait=tenacity.wait_fixed(wait_s))
        throttle = Throttle(limits=[Limit("tokens", 10_000, 1e9)], retry=retrying)
        engine = Engine(Options(batching=None, repair=None, throttle=throttle))
        call = engine.call({"messages": [{"role": "user", "content": "hi"}]}, Origin())
        self.budget, self.admission, self.ended = engine.budget, call.admission, 0
        self.exchange = call.exchange

    def on_end(self, exchange: Exchange) -> None:
        """Count the ends."""
        self.ended += 1

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


def refused_once(bench: Bench) -> None:
    """A request of a thread that is refused, waits, and succeeds."""
    answers = iter([Plain(429), Plain(200)])
    sync.run(
        bench.exchange,
        lambda body, key: next(answers),
        admission=bench.admission,
        on_end=bench.on_end,
        interpreter=Interpreter(),
    )


def refused_once_async(bench: Bench) -> None:
    """A request of a task that is refused, waits, and succeeds."""
    answers = iter([AsyncPlain(429), AsyncPlain(200)])

    async def send(body: Any, api_key: Any) -> AsyncPlain:
        return next(answers)

    anyio.run(bench.run_async, send)


@pytest.mark.parametrize("request_once", [refused_once, refused_once_async])
def test_others_wait_too(request_once: Callable[[Bench], None]) -> None:
    """When the provider names a time, nobody is sent before it: a crowd would be refused again."""
    bench = Bench(wait_s=0.3)
    thread = threading.Thread(target=request_once, args=(bench,))
    thread.start()
    deadline_s = time.monotonic() + 60
    while not any(now.closed_s > 0.1 for _, now in bench.budget.limiter.snapshots().values()):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    other = bench.budget.request({}, Origin())
    other.reserve(Cost(1, 1), Cost(1, 1))
    assert other.waited_s > 0.01
    other.settle(NOTHING, None)
    thread.join(5)
    assert bench.ended == 1

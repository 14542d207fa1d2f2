"""The driver for asyncio and trio tasks. Its twin for threads is `batchwrap.drive.sync`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, assert_never

import anyio

from batchwrap.core import exchange as ex
from batchwrap.core.chat import Body
from batchwrap.drive.answer import Answer, AsyncIncoming, sent
from batchwrap.drive.attempt import Attempt
from batchwrap.throttle.limiter import Limiter

In = TypeVar("In", bound=AsyncIncoming)


class AsyncPieces:
    """The stream of an answer. Iterating again goes on where the last one stopped.

    However it ends (exhausted, closed, failed, dropped), the connection is let go and
    the reservation settled.
    """

    def __init__(
        self, source: AsyncGenerator[Any], incoming: AsyncIncoming, attempt: Attempt
    ) -> None:
        self._source = source
        self._incoming = incoming
        self._attempt = attempt

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._source)
        except BaseException:  # StopAsyncIteration, too: either way it is over
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the stream, early or not; later calls do nothing."""
        try:
            with anyio.CancelScope(shield=True):
                with suppress(RuntimeError):  # another task is waiting in it
                    await self._source.aclose()
                await self._incoming.close()
        finally:
            self._attempt.end()

    def __del__(self) -> None:
        self._attempt.end()


async def run(
    exchange: ex.Exchange,
    send: Callable[[Body | None], Awaitable[In]],
    *,
    limiter: Limiter,
    on_end: Callable[[ex.Exchange], None],
) -> Answer[In, AsyncPieces]:
    """Obey the exchange until there is an answer to hand out.

    Args:
        exchange: the machine.
        send: sends a body (None: the agent's own, as it is) and returns the answer.
        limiter: admits each attempt.
        on_end: called once, when everything was handed out or given up.

    Raises:
        LimitExceeded: the limiter does not admit the request.
        Exception: whatever `send` raises.
    """
    attempt, incoming = Attempt(exchange, on_end), None
    action = exchange.start()
    try:
        while True:
            match action:
                case ex.AnswerLocally() as local:
                    attempt.end()
                    return Answer(None, local)
                case ex.Reserve(cost):
                    attempt.lease = await limiter.acquire_async(cost)
                    action = exchange.reserved(attempt.lease.waited_s)
                case ex.Send(body):
                    incoming = await send(body)
                    attempt.arrived()
                    action = exchange.received(incoming.head, time.time())
                case ex.Resend():
                    await _drop(sent(incoming))
                    action = ex.Send(None)
                case ex.Wait(seconds):
                    await _drop(sent(incoming))
                    attempt.settle()
                    limiter.close_for(seconds)
                    await anyio.sleep(seconds)
                    action = exchange.waited()
                case ex.ReadBody():
                    action = exchange.body(await sent(incoming).read())
                case ex.Respond() as respond:
                    await sent(incoming).close()
                    attempt.end()
                    return Answer(sent(incoming), respond)
                case ex.Stream():
                    arriving = sent(incoming)
                    pieces = AsyncPieces(arriving.pieces(exchange), arriving, attempt)
                    return Answer(arriving, pieces)
                case _:
                    assert_never(action)
    except BaseException:
        try:
            if incoming is not None:
                await _close_shielded(incoming)
        finally:
            attempt.end()
        raise


async def _close_shielded(incoming: AsyncIncoming) -> None:
    """Let go of the connection even where the task is being cancelled."""
    with anyio.CancelScope(shield=True):
        await incoming.close()


async def _drop(incoming: AsyncIncoming) -> None:
    """Let go of an answer that nobody wants; unread, its connection could not be used again."""
    await incoming.read()
    await incoming.close()

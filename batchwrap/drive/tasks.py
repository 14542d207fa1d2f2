"""The driver for asyncio and trio tasks. `batchwrap.drive.sync` is the same for threads."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, assert_never

import anyio

from batchwrap.core.exchange import actions
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats.chat import Body
from batchwrap.core.moves.script_run import ScriptRun
from batchwrap.drive.answer import (
    Answer,
    AsyncIncoming,
    AsyncPiecesSource,
    Held,
    Interprets,
    Remembers,
    sent,
)
from batchwrap.drive.attempt import Attempt
from batchwrap.throttle.admission import AdmissionRequest

In = TypeVar("In", bound=AsyncIncoming)

# How long an unused answer is read before its connection is closed.
_ENDS_SOON_S = 0.1

# The streams that nobody has closed yet. An agent that leaves its loop with `break` drops a stream.
# If ours were collected together with the SDK's, the event loop would close the async generators of
# both, each in a task of its own, and one while the other runs. Since they are held here, ours are
# closed from the outside, like a connection.
_OPEN: set[AsyncPiecesSource] = set()


class AsyncPieces:
    """The stream of an answer. A second iteration continues where the first one stopped.

    However it ends (exhausted, closed, failed, dropped), the connection is let go and
    the reservation settled.
    """

    def __init__(
        self,
        source: AsyncPiecesSource,
        incoming: AsyncIncoming,
        attempt: Attempt,
        held: Held,
        interpreter: Interprets,
        memory: Remembers | None,
    ) -> None:
        self._source = source
        self._incoming = incoming
        self._attempt = attempt
        self._held = held
        self._interpreter = interpreter
        self._memory = memory
        self._open = attempt.streams()
        _OPEN.add(source)

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        try:
            if self._held.pieces or self._held.error is not None:
                return self._held.take()
            if self._open is None:
                piece = await _next(self._source, self._interpreter)
            else:
                with self._open:
                    piece = await _next(self._source, self._interpreter)
            if self._memory is not None:
                await _keep(self._attempt.exchange, self._memory)
            return piece
        except BaseException as error:  # StopAsyncIteration, too: either way it is over
            self._attempt.stopped(error)
            if isinstance(error, GeneratorExit):  # its event loop is gone: nothing can be awaited
                self._attempt.end()
            else:
                await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the stream, early or not; later calls do nothing."""
        try:
            with anyio.CancelScope(shield=True):
                with suppress(RuntimeError):  # another task is waiting in the iterator
                    await self._source.aclose()
                await self._incoming.close()
                await _keep(self._attempt.exchange, self._memory, is_last=True)
        finally:
            _OPEN.discard(self._source)
            self._attempt.end()

    def __del__(self) -> None:
        _OPEN.discard(self._source)
        self._attempt.end()


async def run(  # noqa: C901  # one case for each action
    exchange: Exchange,
    send: Callable[[Body | None, str | None], Awaitable[In]],
    *,
    admission: AdmissionRequest,
    on_end: Callable[[Exchange], None],
    interpreter: Interprets,
    memory: Remembers | None = None,
) -> Answer[In, AsyncPieces]:
    """Carry out the actions of an exchange until there is an answer to hand out.

    Args:
        exchange: the exchange, in its first state.
        send: sends a body (None for the agent's own bytes) with an API key (None for the
            agent's own) and returns the answer.
        admission: reserves the cost of each attempt.
        on_end: called once, when everything was handed out or given up.
        interpreter: runs the model's scripts.
        memory: what other processes remember; needed if the exchange loads from it.

    Returns:
        The answer: whole, local, or a stream.

    Raises:
        LimitExceeded: the limits do not admit the request.
        Exception: whatever `send` raises.
    """
    attempt, incoming = Attempt(exchange, admission, on_end), None
    try:
        action = exchange.start()
        while True:
            match action:
                case actions.Load(names):
                    action = exchange.loaded(await _load(names, exchange, memory))
                case actions.AnswerLocally() as local:
                    await _keep(exchange, memory, is_last=True)
                    attempt.end()
                    return Answer(None, local)
                case actions.RunScript(script):
                    action = exchange.ran(await interpreter.run_async(script))
                case actions.Reserve(cost, minimum, headroom):
                    with exchange.guard.step("admit"):
                        await admission.reserve_async(cost, minimum, headroom, exchange.waits)
                    action = exchange.reserved(admission.waited_s)
                case actions.Send(body):
                    with exchange.sending():
                        incoming = await send(body, attempt.api_key)
                    attempt.arrived()
                    action = exchange.received(incoming.head, time.time())
                    attempt.learn()
                case actions.Resend(body):
                    await _drop(sent(incoming))
                    action = actions.Send(body)
                case actions.Wait(seconds, refusal):
                    await _drop(sent(incoming))
                    await admission.pause_async(attempt.refused(refusal, seconds))
                    action = exchange.waited()
                case actions.AskAgain():
                    await sent(incoming).close()
                    attempt.settle()
                    action = exchange.ask_again()
                case actions.ReadFirst():
                    action = exchange.first(await sent(incoming).first())
                case actions.ReadBody():
                    action = exchange.body(await sent(incoming).read())
                case actions.Respond() as respond:
                    await sent(incoming).close()
                    await _keep(exchange, memory, is_last=True)
                    attempt.end()
                    return Answer(sent(incoming), respond)
                case actions.Stream():
                    arriving = sent(incoming)
                    source = arriving.pieces(exchange)
                    held = await _beginning(source, exchange, interpreter)
                    await _keep(exchange, memory)
                    if exchange.asks_again:
                        await source.aclose()
                        action = actions.AskAgain()
                    else:
                        pieces = AsyncPieces(source, arriving, attempt, held, interpreter, memory)
                        return Answer(arriving, pieces)
                case _:
                    assert_never(action)
    except BaseException as error:
        exchange.broke_off(error)
        await _give_up(incoming, attempt, error)
        raise


async def _next(source: AsyncPiecesSource, interpreter: Interprets) -> Any:
    """The next piece of a stream; the scripts that it waits for are run."""
    piece = await source.__anext__()
    while isinstance(piece, ScriptRun):
        piece = await source.asend(await interpreter.run_async(piece))
    return piece


async def _load(
    names: Sequence[str], exchange: Exchange, memory: Remembers | None
) -> Mapping[str, Sequence[bytes]]:
    """What other processes have kept under some names; nothing if that fails."""
    assert memory is not None  # only exchanges that share a memory load from it
    with exchange.guard.step("memory"):
        return await memory.load_async(names)
    return {}


async def _keep(exchange: Exchange, memory: Remembers | None, *, is_last: bool = False) -> None:
    """Keep what other processes have to know before anything more is handed out."""
    if memory is None or not (news := exchange.news(is_last=is_last)):
        return
    with exchange.guard.step("memory"):
        await memory.keep_async(news)


async def _beginning(
    source: AsyncPiecesSource, exchange: Exchange, interpreter: Interprets
) -> Held:
    """What has to wait of a stream, since the model may have to be asked again."""
    held = Held()
    while held.waits(exchange):
        try:
            held.pieces.append(await _next(source, interpreter))
        except StopAsyncIteration:
            break
        except Exception as error:  # raised later, where the agent reads to this place
            held.error = error
    return held


async def _give_up(incoming: AsyncIncoming | None, attempt: Attempt, error: BaseException) -> None:
    """Close the answer, if there is one, and end the attempt, even while being cancelled."""
    try:
        # A task that is destroyed, since its event loop is gone, cannot await anything.
        if incoming is not None and not isinstance(error, GeneratorExit):
            with anyio.CancelScope(shield=True):
                await incoming.close()
    finally:
        attempt.end()


async def _drop(incoming: AsyncIncoming) -> None:
    """Close an answer that is not used. It is read first, so the connection can be reused.

    A stream that does not end soon is closed without being read to its end.
    """
    with anyio.move_on_after(_ENDS_SOON_S):
        await incoming.read()
    with anyio.CancelScope(shield=True):
        await incoming.close()

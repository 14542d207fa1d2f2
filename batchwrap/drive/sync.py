"""The driver for threads. `batchwrap.drive.tasks` is the same for tasks; a test compares them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, assert_never

from batchwrap.core.exchange import actions
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats.chat import Body
from batchwrap.core.moves.script_run import ScriptRun
from batchwrap.drive.answer import Answer, Held, Incoming, Interprets, Remembers, sent
from batchwrap.drive.attempt import Attempt
from batchwrap.throttle.admission import AdmissionRequest

In = TypeVar("In", bound=Incoming)


class Pieces:
    """The stream of an answer. A second iteration continues where the first one stopped.

    However it ends (exhausted, closed, failed, dropped), the connection is let go and
    the reservation settled.
    """

    def __init__(
        self,
        source: Generator[Any, Any],
        incoming: Incoming,
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

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> Any:
        try:
            if self._held.pieces or self._held.error is not None:
                return self._held.take()
            if self._open is None:
                piece = _next(self._source, self._interpreter)
            else:
                with self._open:
                    piece = _next(self._source, self._interpreter)
            if self._memory is not None:
                _keep(self._attempt.exchange, self._memory)
            return piece
        except BaseException as error:  # StopIteration, too: either way it is over
            self._attempt.stopped(error)
            self.close()
            raise

    def close(self) -> None:
        """End the stream, early or not; later calls do nothing."""
        try:
            with suppress(ValueError):  # another thread is waiting in the generator
                self._source.close()
            self._incoming.close()
            _keep(self._attempt.exchange, self._memory, is_last=True)
        finally:
            self._attempt.end()

    def __del__(self) -> None:
        self._attempt.end()


def run(  # noqa: C901  # one case for each action
    exchange: Exchange,
    send: Callable[[Body | None, str | None], In],
    *,
    admission: AdmissionRequest,
    on_end: Callable[[Exchange], None],
    interpreter: Interprets,
    memory: Remembers | None = None,
) -> Answer[In, Pieces]:
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
                    action = exchange.loaded(_load(names, exchange, memory))
                case actions.AnswerLocally() as local:
                    _keep(exchange, memory, is_last=True)
                    attempt.end()
                    return Answer(None, local)
                case actions.RunScript(script):
                    action = exchange.ran(interpreter.run(script))
                case actions.Reserve(cost, minimum, headroom):
                    with exchange.guard.step("admit"):
                        admission.reserve(cost, minimum, headroom, exchange.waits)
                    action = exchange.reserved(admission.waited_s)
                case actions.Send(body):
                    with exchange.sending():
                        incoming = send(body, attempt.api_key)
                    attempt.arrived()
                    action = exchange.received(incoming.head, time.time())
                    attempt.learn()
                case actions.Resend(body):
                    _drop(sent(incoming))
                    action = actions.Send(body)
                case actions.Wait(seconds, refusal):
                    _drop(sent(incoming))
                    admission.pause(attempt.refused(refusal, seconds))
                    action = exchange.waited()
                case actions.AskAgain():
                    sent(incoming).close()
                    attempt.settle()
                    action = exchange.ask_again()
                case actions.ReadFirst():
                    action = exchange.first(sent(incoming).first())
                case actions.ReadBody():
                    action = exchange.body(sent(incoming).read())
                case actions.Respond() as respond:
                    sent(incoming).close()
                    _keep(exchange, memory, is_last=True)
                    attempt.end()
                    return Answer(sent(incoming), respond)
                case actions.Stream():
                    arriving = sent(incoming)
                    source = arriving.pieces(exchange)
                    held = _beginning(source, exchange, interpreter)
                    _keep(exchange, memory)
                    if exchange.asks_again:
                        source.close()
                        action = actions.AskAgain()
                    else:
                        pieces = Pieces(source, arriving, attempt, held, interpreter, memory)
                        return Answer(arriving, pieces)
                case _:
                    assert_never(action)
    except BaseException as error:
        exchange.broke_off(error)
        _give_up(incoming, attempt)
        raise


def _next(source: Generator[Any, Any], interpreter: Interprets) -> Any:
    """The next piece of a stream; the scripts that it waits for are run."""
    piece = next(source)
    while isinstance(piece, ScriptRun):
        piece = source.send(interpreter.run(piece))
    return piece


def _load(
    names: Sequence[str], exchange: Exchange, memory: Remembers | None
) -> Mapping[str, Sequence[bytes]]:
    """What other processes have kept under some names; nothing if that fails."""
    assert memory is not None  # only exchanges that share a memory load from it
    with exchange.guard.step("memory"):
        return memory.load(names)
    return {}


def _keep(exchange: Exchange, memory: Remembers | None, *, is_last: bool = False) -> None:
    """Keep what other processes have to know before anything more is handed out."""
    if memory is None or not (news := exchange.news(is_last=is_last)):
        return
    with exchange.guard.step("memory"):
        memory.keep(news)


def _beginning(source: Generator[Any, Any], exchange: Exchange, interpreter: Interprets) -> Held:
    """What has to wait of a stream, since the model may have to be asked again."""
    held = Held()
    while held.waits(exchange):
        try:
            held.pieces.append(_next(source, interpreter))
        except StopIteration:
            break
        except Exception as error:  # raised later, where the agent reads to this place
            held.error = error
    return held


def _give_up(incoming: Incoming | None, attempt: Attempt) -> None:
    """Close the answer, if there is one, and end the attempt."""
    try:
        if incoming is not None:
            incoming.close()
    finally:
        attempt.end()


def _drop(incoming: Incoming) -> None:
    """Close an answer that is not used. A whole body is read first, to reuse the connection."""
    incoming.read()
    incoming.close()

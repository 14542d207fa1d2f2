"""The pieces of a stream on their way through a pipe: with threads, and with tasks.

A pipe reads what came and says what to hand out. Where the model has written a script, it has to be
run before there is more: the run comes among the pieces, and its outcome is sent back.

Async streams are iterators that are not async generators. The event loop closes a collected async
generator in a task of its own. If that generator closes another one, which the loop is closing,
too, the second close fails ("asynchronous generator is already running").
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable
from typing import Any, Protocol

from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun


class Pipe(Protocol):
    """Passes what came of a stream through an exchange.

    Attributes:
        script_due: the script that has to be run before anything more is fed; None: none has.
    """

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that has to be run before anything more is fed; None: none has."""

    def feed(self, piece: Any, /) -> Iterable[Any]:
        """What to hand out for a piece that came."""

    def ran(self, outcome: ScriptOutcome, /) -> Iterable[Any]:
        """What to hand out once the script that is due has this outcome."""

    def finish(self) -> Iterable[Any]:
        """What to hand out when the stream is over."""


class BytesPipe(Protocol):
    """The same for bytes, of which there may be none to hand out.

    Attributes:
        is_paused: whether a script has to be run before anything more is fed.
    """

    is_paused: bool

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that has to be run before anything more is fed; None: none has."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to hand out for bytes that came."""

    def ran(self, outcome: ScriptOutcome) -> bytes:
        """The bytes to hand out once the script that is due has this outcome."""

    def finish(self) -> bytes:
        """The bytes to hand out when the stream is over."""


class BytePieces:
    """A pipe of bytes, as one of pieces; without one, bytes pass as they come.

    Args:
        pipe: it.
    """

    def __init__(self, pipe: BytesPipe | None) -> None:
        self._pipe = pipe

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that has to be run before anything more is fed; None: none has."""
        return None if self._pipe is None else self._pipe.script_due

    def feed(self, data: bytes) -> tuple[bytes, ...]:
        """The bytes to hand out for bytes that came, if any."""
        return _piece(data if self._pipe is None else self._pipe.feed(data))

    def ran(self, outcome: ScriptOutcome) -> tuple[bytes, ...]:
        """The bytes to hand out once the script that is due has this outcome, if any."""
        return () if self._pipe is None else _piece(self._pipe.ran(outcome))

    def finish(self) -> tuple[bytes, ...]:
        """The bytes to hand out when the stream is over, if any."""
        return () if self._pipe is None else _piece(self._pipe.finish())


def _piece(data: bytes) -> tuple[bytes, ...]:
    return (data,) if data else ()


def through(pipe: Pipe, source: Iterable[Any]) -> Generator[Any, Any]:
    """The pieces of a source, passed through a pipe.

    Yields:
        What to hand out, or a `ScriptRun`, for whose outcome it then waits.
    """
    for piece in source:
        yield from pipe.feed(piece)
        yield from waited_for(pipe)
    yield from pipe.finish()
    yield from waited_for(pipe)


def waited_for(pipe: Pipe) -> Generator[Any, Any]:
    """The scripts that a pipe waits for, each followed by what is handed out once it was run."""
    while (run := pipe.script_due) is not None:
        yield from pipe.ran((yield run))


class AsyncPiped:
    """Async iterator over a stream whose pieces pass through a pipe.

    Args:
        came: the pieces that were read already.
        source: the rest of the stream.
        pipe: says what to hand out.
    """

    def __init__(self, came: Iterable[Any], source: AsyncIterator[Any], pipe: Pipe) -> None:
        self._came = deque(came)
        self._source = source
        self._pipe = pipe
        self._ready: deque[Any] = deque()
        self._is_over = False

    def __aiter__(self) -> AsyncPiped:
        return self

    async def __anext__(self) -> Any:
        try:
            while not self._ready:
                if (run := self._pipe.script_due) is not None:
                    return run
                if self._is_over:
                    raise StopAsyncIteration
                self._ready.extend(await self._next())
        except BaseException:
            self._is_over = True
            raise
        return self._ready.popleft()

    async def asend(self, outcome: ScriptOutcome) -> Any:
        """The next piece, once the script that came in its place has this outcome."""
        self._ready.extend(self._pipe.ran(outcome))
        return await self.__anext__()

    async def aclose(self) -> None:
        """Close the rest of the stream."""
        self._is_over = True
        self._ready.clear()
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _next(self) -> Iterable[Any]:
        if self._came:
            return self._pipe.feed(self._came.popleft())
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            self._is_over = True
            return self._pipe.finish()
        return self._pipe.feed(piece)


class Failing:
    """A stream that raises an error as its next piece."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __aiter__(self) -> Failing:
        return self

    async def __anext__(self) -> Any:
        raise self._error

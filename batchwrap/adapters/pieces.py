"""Async streams as iterators that are not async generators.

The event loop closes a collected async generator in a task of its own. If that generator closes
another one, which the loop is closing, too, the second close fails ("asynchronous generator is
already running"). Iterators of a class of our own avoid this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any


class AsyncPiped:
    """Async iterator over a stream whose pieces pass through a pipe.

    Args:
        came: the pieces that were read already.
        source: the rest of the stream.
        feed: returns what to hand out for a piece.
        finish: returns what to hand out at the end.
    """

    def __init__(
        self,
        came: Iterable[Any],
        source: AsyncIterator[Any],
        feed: Callable[[Any], Iterable[Any]],
        finish: Callable[[], Iterable[Any]],
    ) -> None:
        self._came = deque(came)
        self._source = source
        self._feed = feed
        self._finish = finish
        self._ready: deque[Any] = deque()
        self._is_over = False

    def __aiter__(self) -> AsyncPiped:
        return self

    async def __anext__(self) -> Any:
        try:
            while not self._ready:
                if self._is_over:
                    raise StopAsyncIteration
                self._ready.extend(await self._next())
        except BaseException:
            self._is_over = True
            raise
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the rest of the stream."""
        self._is_over = True
        self._ready.clear()
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _next(self) -> Iterable[Any]:
        if self._came:
            return self._feed(self._came.popleft())
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            self._is_over = True
            return self._finish()
        return self._feed(piece)


class Failing:
    """A stream that raises an error as its next piece."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __aiter__(self) -> Failing:
        return self

    async def __anext__(self) -> Any:
        raise self._error

"""Makes an answer for the drivers of what a completion function returned or raised."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from inspect import isawaitable
from itertools import islice
from typing import Any

from batchwrap.adapters import sdk_errors
from batchwrap.adapters.events import Opening
from batchwrap.adapters.hints import is_cached
from batchwrap.adapters.objects import ChunkPipe, Templates
from batchwrap.adapters.pieces import AsyncPiped, Failing, through
from batchwrap.core.exchange.actions import Head, Respond
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.formats.format import Body
from batchwrap.errors import BrokenAnswer

_FREE = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,  # Responses and Messages
}


def is_stream(result: object, *, wanted: bool) -> bool:
    """Whether a result is a stream of chunks, whether it was `wanted` or not.

    Being iterable is not enough: completions are, and so are responses of some HTTP libraries.
    """
    if hasattr(result, "model_dump") or isinstance(result, dict | list | str | bytes):
        return False
    # If no stream was asked for, only an iterator is one, since completions can be iterated, too.
    names = ("__iter__", "__aiter__") if wanted else ("__next__", "__anext__")
    return any(hasattr(result, name) for name in names)


class _Result:
    """An answer.

    Args:
        original: what the function returned.
        templates: remembers the types.
        head: status, headers, and whether it is a stream.
        guard: the request's guard, since objects of other libraries may raise anything.
        error: the error that the function raised instead.
    """

    def __init__(
        self,
        original: Any,
        templates: Templates,
        head: Head,
        guard: Guard,
        error: Exception | None = None,
    ) -> None:
        self.original = original
        self.head = head
        self._templates = templates
        self._guard = guard
        self._error = error
        self._failed: Exception | None = None  # raised in place of one of a stream's first chunks
        self.came: list[Any] = []  # the first chunks of a stream, read in advance
        self.source: Any = None  # the rest of the stream
        self._seen = 0  # the number of these that were handed on

    def said(self) -> Body | None:
        """The body of the answer or of the error."""
        with self._guard.step("decode"):
            if self._error is not None:
                return sdk_errors.body_of(self._error)
            body = self._templates.as_dict(self.original)
            # An answer from a cache has cost no tokens.
            return {**body, "usage": _FREE} if body and is_cached(self.original) else body
        return None

    def out(self, respond: Respond) -> Any:
        """The result for the caller.

        Raises:
            Exception: the SDK's own error, if no retries are left.
            BrokenAnswer: the answer cannot be used.
        """
        if (error := self._error or self._failed) is not None:
            raise error
        # Another status than the function's success means that the exchange made an error of it.
        if respond.status is not None and respond.body is not None:
            raise BrokenAnswer(respond.body)
        # The first answer shows what local ones have to be like: what waits may be remembered.
        if respond.body is None and self._templates.whole is not None:
            return self.original
        with self._guard.step("encode"):
            maker = self._templates.maker()
            maker.see(self.original, self.said() or {})
            made = self.original if respond.body is None else maker.build(respond.body)
            self._templates.whole = maker
            return made
        return self.original

    def _next(self) -> Body | None:
        with self._guard.step("decode"):
            if self._failed is not None:
                return sdk_errors.event_of(self._failed)
            self._seen += 1
            return (
                self._body_of(self.came[self._seen - 1]) if self._seen <= len(self.came) else None
            )
        return None

    def _body_of(self, chunk: Any) -> Body | None:
        if not isinstance(chunk, bytes | str) or self._templates.is_chat:
            return self._templates.as_dict(chunk)
        opening = Opening(self._guard)
        opening.feed(chunk.encode() if isinstance(chunk, str) else chunk)
        return opening.next()

    def _fails(self, error: Exception) -> None:
        """Keep an error that came in place of a chunk, so that the exchange may retry."""
        if not sdk_errors.is_answer(error):
            raise error
        self._failed = error


class SyncResult(_Result):
    """The answer of a function."""

    def read(self) -> WholeBody:
        """The body."""
        return WholeBody(self.said())

    def start(self) -> None:
        """Read the first chunk of a stream, so that a generator sends its request now."""
        if self.source is None:
            self.source = iter(self.original)
        if self._seen == len(self.came):
            self.came.extend(islice(self.source, 1))

    def first(self) -> Body | None:
        """The first chunk of a stream, or the error in its place; with each call the next one."""
        try:
            self.start()
        except Exception as error:
            self._fails(error)
        return self._next()

    def pieces(self, exchange: Exchange) -> Generator[Any, Any]:
        """The chunks to hand out."""
        return through(ChunkPipe(exchange, self._templates), self._all())

    def _all(self) -> Iterator[Any]:
        """The chunks as they came, up to the error in the place of one."""
        yield from self.came
        if self._failed is not None:
            raise self._failed
        yield from self.source or self.original

    def close(self) -> None:
        """Close a stream; may be called twice."""
        if self.head.is_stream and hasattr(self.original, "close"):
            self.original.close()


class AsyncResult(_Result):
    """The answer of an async function."""

    async def read(self) -> WholeBody:
        """The body."""
        return WholeBody(self.said())

    async def start(self) -> None:
        """Read the first chunk of a stream, so that a generator sends its request now."""
        if self.source is None:
            self.source = aiter(self.original)
        if self._seen == len(self.came):
            async for chunk in self.source:
                self.came.append(chunk)
                break

    async def first(self) -> Body | None:
        """The first chunk of a stream, or the error in its place; with each call the next one."""
        try:
            await self.start()
        except Exception as error:
            self._fails(error)
        return self._next()

    def pieces(self, exchange: Exchange) -> AsyncPiped:
        """The chunks to hand out."""
        pipe = ChunkPipe(exchange, self._templates)
        source: Any = None if self._failed is None else Failing(self._failed)
        if source is None:
            source = aiter(self.original) if self.source is None else self.source
        return AsyncPiped(self.came, source, pipe)

    async def close(self) -> None:
        """Close a stream; may be called twice."""
        close = getattr(self.original, "aclose", None) or getattr(self.original, "close", None)
        closing = close() if self.head.is_stream and close is not None else None
        if isawaitable(closing):
            await closing

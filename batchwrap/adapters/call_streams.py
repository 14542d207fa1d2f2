"""Makes streams of the type that the function returned for translated chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing
from functools import lru_cache
from inspect import isasyncgen, isgenerator
from typing import Any

from batchwrap.adapters.api_objects import mark_local


def like(original: Any, pieces: Any) -> Any:
    """The pieces as an object of the original's type.

    It is an instance of a subclass that shares the original's attributes, so `isinstance`, hidden
    parameters and response headers stay. A generator cannot be subclassed, so it gets a generator.
    """
    if isgenerator(original):
        return _each(pieces)
    if isasyncgen(original):
        return _each_async(pieces)
    return _made(original, pieces, vars(original)) if hasattr(original, "__dict__") else pieces


def like_local(original: Any, chunks: list[Any], *, is_async: bool) -> Any:
    """The chunks of a local answer as a stream of the type of an earlier stream."""
    pieces = _chunks_async(chunks) if is_async else _each(chunks)
    if isgenerator(original) or isasyncgen(original) or not hasattr(original, "__dict__"):
        return pieces
    made = _made(original, pieces, dict(vars(original)))
    mark_local(made)
    if "chunks" in vars(made):
        made.chunks = chunks
    return made


def _made(original: Any, pieces: Any, fields: dict[str, Any]) -> Any:
    kind: Any = type(original)
    made: Any = object.__new__(_like_kind(kind, hasattr(pieces, "__anext__")))
    made.__dict__ = fields
    made._pieces = pieces  # in a slot: the fields are shared with the original
    return made


@lru_cache(maxsize=16)  # bounded: litellm's Router makes a class for each stream
def _like_kind(kind: Any, is_async: bool) -> type[Any]:
    """A subclass whose objects iterate over their pieces."""

    def close(self: Any) -> Any:
        return (getattr(self._pieces, "aclose", None) or self._pieces.close)()

    def pieces(self: Any) -> Any:
        return self._pieces

    methods: dict[str, Any] = {"__slots__": ("_pieces",), "close": close, "aclose": close}
    if is_async:
        methods |= {"__aiter__": pieces, "__anext__": lambda self: anext(self._pieces)}
    else:
        methods |= {"__iter__": pieces, "__next__": lambda self: next(self._pieces)}
    return type(kind.__name__, (kind,), methods)


def _each(pieces: Iterable[Any]) -> Generator[Any]:
    yield from pieces


async def _each_async(pieces: Any) -> AsyncGenerator[Any]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


async def _chunks_async(chunks: list[Any]) -> AsyncGenerator[Any]:
    for chunk in chunks:
        yield chunk

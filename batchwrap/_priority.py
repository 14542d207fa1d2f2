"""The priority of requests that wait for limits, set by the program for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from batchwrap.errors import ConfigError

_level: ContextVar[int] = ContextVar("batchwrap_priority", default=0)


@contextmanager
def priority(level: int) -> Iterator[None]:
    """Let the requests made inside the block go before those of a lower level; 0 is the default.

    Within a level, the order is first come, first served. A running request is never stopped.

    Args:
        level: a whole number; higher levels go first.

    Raises:
        ConfigError: the level is not a whole number.

    Example:
        >>> import batchwrap
        >>> with batchwrap.priority(1):
        ...     pass  # a person waits for this one
    """
    if isinstance(level, bool) or not isinstance(level, int):
        raise ConfigError("priority", f"{level!r} is not a whole number")
    token = _level.set(level)
    try:
        yield
    finally:
        _level.reset(token)


def current_priority() -> int:
    """The level of this thread or task."""
    return _level.get()

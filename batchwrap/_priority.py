"""Which requests go first where several wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from batchwrap.errors import ConfigError

_level: ContextVar[int] = ContextVar("batchwrap_priority", default=0)


@contextmanager
def priority(level: int) -> Iterator[None]:
    """Let the requests made inside go before those of a lower level; 0 is the default.

    First come, first served within a level. A request that is under way is never stopped.

    Args:
        level: a whole number; higher ones go first.

    Raises:
        ConfigError: the level is no whole number.

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

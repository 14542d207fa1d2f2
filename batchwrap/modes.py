"""The mode of the agent, set by the program for all requests made inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import get_args

from batchwrap.directives import Mode
from batchwrap.errors import ConfigError

_mode: ContextVar[Mode | None] = ContextVar("batchwrap_mode", default=None)


@contextmanager
def mode(name: Mode) -> Iterator[None]:
    """Declare that the requests made inside this block are planning, or building.

    It takes precedence over the mode that the conversation shows; the header
    ``x-batchwrap-mode`` of a request takes precedence over it. Tasks of asyncio and trio inherit
    it from the one that starts them; a new thread does not, unless it is started with a copy of
    the context, as `asyncio.to_thread` does.

    Args:
        name: ``"plan"`` or ``"build"``.

    Raises:
        ConfigError: the name is neither.

    Example:
        >>> import batchwrap
        >>> with batchwrap.mode("plan"):
        ...     pass  # the agent's requests
    """
    if name not in get_args(Mode):
        raise ConfigError("mode", f"{name!r} is neither 'plan' nor 'build'")
    token = _mode.set(name)
    try:
        yield
    finally:
        _mode.reset(token)


def current_mode() -> Mode | None:
    """The mode of the current block; None outside of any."""
    return _mode.get()


def as_mode(text: str | None) -> Mode | None:
    """The mode that a header names; None for any other text."""
    return next((mode for mode in get_args(Mode) if mode == text), None)

"""Signals that a thread, an asyncio task or a trio task can wait for.

One budget serves all three at the same time, so the request that frees tokens may run in a
different thread or event loop than the request that waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import ref

import anyio
import anyio.lowlevel

from batchwrap.errors import ClientClosed


class ThreadSignal:
    """Wakes a waiting thread."""

    # Unlike an event loop, a waiting thread cannot end before its wait does.
    is_closed = is_gone = False

    def __init__(self) -> None:
        # Released once the signal is set. A `threading.Event` has a lock and a condition, which
        # every request would pay for, although most do not wait.
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        """Wake the waiting thread or task. May be called in any thread."""
        with suppress(RuntimeError):  # it is set already
            self._unset.release()

    def wait(self, timeout_s: float) -> None:
        """Wait for `set`, or this many seconds; then the signal can be used again."""
        self._unset.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))


class TaskSignal:
    """Wakes a waiting asyncio or trio task. Made inside the task that waits."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        token: Any = anyio.lowlevel.current_token().native_token
        # Trio ends all tasks before it ends; asyncio's loops can be stopped or closed before that.
        self._loop: Any = token if hasattr(token, "is_closed") else None
        # asyncio's loop and trio's token have different names for this. anyio's own function would
        # block the calling thread.
        self._call_soon: Callable[[Callable[[], None]], object] = (
            token.run_sync_soon if hasattr(token, "run_sync_soon") else token.call_soon_threadsafe
        )

    @property
    def is_closed(self) -> bool:
        """Whether the waiting task will never run again."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def is_gone(self) -> bool:
        """Whether the waiting task cannot run now: its event loop is closed, or is not running."""
        return self._loop is not None and (self._loop.is_closed() or not self._loop.is_running())

    def set(self) -> None:
        """Wake the waiting thread or task. May be called in any thread."""
        with suppress(RuntimeError):  # its event loop is closed, so nothing waits
            self._call_soon(self._wake)

    async def wait(self, timeout_s: float) -> None:
        """Wait for `set`, or this many seconds; then the signal can be used again."""
        if self._loop is None:
            with anyio.move_on_after(timeout_s):
                await self._event.wait()
        else:
            # A cancel scope is avoided: anyio keeps the scopes of tasks that never continue, and so
            # would keep the tasks of a closed event loop for ever.
            timer = self._loop.call_later(min(timeout_s, threading.TIMEOUT_MAX), self._wake)
            try:
                await self._event.wait()
            finally:
                timer.cancel()
        self._event = anyio.Event()

    def _wake(self) -> None:
        self._event.set()


class Waits:
    """All waits of one client. Closing it, in any thread, ends them."""

    def __init__(self) -> None:
        # Weak, since a task whose event loop was closed never removes its signal.
        self._signals: dict[int, ref[ThreadSignal | TaskSignal]] = {}
        self._closed = False

    def close(self) -> None:
        """End all waits, including those that begin later."""
        self._closed = True
        for known in tuple(self._signals.values()):
            signal = known()
            if signal is not None:
                signal.set()

    def wait(self, signal: ThreadSignal, timeout_s: float) -> None:
        """Wait in this thread for the signal, or this many seconds.

        Raises:
            ClientClosed: the client is closed.
        """
        with self._watched(signal):
            signal.wait(timeout_s)

    async def wait_async(self, signal: TaskSignal, timeout_s: float) -> None:
        """Wait in this task. Raises as `wait` does."""
        with self._watched(signal):
            await signal.wait(timeout_s)

    @contextmanager
    def _watched(self, signal: ThreadSignal | TaskSignal) -> Iterator[None]:
        self._signals[id(signal)] = ref(signal)
        try:
            self._check()  # after the signal is registered, so that no close is missed
            yield
        finally:
            self._signals.pop(id(signal), None)
        self._check()

    def _check(self) -> None:
        if self._closed:
            raise ClientClosed


# The waits of a target that is never closed, such as a decorated function.
UNCLOSED = Waits()

"""One at a time, even if the garbage collector comes in by the same thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakSet

from batchwrap.errors import StoreUnavailable

T = TypeVar("T")


class Turnstile:
    """Runs what it is given one after the other.

    A dropped stream is settled by whoever runs the garbage collector, which may be a thread
    that is in the middle of an operation. What comes in that way waits until that one is done.
    """

    def __init__(self) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late: deque[Callable[[], None]] = deque()
        _turnstiles.add(self)

    def run(self, operation: Callable[[], T]) -> T:
        """Run this alone, and hand on what it returns."""
        with self._lock:
            if self._busy:
                raise RuntimeError("a store was asked while it was busy in the same thread")
            self._busy = True
            try:
                result = operation()
            finally:
                self._busy = False
            if self._late:
                self._catch_up()
            return result

    def run_soon(self, operation: Callable[[], None]) -> None:
        """Run this alone: now, or right after what this thread is busy with."""
        with self._lock:
            if self._busy:
                self._late.append(operation)
                return
        self.run(operation)

    def _catch_up(self) -> None:
        while self._late:
            with suppress(StoreUnavailable):  # its caller is gone
                self.run(self._late.popleft())

    def _reset(self) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late.clear()


_turnstiles: WeakSet[Turnstile] = WeakSet()


# Those that stand still while this thread forks.
_held: list[Turnstile] = []


def _before_fork() -> None:
    # SQLite in the child would take a transaction that is open here for one of its own.
    for turnstile in list(_turnstiles):
        turnstile._lock.acquire()
        _held.append(turnstile)


def _after_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()


def _after_in_child() -> None:
    # The thread that held a lock does not exist in the child.
    _held.clear()
    for turnstile in list(_turnstiles):
        turnstile._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )

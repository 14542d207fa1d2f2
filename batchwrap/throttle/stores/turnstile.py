"""Mutual exclusion for stores, without deadlocks when finalisers call them, too."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

from batchwrap.errors import StoreUnavailable

T = TypeVar("T")

_log = logging.getLogger("batchwrap")


class Turnstile:
    """Runs operations one after the other.

    A dropped stream is settled by the thread that happens to run the garbage collector, possibly in
    the middle of an operation. Such a settlement is run after that operation.

    Args:
        before_fork: called before this process forks, when no operation runs. With None, a fork
            does not wait for a running operation, since no other thread of a child uses it.
    """

    def __init__(self, before_fork: Callable[[], None] | None = None) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late: deque[Callable[[], object]] = deque()
        self._before_fork = before_fork
        if before_fork is not None:
            _turnstiles.add(self)

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation alone, after the postponed ones, and return its result.

        Raises:
            RuntimeError: it was called inside an operation.
        """
        try:
            with self._lock:
                if self._busy:
                    raise RuntimeError("a store was asked while it was busy in the same thread")
                if self._late:
                    self._catch_up()
                self._busy = True
                try:
                    return operation()
                finally:
                    self._busy = False
        finally:
            if self._late:
                self._drain()

    def run_soon(self, operation: Callable[[], object]) -> None:
        """Run an operation alone: now, or right after the running one. It never waits.

        So a finaliser, which may run while any lock is held, cannot block a thread.
        """
        if self._lock.acquire(blocking=False):
            try:
                if not self._busy:
                    self.run(operation)
                    return
            finally:
                self._lock.release()
        self._late.append(operation)
        self._drain()

    def _drain(self) -> None:
        """Run postponed operations, unless another thread is inside, which runs them afterwards."""
        while self._late and self._lock.acquire(blocking=False):
            try:
                if self._busy:
                    return
                self._catch_up()
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        while self._late:
            self._busy = True
            try:
                while self._late:
                    self._do(self._late.popleft())
            finally:
                self._busy = False

    def _do(self, operation: Callable[[], object]) -> None:
        """Run a postponed operation. Its errors are logged, and the others still run."""
        try:
            operation()
        except StoreUnavailable as error:
            _log.warning("%s", error)
        except Exception:
            _log.exception("a settlement failed")

    def _renew(self) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late.clear()


_turnstiles: WeakSet[Turnstile] = WeakSet()
# Held while a thread forks, since two such threads would wait for each other's locks.
_forking = threading.Lock()
# The turnstiles that are locked while this thread forks.
_held: list[Turnstile] = []


def _before() -> None:
    # A child must not begin with an operation of another thread that is half done.
    _forking.acquire()
    for turnstile in list(_turnstiles):
        turnstile._lock.acquire()
        _held.append(turnstile)
        if turnstile._before_fork is not None and not turnstile._busy:
            turnstile._before_fork()


def _after_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


def _after_in_child() -> None:
    # The threads that hold or await a lock do not exist in the child process.
    global _forking
    _held.clear()
    _forking = threading.Lock()
    for turnstile in list(_turnstiles):
        turnstile._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

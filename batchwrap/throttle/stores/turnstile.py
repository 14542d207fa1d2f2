"""Mutual exclusion for stores that finalisers call, too: a lock that never deadlocks with them."""

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

    A dropped stream is settled by the thread that happens to run the garbage collector, which may
    be in the middle of an operation. A settlement that comes in that way waits until that
    operation is done.

    Args:
        before_fork: called before this process forks, when no operation runs. None: a fork does
            not wait for the operation that runs, since no other thread of a child uses it.
    """

    def __init__(self, before_fork: Callable[[], None] | None = None) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late: deque[Callable[[], object]] = deque()
        self._before_fork = before_fork
        if before_fork is not None:
            _turnstiles.add(self)

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation alone, after those that are late, and return its result.

        Raises:
            RuntimeError: it was called inside of an operation.
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
        """Run an operation alone: now, or right after the one that is running. It never waits.

        So a finaliser, which may run anywhere and with any lock held, blocks no thread.
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
        """Run what is late, unless another thread is inside: that one drains when it leaves."""
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
        """Run one whose caller is gone: its errors are logged, and the others still run."""
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
# Held while a thread forks: two that fork at the same time would wait for each other's locks.
_forking = threading.Lock()
# The turnstiles that are locked while this thread forks.
_held: list[Turnstile] = []


def _before() -> None:
    # A child must not begin with half of an operation that another thread is in the middle of.
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
    # The threads that hold or await a lock do not exist in the child.
    global _forking
    _held.clear()
    _forking = threading.Lock()
    for turnstile in list(_turnstiles):
        turnstile._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

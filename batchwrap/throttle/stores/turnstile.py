"""One at a time, even if the garbage collector comes in by the same thread."""

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
    """Runs what it is given one after the other.

    A dropped stream is settled by whoever runs the garbage collector, which may be a thread
    that is in the middle of an operation. What comes in that way waits until that one is done.

    Args:
        before_fork: called before this process forks, when nothing runs. None: a fork does not
            wait for what runs here, since no other thread of a child will use it.
    """

    def __init__(self, before_fork: Callable[[], None] | None = None) -> None:
        self._lock, self._busy = threading.RLock(), False
        self._late: deque[Callable[[], object]] = deque()
        self._before_fork = before_fork
        if before_fork is not None:
            _turnstiles.add(self)

    def run(self, operation: Callable[[], T]) -> T:
        """Run this alone, after what is late, and hand on what it returns."""
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
        """Run this alone: now, or right after what is running. It never waits.

        So a finaliser, which may come in anywhere and hold anything, stops nobody.
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
        """Do what is late, unless somebody is inside, who will look for it when he is out."""
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
        """Its caller is gone, and the others wait: whatever goes wrong stops none of them."""
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
# Two threads that fork at the same time would each hold what the other one waits for.
_forking = threading.Lock()
# Those that stand still while this thread forks.
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

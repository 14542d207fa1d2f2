"""Renews locks, threads and connections in a forked child process.

A fork copies all locks of a process, but only the thread that forks. A lock that another thread
held is never released in the child. So an object that has a lock or a thread registers itself here,
and is renewed in the child. The locks of Python's own imports cannot be renewed. So code that
imports or reads something at its first use holds `LOADING`, and a fork waits until it is done.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import RLock
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """An object that must be renewed in a child process before it is used."""

    def after_fork(self) -> None:
        """Renew the state; called in the child, where only this thread exists."""
        ...


_known: WeakSet[Forked] = WeakSet()


def renew_in_child(one: Forked) -> None:
    """Call `after_fork` of this object in every child process, as long as the object lives."""
    _known.add(one)


_NOT_HELD = suppress(RuntimeError)


class ForkSafeLock:
    """A reentrant lock that is free in a child process.

    It is reentrant because the garbage collector may settle a stream in a thread that holds it.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = RLock()
        renew_in_child(self)

    def after_fork(self) -> None:
        """Replace the lock: the thread that held it does not exist in a child."""
        self._lock = RLock()

    def acquire(self, timeout_s: float = -1) -> bool:
        """Take the lock; False if that took longer than the timeout. -1 waits without a limit."""
        return self._lock.acquire(timeout=timeout_s)

    def release(self) -> None:
        """Release the lock; does nothing in a thread that does not hold it."""
        with _NOT_HELD:  # after a fork inside the block, the child has another lock
            self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        # As `release`, without the calls of `suppress`: each request locks a dozen times.
        try:  # noqa: SIM105
            self._lock.release()
        except RuntimeError:
            pass


# Held while something is imported, or read at its first use.
LOADING = ForkSafeLock()
_LONGEST_LOAD_S = 10.0  # bounded, since a thread that forks during an import waits for itself


def _before() -> None:
    LOADING.acquire(_LONGEST_LOAD_S)


def _after_in_child() -> None:
    for one in list(_known):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=LOADING.release, after_in_child=_after_in_child
    )

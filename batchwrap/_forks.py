"""What a forked child makes anew: locks that other threads held, threads, connections.

A fork copies the locks of a process as they are, but of its threads only the one that forks:
what another thread held is never released in the child. So whoever has a lock, or a thread of
its own, enters itself here, and begins anew in the child. The locks of Python's own imports
cannot be renewed: what is imported or read at its first use holds `LOADING`, and a fork waits
until it is done.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import RLock
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that must not be used in a child as it was in the parent."""

    def after_fork(self) -> None:
        """Begin anew; called in the child, where only this thread exists."""
        ...


_known: WeakSet[Forked] = WeakSet()


def renew_in_child(one: Forked) -> None:
    """Call `after_fork` of this object in every child process, as long as it lives."""
    _known.add(one)


_NOT_HELD = suppress(RuntimeError)


class ForkSafeLock:
    """A lock that a thread may take twice, and that is free in a child process.

    Twice, since the garbage collector may settle a stream in a thread that holds it.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = RLock()
        renew_in_child(self)

    def after_fork(self) -> None:
        """The thread that held the lock does not exist in a child."""
        self._lock = RLock()

    def acquire(self, timeout_s: float = -1) -> bool:
        """Whether it could be had in this time; without one, wait as long as it takes."""
        return self._lock.acquire(timeout=timeout_s)

    def release(self) -> None:
        """Let others have it; nothing happens in a thread that does not hold it."""
        with _NOT_HELD:  # forked inside of the block: in the child it is another lock
            self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


# Held while something is imported or read at its first use.
LOADING = ForkSafeLock()
_LONGEST_LOAD_S = 10.0  # a thread that forks while it imports could wait for itself


def _before() -> None:
    LOADING.acquire(_LONGEST_LOAD_S)


def _after_in_child() -> None:
    for one in list(_known):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=LOADING.release, after_in_child=_after_in_child
    )

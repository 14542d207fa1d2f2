"""Locks of a process that forks."""

from __future__ import annotations

import os
import threading

import pytest

from batchwrap._forks import ForkSafeLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def child_takes(lock: ForkSafeLock, *, inside: bool = False) -> int:
    """The exit status of a child that takes a lock, having left the block it was forked in."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        if inside:
            lock.__exit__(None, None, None)
        with lock, lock:
            os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_held_by_another_thread() -> None:
    """What another thread held when a process forked is free in the child, and held on here."""
    lock, held, done = ForkSafeLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert child_takes(lock) == 0
    assert not lock._lock.acquire(blocking=False)
    done.set()
    thread.join()


def test_held_by_the_thread_that_forks() -> None:
    """A block in which a process forks is left in both, and the lock is free in both."""
    lock = ForkSafeLock()
    with lock:
        assert child_takes(lock, inside=True) == 0
    assert child_takes(lock) == 0

"""Locks of a process that forks."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from batchwrap._forks import LOADING, ForkSafeLock

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


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_while_another_thread_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork waits for what is imported at its first use: a child would wait for it for ever."""
    main, begun = threading.get_ident(), threading.Event()

    def is_forking() -> bool:
        return sys._current_frames()[main].f_code.co_name == "acquire"

    def slow() -> None:
        begun.set()
        while not is_forking():
            time.sleep(0.001)

    def load() -> None:
        with LOADING:
            importlib.import_module("imported_slowly")

    text = "from threading import current_thread\ncurrent_thread().slow()\n"
    (tmp_path / "imported_slowly.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    thread = threading.Thread(target=load)
    thread.slow = slow  # type: ignore[attr-defined]
    thread.start()
    begun.wait()
    process = os.fork()
    if not process:
        try:
            load()
            os._exit(0)
        finally:
            os._exit(1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0

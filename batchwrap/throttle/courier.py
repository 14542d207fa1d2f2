"""One thread that does what may block, in order, and keeps what is held alive.

Settling must not make an event loop wait for a database, nor fail a request that has its
answer: what goes wrong here is logged, and the lease ends by itself when its time is over.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from batchwrap.errors import StoreUnavailable
from batchwrap.throttle.stores import Store

_log = logging.getLogger("batchwrap")
# Whoever does not renew what he holds for so long is taken for dead.
TTL_S = 60.0
_RENEW_S = TTL_S / 3
# At the end of the process, what is still to be settled gets so long.
_LAST_S = 2.0

Operation = Callable[[], object]


class Courier:
    """Runs operations on a store in a thread of its own, which starts with the first one.

    Args:
        store: whose leases and tickets are renewed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._todo: queue.SimpleQueue[Operation] = queue.SimpleQueue()
        self._held: dict[tuple[str, str], None] = {}  # (holder, key)
        self._thread: threading.Thread | None = None

    def send(self, operation: Operation) -> None:
        """Have an operation done soon; those that were sent before come first."""
        self._start()
        self._todo.put(operation)

    def hold(self, holder: str, key: str) -> None:
        """Keep a ticket, and the lease that it becomes, alive."""
        self._start()
        self._held[holder, key] = None

    def release(self, holder: str, key: str) -> None:
        """Let it go; it is settled or was left."""
        self._held.pop((holder, key), None)

    def flush(self, timeout_s: float) -> None:
        """Wait until everything that was sent is done, at most so long."""
        done = threading.Event()
        if self._thread is not None and self._pid == os.getpid():
            self._todo.put(done.set)
            done.wait(timeout_s)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():  # a fork has no threads, and holds nothing
                self._begin()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="batchwrap-courier", daemon=True
                )
                self._thread.start()
                _at_end(self.flush)

    def _run(self) -> None:
        renew_at_s = time.monotonic() + _RENEW_S
        while True:
            wait_s = max(0.0, renew_at_s - time.monotonic())
            try:
                self._do(self._todo.get(timeout=wait_s))
            except queue.Empty:
                renew_at_s = time.monotonic() + _RENEW_S
                for holder, key in list(self._held):
                    self._do(lambda holder=holder, key=key: self._store.renew(key, holder, TTL_S))  # type: ignore[misc]

    def _do(self, operation: Operation) -> None:
        try:
            operation()
        except StoreUnavailable as error:
            _log.warning("%s", error)


def _at_end(flush: Callable[[float], None]) -> None:
    """Flush when the process ends; children of multiprocessing end in a way of their own."""
    atexit.register(flush, _LAST_S)
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, flush, args=(_LAST_S,), exitpriority=1)

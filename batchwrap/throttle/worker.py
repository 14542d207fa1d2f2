"""The settlement worker: one thread that runs the store operations that may block, in order.

A settlement must not make an event loop wait for a database, nor fail a request that has its
answer. If the store is unavailable, the operation is kept and tried again for some time. Any other
error is logged, and the operations after it still run.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, WeakSet

from batchwrap._forks import renew_in_child
from batchwrap.errors import StoreRefused, StoreUnavailable

_log = logging.getLogger("batchwrap")
# How often the beat is called while a reservation is held or waits.
BEAT_S = 0.5
# A worker with nothing to do ends after this time.
_IDLE_S = 2.0
# An operation that failed because the store was unavailable is tried again, and finally dropped: by
# then the store has dropped the silent owner together with its reservations.
_AGAIN_S, _GIVE_UP_S = 5.0, 60.0
# How long the process waits for pending operations when it ends.
_LAST_S = 2.0

Operation = Callable[[], object]


class Worker:
    """Runs operations in a thread, which exists while there is something to do.

    Args:
        beat: a method that is called every `BEAT_S` and returns whether to call it again; the
            object that it belongs to is not kept alive.
    """

    def __init__(self, beat: Callable[[], bool]) -> None:
        self._beat = WeakMethod(beat)
        self._lock = threading.RLock()  # reentrant: a finaliser may run in the thread that holds it
        self._begin()
        renew_in_child(self)
        _workers.add(self)

    def _begin(self) -> None:
        self._todo: queue.SimpleQueue[Operation] = queue.SimpleQueue()
        self._late: deque[tuple[float, Operation]] = deque()  # with the time of its first failure
        self._again_at_s = 0.0
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Start anew in a child process: it has no thread, and its parent settles."""
        self._lock = threading.RLock()
        self._begin()

    @property
    def is_running(self) -> bool:
        """Whether the thread exists now."""
        return self._thread is not None

    def send(self, operation: Operation) -> None:
        """Run an operation soon, after those that were sent earlier."""
        self._todo.put(operation)
        self.watch()

    def settle(self, operation: Operation) -> None:
        """Run an operation soon, and again later if the store is unavailable."""
        self.send(lambda: self._keep(operation))

    def watch(self) -> None:
        """Start to call the beat, if the thread is not running."""
        if self._thread is None:
            with self._lock:
                self._start()

    def flush(self, timeout_s: float) -> None:
        """Wait until all operations so far are done, or this many seconds."""
        done = threading.Event()
        if self._thread is not None:
            self.send(done.set)
            done.wait(timeout_s)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="batchwrap-worker", daemon=True)
        if self._thread is None:
            self._thread = thread
            thread.start()
            _flush_at_end()

    def _run(self) -> None:
        beat_at_s = time.monotonic() + BEAT_S
        idle_from_s = beat_at_s
        while True:
            try:
                self._do(self._todo.get(timeout=max(0.0, beat_at_s - time.monotonic())))
                idle_from_s = time.monotonic()
            except queue.Empty:
                pass
            # By the clock, not when the queue is empty: under steady load it never is.
            if (now_s := time.monotonic()) >= beat_at_s:
                beat_at_s = now_s + BEAT_S
                if self._goes_on():
                    idle_from_s = time.monotonic()
                elif now_s - idle_from_s >= _IDLE_S and self._ends():
                    return

    def _goes_on(self) -> bool:
        """Call the beat once, and return whether there is something left to do."""
        self._try_again()
        wanted: list[bool] = []
        beat = self._beat()
        if beat is not None:
            self._do(lambda: wanted.append(beat()))
        return bool(self._late) or wanted == [True]

    def _ends(self) -> bool:
        """Whether this thread may end: not if an operation was sent in the meantime."""
        me, self._thread = self._thread, None
        if self._todo.empty():
            return True
        with self._lock:
            if self._thread is None:
                self._thread = me
            return self._thread is not me

    def _do(self, operation: Operation) -> None:
        try:
            operation()
        except StoreUnavailable as error:
            _log.warning("%s", error)
        except Exception:
            _log.exception("the settlement worker continues after an error")

    def _keep(self, operation: Operation) -> None:
        """Run a settlement now, or queue it after those that failed before."""
        if not self._late:
            try:
                operation()
                return
            except StoreRefused:
                raise
            except StoreUnavailable as error:
                _log.warning("%s; it is tried again for %g s", error, _GIVE_UP_S)
            self._again_at_s = time.monotonic() + _AGAIN_S
        self._late.append((time.monotonic(), operation))

    def _try_again(self) -> None:
        now_s = time.monotonic()
        while self._late and now_s >= self._again_at_s:
            since_s, operation = self._late[0]
            try:
                if now_s - since_s <= _GIVE_UP_S:
                    operation()
            except StoreRefused as error:
                _log.warning("%s", error)
            except StoreUnavailable:
                self._again_at_s = now_s + _AGAIN_S
                return
            except Exception:
                _log.exception("the settlement worker continues after an error")
            self._late.popleft()


_workers: WeakSet[Worker] = WeakSet()
_flushes_of: set[int] = set()  # processes that flush their workers at the end


def _flush_at_end() -> None:
    """Flush when the process ends. Children of multiprocessing skip `atexit` functions."""
    if os.getpid() in _flushes_of:
        return
    _flushes_of.add(os.getpid())
    atexit.unregister(_flush_all)
    atexit.register(_flush_all)
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _flush_all, exitpriority=1)


def _flush_all() -> None:
    until_s = time.monotonic() + _LAST_S
    for worker in list(_workers):
        worker.flush(max(0.0, until_s - time.monotonic()))

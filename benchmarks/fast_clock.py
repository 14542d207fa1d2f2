"""A process in which time runs faster: a minute's limit is played in a few seconds.

Everything in it that looks at a clock or waits does so on the faster one: our limiter, the
SDK's back-off, tenacity, the peers, the provider. So nobody's options have to be scaled, and
nobody's constants are out of proportion to the limits. Processes that were given the same
start agree about the time.

Call `install` before anything else is imported: many modules take `time.time` over by value.
What waits by a lock of the interpreter (a thread that waits for a thread) is not made faster,
except for events and queues.
"""

from __future__ import annotations

import queue
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any


def install(factor: float, start_s: float) -> None:
    """Let time run faster in this process, from now on.

    Args:
        factor: how many seconds pass in a real one.
        start_s: when both were the same, in real monotonic seconds.
    """
    real, ahead_s = time.monotonic, time.time() - time.monotonic()

    def monotonic() -> float:
        return start_s + (real() - start_s) * factor

    def unix() -> float:
        return monotonic() + ahead_s

    _replace(time, monotonic=monotonic, perf_counter=monotonic, time=unix)
    _replace(time, monotonic_ns=_in_ns(monotonic), time_ns=_in_ns(unix))
    _replace(time, sleep=_sooner(time.sleep, factor))
    _replace(threading.Condition, wait=_sooner(threading.Condition.wait, factor))
    for kind in {selectors.DefaultSelector, selectors.SelectSelector}:
        _replace(kind, select=_sooner(kind.select, factor))
    _replace(queue, SimpleQueue=_queue(factor))


def _replace(owner: Any, **new: Any) -> None:
    for name, value in new.items():
        setattr(owner, name, value)


def _in_ns(clock: Callable[[], float]) -> Callable[[], int]:
    return lambda: int(clock() * 1e9)


def _sooner(wait: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The same, with a last argument that is a time, made shorter."""

    def waits(*arguments: Any, timeout: float | None = None) -> Any:
        *before, last = (*arguments, timeout) if timeout is not None else arguments
        return wait(*before, last / factor if isinstance(last, int | float) else last)

    return waits


def _queue(factor: float) -> type[queue.SimpleQueue[Any]]:
    class SimpleQueue(queue.SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return super().get(block, None if timeout is None else timeout / factor)

    return SimpleQueue

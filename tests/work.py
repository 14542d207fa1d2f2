"""How much work something is, without a clock: calls made, and bytes allocated at each step.

A text that is copied for each piece, or looked at again from its start, shows in these as the
square of its length. Seconds would depend on how busy the machine is.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import settings

# A constant part (caches, first calls) is allowed for by comparing with less than sixteen.
_LINEAR = 6


def work(steps: Iterable[Any]) -> tuple[int, int]:
    """(calls of functions, bytes that steps allocated at once, summed up) of an iteration.

    Args:
        steps: each item that is taken is one step.
    """
    calls = allocated = 0

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    taken = iter(steps)
    tracemalloc.start()
    try:
        while True:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            sys.setprofile(count)
            try:
                next(taken)
            except StopIteration:
                return calls, allocated
            finally:
                sys.setprofile(None)
            allocated += max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def assert_linear(steps: Callable[[int], Iterable[Any]], size: int) -> None:
    """Four times the input is at most six times the work.

    Args:
        steps: makes the steps for an input of a size.
        size: of the smaller input, under the profile `ci`. The quick profile takes half of it.
    """
    if settings().max_examples < 100:
        size = max(16, size // 2)
    deque(steps(size), maxlen=0)  # what is made once, and cached
    small, large = work(steps(size)), work(steps(4 * size))
    assert large[0] <= _LINEAR * small[0], f"calls: {small[0]:,} -> {large[0]:,}"
    assert large[1] <= _LINEAR * small[1], f"bytes: {small[1]:,} -> {large[1]:,}"

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

from tests.strategies import is_thorough

# A constant part (caches, first calls) is allowed for by comparing with less than sixteen.
_LINEAR = 6


def calls(steps: Iterable[Any]) -> int:
    """How many functions are called, and left, in an iteration."""
    number = 0

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal number
        number += 1

    sys.setprofile(count)
    try:
        deque(steps, maxlen=0)
    finally:
        sys.setprofile(None)
    return number


def allocated(steps: Iterable[Any]) -> int:
    """The most bytes that each step of an iteration allocated at once, summed up."""
    total = 0
    taken = iter(steps)
    tracemalloc.start()
    try:
        while True:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                next(taken)
            except StopIteration:
                return total
            total += max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def assert_linear(steps: Callable[[int], Iterable[Any]], size: int) -> None:
    """Four times the input is at most six times the work.

    Args:
        steps: makes the steps for an input of a size.
        size: of the smaller input, under the profile `ci`. The quick profile takes half of it.
    """
    if not is_thorough():
        size = max(16, size // 2)
    deque(steps(size), maxlen=0)  # what is made once, and cached
    for count in (calls, allocated):  # one after the other: together they take three times as long
        small, large = count(steps(size)), count(steps(4 * size))
        assert large <= _LINEAR * small, f"{count.__name__}: {small:,} -> {large:,}"

"""Taking times of the same thing done in several ways, in turns, on a busy machine."""

from __future__ import annotations

import cProfile
import gc
import pstats
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import batchwrap


@dataclass(slots=True)
class Times:
    """Microseconds of one way to do a thing, of the thread that does it.

    A request is made in one thread: its own time is what nobody else on the machine disturbs.
    """

    taken: list[float] = field(default_factory=list)
    clock: Callable[[], int] = time.thread_time_ns

    def measure(self, do: Callable[[], object]) -> None:
        """Take the time of one go."""
        started = self.clock()
        do()
        self.taken.append((self.clock() - started) / 1_000)

    def above(self, other: Times) -> str:
        """The difference to the other, of the minima and of the medians."""
        least = min(self.taken) - min(other.taken)
        middle = median(self.taken) - median(other.taken)
        return f"{least:>9,.1f} {middle:>9,.1f}"

    def by(self, other: Times) -> str:
        """The same difference of the minima, in microseconds and as a ratio to the other."""
        least = min(self.taken) - min(other.taken)
        return f"{least:>9,.0f} {least / min(other.taken):>6.2f}"


def repeat(do: Callable[[], object], budget_s: float = 3.0) -> None:
    """Do it once for what is made once, and then again for so many seconds."""
    do()
    gc.collect()
    gc.disable()
    ends = time.monotonic() + budget_s
    while time.monotonic() < ends:
        do()
    gc.enable()


def profiled(do: Callable[[], object], times: int = 30, most: int = 15) -> Iterator[str]:
    """The functions of batchwrap, and what they call outside of it, by their own time."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(times):
        do()
    profiler.disable()
    home = str(Path(batchwrap.__file__).parent)
    stats: Any = pstats.Stats(profiler)
    rows = []
    for (path, line, name), (_, calls, own, total, callers) in stats.stats.items():
        if path.startswith(home):
            rows.append((own, total, calls, f"{_short(path, home)}:{line} {name}"))
            continue
        for (caller, _, place), (_, count, its_own, its_total) in callers.items():
            if caller.startswith(home):
                rows.append((its_own, its_total, count, f"{_short(caller, home)} {place}: {name}"))
    yield f"{'own µs':>9} {'with all':>9} {'calls':>7}"
    for own, total, calls, what in sorted(rows, reverse=True)[:most]:
        yield f"{own / times * 1e6:>9,.1f} {total / times * 1e6:>9,.1f} {calls // times:>7}  {what}"


def _short(path: str, home: str) -> str:
    return path[len(home) + 1 :]

"""How the work of each hot path grows with its input: the same at n and at 4n, as a ratio.

Four is linear; what looks at everything again for each piece has sixteen. The two sizes run in
turns, and the least of several times counts, so a busy machine does not matter. Memory is the
most that was allocated at once. With ``--most`` it fails where a ratio is above that.

Run it with ``python -m benchmarks.growth``.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tracemalloc
from collections import deque
from dataclasses import dataclass

from benchmarks import growth_formats, growth_logs, growth_paths
from benchmarks.growth_paths import Path

PATHS = [*growth_paths.PATHS, *growth_formats.PATHS, *growth_logs.PATHS]
_TIMES = 3
_AGAIN = 8  # more looks at a ratio that seems too high
_FACTOR = 4
# Less than this is not told apart from what does not grow.
_LEAST_S, _LEAST_BYTES = 0.0005, 50_000


def times(path: Path) -> tuple[float, float]:
    """Seconds for the smaller and for the larger input."""
    least = [float("inf"), float("inf")]
    for _ in range(_TIMES):
        for place, size in enumerate((path.size, _FACTOR * path.size)):
            steps = path.make(size)
            gc.collect()
            gc.disable()
            started = time.thread_time()
            deque(steps, maxlen=0)
            least[place] = min(least[place], time.thread_time() - started)
            gc.enable()
    return least[0], least[1]


def peaks(path: Path) -> tuple[int, int]:
    """Bytes allocated at once, for the smaller and for the larger input."""
    found = []
    for size in (path.size, _FACTOR * path.size):
        steps = path.make(size)
        gc.collect()
        tracemalloc.start()
        deque(steps, maxlen=0)
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return found[0], found[1]


@dataclass(slots=True)
class Growth:
    """What one path takes at two sizes.

    Attributes:
        path: the path.
        seconds: the least of what it took, for each size.
        peaks: bytes allocated at once, for each size.
    """

    path: Path
    seconds: tuple[float, float]
    peaks: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Growth:
        """Measure a path."""
        return cls(path, times(path), peaks(path))

    @property
    def slower(self) -> float:
        """How many times as long the larger input takes."""
        return self.seconds[1] / max(self.seconds[0], _LEAST_S)

    @property
    def larger(self) -> float:
        """How many times the memory it takes up."""
        return self.peaks[1] / max(self.peaks[0], _LEAST_BYTES)

    def is_above(self, most: float) -> bool:
        """Whether a ratio is too high, also when it is measured again."""
        for _ in range(_AGAIN):
            if self.slower <= most:
                break
            again = times(self.path)
            self.seconds = min(self.seconds[0], again[0]), min(self.seconds[1], again[1])
        return max(self.slower, self.larger) > most

    def __str__(self) -> str:
        small_s, large_s = self.seconds
        took = (
            f"{self.path.size:>7,} {small_s * 1e3:>9.1f} {large_s * 1e3:>9.1f} {self.slower:>6.1f}"
        )
        return f"{self.path.name:<44} {took} {self.peaks[1] / 1e6:>9.1f} {self.larger:>6.1f}"


def main() -> int:
    """Prints the table; 1 where a ratio is above what was asked for."""
    parser = argparse.ArgumentParser(description="How the work of each hot path grows.")
    parser.add_argument("--most", type=float, help="the highest ratio that is no failure")
    parser.add_argument("--only", default="", help="paths whose names have this in them")
    asked = parser.parse_args()
    print(f"{'':<44} {'n':>7} {'n: ms':>9} {'4n: ms':>9} {'ratio':>6} {'4n: MB':>9} {'ratio':>6}")
    steep = []
    for path in PATHS:
        if asked.only in path.name:
            growth = Growth.of(path)
            if asked.most is not None and growth.is_above(asked.most):
                steep.append(path.name)
            print(growth, flush=True)
    for name in steep:
        print(f"grows too fast: {name}", file=sys.stderr)
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())

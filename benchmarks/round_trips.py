"""The figures of the README: the demo's job, bare and wrapped, several times in one run.

Prints the median of each figure and of the ratios. Run it with `make benchmark-round-trips`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from batchwrap.demo import run
from batchwrap.demo.project import create

RUNS = 3


def main() -> None:
    """Prints one line for each figure: bare, wrapped, and wrapped / bare."""
    names: tuple[run.ArmName, ...] = ("bare", "wrapped")
    arms: dict[run.ArmName, list[run.DemoArm]] = {name: [] for name in names}
    for _ in range(RUNS):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                arm = run.simulated(name, create(Path(folder) / "project"))
            assert arm.done, f"{name}: {arm.error}"
            arms[name].append(arm)
    figures: dict[str, Callable[[run.DemoArm], float]] = {
        "round trips": lambda arm: arm.book.round_trips,
        "prompt tokens": lambda arm: arm.book.prompt_tokens or 0,
        "refusals (429)": lambda arm: arm.book.refusals,
        "seconds waiting": lambda arm: arm.waiting_s,
        "seconds in all": lambda arm: arm.wall_s,
    }
    print(f"median of {RUNS} runs; seconds are the simulated provider's")
    print(f"{'':<16} {'bare':>10} {'wrapped':>10} {'wrapped / bare':>15}")
    for title, figure in figures.items():
        bare, wrapped = (median(map(figure, arms[side])) for side in names)
        share = f"{wrapped / bare:.2f}" if bare else "-"
        print(f"{title:<16} {bare:>10,.0f} {wrapped:>10,.0f} {share:>15}")


if __name__ == "__main__":
    main()

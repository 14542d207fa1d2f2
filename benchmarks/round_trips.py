"""The figures of the README: the demo's job, bare and wrapped, at several plans.

Prints the median of each figure and of the ratios. Run it with `make benchmark-round-trips`; with
`--plot FOLDER` it draws the README's picture, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from batchwrap.demo import plot, run
from batchwrap.demo.demo_report import DemoResult
from batchwrap.demo.played_plan import PlayedPlan, played
from batchwrap.demo.project import create

RUNS = 3
# The plan of September 2025, and three of today.
PLANS = (
    run.PLAN,
    *map(played, ("cerebras/code-pro", "cerebras/code-max", "cerebras/payg-gpt-oss-120b")),
)
FIGURES: dict[str, Callable[[run.DemoArm], float]] = {
    "round trips": lambda arm: arm.book.round_trips,
    "prompt tokens": lambda arm: arm.book.prompt_tokens or 0,
    "refusals (429)": lambda arm: arm.book.refusals,
    "seconds waiting": lambda arm: arm.waiting_s,
    "seconds in all": lambda arm: arm.wall_s,
}


def main() -> None:
    """Prints, for each plan, one line for each figure: bare, wrapped, and wrapped / bare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the picture into it")
    folder = parser.parse_args().plot
    if folder is not None:
        _draw(folder)
    print(f"median of {RUNS} runs; seconds are the simulated provider's")
    for plan in PLANS:
        pairs = [(_arm("bare", plan), _arm("wrapped", plan)) for _ in range(RUNS)]
        print(f"\n{plan.name}: {plan}")
        print(f"{'':<16} {'bare':>10} {'wrapped':>10} {'wrapped / bare':>15}")
        for title, figure in FIGURES.items():
            bare, wrapped = (median(map(figure, arms)) for arms in zip(*pairs, strict=True))
            share = f"{wrapped / bare:.2f}" if bare else "-"
            print(f"{title:<16} {bare:>10,.0f} {wrapped:>10,.0f} {share:>15}")


def _arm(name: run.ArmName, plan: PlayedPlan) -> run.DemoArm:
    with tempfile.TemporaryDirectory() as folder:
        arm = run.simulated(name, create(Path(folder) / "project"), plan=plan)
    assert arm.done, f"{name}: {arm.error}"
    return arm


def _draw(folder: Path) -> None:
    names: tuple[run.ArmName, ...] = ("bare", "wrapped", "scripts")
    bare, wrapped, scripts = (_arm(name, run.PLAN) for name in names)
    result = DemoResult(
        bare=bare, wrapped=wrapped, scripts=scripts, stream=False, time_scale=run.TIME_SCALE
    )
    for theme in plot.THEMES:
        plot.save(result, folder / f"demo-{theme}.svg", theme)


if __name__ == "__main__":
    main()

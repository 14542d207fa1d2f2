"""The plot of the demo: the tokens of all arms over time, and the plan's limit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batchwrap.demo.book import TokensSpent
from batchwrap.demo.demo_report import DemoResult
from batchwrap.demo.run import DemoArm
from batchwrap.errors import MissingExtraError
from batchwrap.lab import RateLimit
from batchwrap.options import Limit
from batchwrap.providers import plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_S = 60.0
Steps = tuple[list[float], list[int]]

_NAMES = {"bare": "bare client", "wrapped": "batchwrap", "scripts": "batchwrap, with a script"}


@dataclass(frozen=True, slots=True)
class Theme:
    """The colors of a plot.

    Attributes:
        paper: behind everything.
        ink: of texts and axes.
        faint: of the grid and the plan's limit.
        arms: of each arm's line.
    """

    paper: str
    ink: str
    faint: str
    arms: dict[str, str]


THEMES: dict[Literal["light", "dark"], Theme] = {
    "light": Theme(
        "#ffffff",
        "#1f2328",
        "#818b98",
        {"bare": "#c0392b", "wrapped": "#0b67b2", "scripts": "#2e7d32"},
    ),
    "dark": Theme(
        "#0d1117",
        "#e6edf3",
        "#7d8590",
        {"bare": "#ff7b72", "wrapped": "#58a6ff", "scripts": "#56d364"},
    ),
}


def new_figure() -> Figure:
    """An empty figure that no window or global state belongs to; the one door to matplotlib.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("matplotlib", "plot") from missing
    return Figure(figsize=(9, 4.6), layout="constrained")


def save(result: DemoResult, path: Path, theme: Literal["light", "dark"] = "light") -> None:
    """Write the plot of all arms: an SVG if the file is called so, else a PNG.

    A line is the tokens so far and ends where its arm ended; refusals are crosses. What the plan
    lets through is drawn where it is known.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    colors, figure = THEMES[theme], new_figure()
    axes = figure.subplots()
    end_s = max(arm.wall_s for arm in result.arms)
    _dress(figure, axes, colors)
    of = result.endpoint.model if result.endpoint else f"simulated, limits of {result.plan.name}"
    axes.set_title(f"One job, tokens so far ({of})", color=colors.ink, loc="left", fontsize=11)
    for arm in result.arms:
        of_bare = f" in place of {result.bare.book.round_trips}" if arm is not result.bare else ""
        label = f"{_NAMES[arm.name]}\n{arm.book.round_trips} round trips{of_bare}"
        _draw(axes, arm, colors, f"{label}, {arm.wall_s:,.0f} s", is_longest=arm.wall_s == end_s)
    refill = _tokens_per_minute(result)
    if refill is not None:
        _draw_limit(axes, refill, end_s, colors)
    axes.set_xlim(0, max(end_s * 1.03, 1.0))
    axes.set_ylim(bottom=0)
    kind = "svg" if path.suffix == ".svg" else "png"
    figure.savefig(path, dpi=130, format=kind, metadata={"Date": None} if kind == "svg" else None)


def total(spent: Sequence[TokensSpent], until_s: float) -> Steps:
    """The tokens so far, as steps.

    Args:
        spent: what was used, and when.
        until_s: where the line ends.

    Returns:
        Times in seconds, and the sum from each of them on.
    """
    times, sums = [0.0], [0]
    for one in sorted(spent, key=lambda one: one.at_s):
        if one.at_s <= until_s:
            times.append(one.at_s)
            sums.append(sums[-1] + one.tokens)
    return [*times, until_s], [*sums, sums[-1]]


def _tokens_per_minute(result: DemoResult) -> float | None:
    """The limit of the plan, if it has one of this kind."""
    if result.endpoint is None:
        limits: Sequence[RateLimit | Limit] = result.plan.limits
    else:
        limits = () if result.endpoint.limits == "auto" else plan(result.endpoint.limits).limits
    of_tokens = [it for it in limits if it.kind == "tokens" and it.per_s == WINDOW_S]
    return of_tokens[0].amount if of_tokens else None


def _draw(axes: Axes, arm: DemoArm, colors: Theme, label: str, *, is_longest: bool) -> None:
    """The line of an arm, its name at the end, and a cross at each refusal."""
    color = colors.arms[arm.name]
    times, sums = total(arm.book.spent, arm.wall_s)
    axes.step(
        times, sums, where="post", color=color, linewidth=2.2, marker="o", markevery=[-1],
        solid_capstyle="round",
    )  # fmt: skip
    axes.annotate(
        label,
        (times[-1], sums[-1]),
        xytext=(-58, -44) if is_longest else (9, -7),
        textcoords="offset points",
        ha="right" if is_longest else "left",
        va="center",
        color=color,
        fontweight="bold",
        fontsize=10,
    )
    for number, at_s in enumerate(at_s for at_s in arm.book.refused_at_s if at_s <= times[-1]):
        level = sums[bisect_right(times, at_s) - 1]
        axes.plot([at_s], [level], "X", color=color, markeredgecolor=colors.paper, markersize=11)
        axes.annotate(
            "refused (429), waits" if number == 0 else "refused again",
            (at_s, level),
            xytext=(8, -14),
            textcoords="offset points",
            color=color,
            fontsize=9,
        )


def _draw_limit(axes: Axes, refill: float, end_s: float, colors: Theme) -> None:
    """What the plan lets through: a full bucket, and its refill."""
    ends = [refill, refill * (1 + end_s / WINDOW_S)]
    axes.plot([0, end_s], ends, color=colors.faint, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(
        end_s * 0.2,
        refill * (1 + 0.2 * end_s / WINDOW_S),
        f"what the plan lets through: {refill:,.0f}, and as many a minute",
        color=colors.faint,
        fontsize=9,
        va="bottom",
        rotation=math.degrees(math.atan2(ends[1] - ends[0], end_s)),
        rotation_mode="anchor",
        transform_rotates_text=True,
    )


def _dress(figure: Figure, axes: Axes, colors: Theme) -> None:
    figure.set_facecolor(colors.paper)
    axes.set_facecolor(colors.paper)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("seconds since the first request, by the provider's clock", color=colors.ink)
    axes.grid(axis="y", color=colors.faint, alpha=0.25)
    axes.tick_params(colors=colors.ink, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(colors.faint)

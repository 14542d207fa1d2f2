"""The plot of the demo: the tokens of all arms over time, and the plan's limit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

_COLORS = {"bare": "#c44e52", "wrapped": "#2a6f97", "scripts": "#55883b"}
_STYLES = {"bare": "--", "wrapped": "-", "scripts": "-."}


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
    return Figure(figsize=(10, 6.5), layout="constrained")


def save(result: DemoResult, path: Path) -> None:
    """Write the plot of all arms as a PNG.

    The upper part has all tokens so far, the lower part those of the last minute. Lines end
    where the arm ended; refusals are crosses. The plan's limit is drawn where it is known.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    arms, tokens_per_minute = result.arms, _tokens_per_minute(result)
    provider = (
        result.endpoint.model if result.endpoint else f"simulated: limits like {result.plan.name}"
    )
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True)
    figure.suptitle(f"One job, with the bare client and wrapped ({provider})", fontsize=12)
    end_s = max(arm.wall_s for arm in arms)
    for arm in arms:
        _draw(upper, arm, total(arm.book.spent, arm.wall_s), label=arm.name)
        _draw(lower, arm, trailing(arm.book.spent, arm.wall_s), label=None)
    if tokens_per_minute is not None:
        ends = [tokens_per_minute, tokens_per_minute * (1 + end_s / WINDOW_S)]
        label = "all that the plan lets out: a full bucket and its refill"
        upper.plot([0, end_s], ends, color="0.35", linewidth=1, label=label)
        label = f"the plan's refill: {tokens_per_minute:,.0f} a minute (a full bucket comes on top)"
        lower.axhline(tokens_per_minute, color="0.35", linewidth=1, linestyle=":", label=label)
    _dress(upper, "tokens so far")
    _dress(lower, f"tokens in the last {WINDOW_S:g} s")
    lower.set_xlabel("seconds since the first request, by the provider's clock")
    lower.set_xlim(0, end_s * 1.02)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130, format="png")


def total(spent: Sequence[TokensSpent], until_s: float) -> Steps:
    """The tokens so far, as steps."""
    return _steps([(one.at_s, one.tokens) for one in spent], until_s)


def trailing(spent: Sequence[TokensSpent], until_s: float) -> Steps:
    """The tokens of the last minute, as steps.

    Args:
        spent: what was used, and when.
        until_s: where the line ends.

    Returns:
        Times in seconds, and the sum from each of them on.
    """
    ups = [(one.at_s, one.tokens) for one in spent]
    return _steps([*ups, *((at_s + WINDOW_S, -tokens) for at_s, tokens in ups)], until_s)


def _tokens_per_minute(result: DemoResult) -> float | None:
    """The limit of the plan, if it has one of this kind."""
    if result.endpoint is None:
        limits: Sequence[RateLimit | Limit] = result.plan.limits
    else:
        limits = () if result.endpoint.limits == "auto" else plan(result.endpoint.limits).limits
    of_tokens = [it for it in limits if it.kind == "tokens" and it.per_s == WINDOW_S]
    return of_tokens[0].amount if of_tokens else None


def _steps(changes: Sequence[tuple[float, int]], until_s: float) -> Steps:
    times, sums = [0.0], [0]
    for at_s, change in sorted(changes):
        if at_s <= until_s:
            times.append(at_s)
            sums.append(sums[-1] + change)
    return [*times, until_s], [*sums, sums[-1]]


def _draw(axes: Axes, arm: DemoArm, steps: Steps, *, label: str | None) -> None:
    """The line of an arm, a dot where it ends, and a cross at each refusal."""
    color, (times, sums) = _COLORS[arm.name], steps
    if label is not None:
        label = f"{label}: {arm.book.round_trips} round trips in {arm.wall_s:,.0f} s"
    axes.step(
        times, sums, where="post", color=color, linestyle=_STYLES[arm.name], marker="o",
        markevery=[-1], label=label,
    )  # fmt: skip
    refused = [at_s for at_s in arm.book.refused_at_s if at_s <= times[-1]]
    if refused:
        levels = [sums[bisect_right(times, at_s) - 1] for at_s in refused]
        label = f"{arm.name}: refused (429)" if label is not None else None
        axes.plot(
            refused, levels, "X", color=color, markeredgecolor="white", markersize=11, label=label
        )


def _dress(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)

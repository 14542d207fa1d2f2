"""Means and shares with their 95 % confidence intervals. Pure arithmetic.

Means: a bootstrap within tasks. The tasks are fixed and the runs vary, so runs are resampled within
each task, and the mean is taken over all resampled runs. From n runs n - 1 are drawn, so that the
variance is that of the mean and not (n - 1)/n of it (Rao and Wu, Journal of the American
Statistical Association 83, 1988). Shares: Wilson's score interval; for a difference Newcombe's
hybrid of two of them (Statistics in Medicine 17, 1998, method 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

# The 97.5 % point of the normal distribution.
_Z = 1.959964
_DRAWS = 2_000
_SEED = 1  # fixed, so that the same numbers give the same interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: the mean, share or difference.
        low: the lower end; None if there are too few runs for an interval.
        high: the upper end; None likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


Groups = Sequence[Sequence[float]]


def mean(groups: Groups) -> Estimate:
    """The mean of all numbers.

    Args:
        groups: the numbers of each task; none is empty.

    Returns:
        The mean, without an interval if a task has only one number.
    """
    value = _mean([number for group in groups for number in group])
    if any(len(group) < 2 for group in groups):
        return Estimate(value)
    random = Random(_SEED)
    return Estimate(value, *_middle([_draw(groups, random) for _ in range(_DRAWS)]))


def mean_difference(groups: Groups, base: Groups) -> Estimate:
    """The mean of one arm minus that of another.

    Args:
        groups: the numbers of each task of the one arm; none is empty.
        base: those of the other arm.
    """
    numbers, others = ([n for group in arm for n in group] for arm in (groups, base))
    value = _mean(numbers) - _mean(others)
    if any(len(group) < 2 for group in (*groups, *base)):
        return Estimate(value)
    random = Random(_SEED)
    drawn = [_draw(groups, random) - _draw(base, random) for _ in range(_DRAWS)]
    return Estimate(value, *_middle(drawn))


def share(hits: int, count: int) -> Estimate:
    """A share, with Wilson's interval.

    Args:
        hits: the number of hits.
        count: the number of trials, 1 or more.
    """
    value, square = hits / count, _Z**2
    centre = (hits + square / 2) / (count + square)
    half = _Z * sqrt(value * (1 - value) / count + square / (4 * count**2))
    half *= count / (count + square)
    # For a share of 0 or 1 one end is the share itself; min and max remove the rounding error.
    return Estimate(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def share_difference(hits: int, count: int, base_hits: int, base_count: int) -> Estimate:
    """The difference of two shares, with Newcombe's interval."""
    one, two = share(hits, count), share(base_hits, base_count)
    value = one.value - two.value
    below = sqrt(_gap(one.value, one.low) ** 2 + _gap(two.value, two.high) ** 2)
    above = sqrt(_gap(one.value, one.high) ** 2 + _gap(two.value, two.low) ** 2)
    return Estimate(value, value - below, value + above)


def _gap(value: float, end: float | None) -> float:
    return 0.0 if end is None else value - end


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _draw(groups: Groups, random: Random) -> float:
    """The mean of one resampling, in which each task is weighted by its number of runs."""
    weighted = [len(group) * _mean(random.choices(group, k=len(group) - 1)) for group in groups]
    return sum(weighted) / sum(map(len, groups))


def _middle(drawn: list[float]) -> tuple[float, float]:
    """The ends of the interval that leaves out 2.5 % on each side."""
    drawn.sort()
    cut = len(drawn) // 40
    return drawn[cut], drawn[-1 - cut]

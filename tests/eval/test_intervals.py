"""The statistics, against published figures and against what they must obey."""

from __future__ import annotations

from math import sqrt
from statistics import stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwrap.eval import intervals
from batchwrap.eval.intervals import Estimate


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits: int, count: int, low: float, high: float) -> None:
    """A share's interval is that of Newcombe's table I (Statistics in Medicine 17, 857)."""
    it = intervals.share(hits, count)
    assert (it.value, it.low, it.high) == pytest.approx((hits / count, low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("one", "two", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 10), -0.2775, 0.2775),
    ],
)
def test_newcombe(one: tuple[int, int], two: tuple[int, int], low: float, high: float) -> None:
    """A difference's interval is method 10 of Newcombe's table II (ibidem, 873)."""
    it = intervals.share_difference(*one, *two)
    wanted = (one[0] / one[1] - two[0] / two[1], low, high)
    assert (it.value, it.low, it.high) == pytest.approx(wanted, abs=5e-5)


def test_the_mean_of_one_task() -> None:
    """Where the normal interval is known to be right, the bootstrap's is within 10 % of it."""
    numbers = [float(n) for n in range(1, 21)]
    it = intervals.mean([numbers])
    half = 1.96 * stdev(numbers) / sqrt(20)
    assert it.value == 10.5
    assert it.low is not None
    assert it.high is not None
    assert (10.5 - it.low, it.high - 10.5) == pytest.approx((half, half), rel=0.1)


def test_few_runs_are_not_taken_for_many() -> None:
    """With 3 runs of each of 20 tasks the interval has the width that it should have."""
    groups = [[10.0 * task, 10.0 * task + 3, 10.0 * task + 9] for task in range(20)]
    it = intervals.mean(groups)
    error = sqrt(sum(stdev(group) ** 2 / 3 for group in groups)) / 20
    assert it.low is not None
    assert it.high is not None
    assert (it.high - it.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_tasks_differ_and_that_is_no_noise() -> None:
    """Runs that agree have an interval of no width, however much the tasks differ."""
    assert intervals.mean([[5, 5, 5], [80, 80]]) == Estimate(35, 35, 35)
    assert intervals.mean_difference([[5, 5], [80, 80]], [[6, 6], [90, 90]]) == Estimate(
        -5.5, -5.5, -5.5
    )


def test_one_run_has_no_interval() -> None:
    """One run of a task does not say how much its runs vary."""
    assert intervals.mean([[5, 6], [7]]) == Estimate(6, None, None)
    assert intervals.mean_difference([[5, 6]], [[4]]) == Estimate(1.5, None, None)


numbers = st.lists(st.floats(0, 1e6), min_size=2, max_size=5)
tasks = st.lists(numbers, min_size=1, max_size=3)


@settings(max_examples=25)
@given(tasks, st.floats(-1e3, 1e3))
def test_the_mean_moves_with_the_numbers(groups: list[list[float]], by: float) -> None:
    """The interval is between the least and the greatest number, and moves along with all."""
    it = intervals.mean(groups)
    moved = intervals.mean([[number + by for number in group] for group in groups])
    flat = [number for group in groups for number in group]
    assert it.low is not None
    assert it.high is not None
    assert min(flat) - 1e-6 <= it.low <= it.high <= max(flat) + 1e-6
    assert (moved.value, moved.low, moved.high) == pytest.approx(
        (it.value + by, it.low + by, it.high + by), abs=1e-3
    )


@settings(max_examples=25)
@given(tasks)
def test_an_arm_against_itself(groups: list[list[float]]) -> None:
    """The difference of an arm to itself is 0, and 0 is in its interval."""
    it = intervals.mean_difference(groups, groups)
    assert it.low is not None
    assert it.high is not None
    assert it.value == 0
    assert it.low <= 0 <= it.high


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_stay_shares(given_share: tuple[int, int]) -> None:
    """A share's interval holds the share, and is inside 0 to 1."""
    it = intervals.share(*given_share)
    assert it.low is not None
    assert it.high is not None
    assert 0 <= it.low <= it.value <= it.high <= 1

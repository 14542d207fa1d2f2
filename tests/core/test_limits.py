"""The arithmetic of limits: never more than the quota, whatever the clock does."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.buckets import Buckets
from batchwrap.core.limits.cost import Cost, Usage, reserve, usage_of
from batchwrap.core.limits.refusal import read_refusal
from batchwrap.options import Limit

TOKENS = Limit("tokens", 600, 60)
REQUESTS = Limit("requests", 6, 60)


@given(
    st.lists(st.tuples(st.floats(-5, 60), st.integers(1, 600)), max_size=60),
    st.sampled_from([None, 50, 600]),
)
def test_never_above_the_quota(steps: list[tuple[float, int]], burst: int | None) -> None:
    """In any stretch of time no more is admitted than the bucket held plus what was refilled."""
    limit = Limit("tokens", 600, 60, burst=burst)
    buckets, now, latest = Buckets([limit], 0.0), 0.0, 0.0
    admitted: list[tuple[float, float]] = []
    for passed, tokens in steps:
        now = now + passed  # the clock may go back
        latest = max(latest, now)
        cost = Cost(1, tokens)
        if buckets.never_fits(cost) is None and buckets.wait_s(cost, now)[0] <= 0:
            buckets.take(cost, now)
            admitted.append((latest, tokens))
    for first, (start, _) in enumerate(admitted):
        total = 0.0
        for moment, taken in admitted[first:]:
            total += taken
            assert total <= limit.capacity + (moment - start) * limit.rate + 1e-6


@given(st.lists(st.integers(1, 600), min_size=1, max_size=20))
def test_the_wait_is_exact(costs: list[int]) -> None:
    """After the wait that was named the cost fits, and just before it does not."""
    buckets, now = Buckets([TOKENS], 0.0), 0.0
    for tokens in costs:
        cost = Cost(1, tokens)
        wait, limit = buckets.wait_s(cost, now)
        if wait > 1e-3:
            assert limit == TOKENS
            assert buckets.wait_s(cost, now + wait * 0.99)[0] > 0
        now += wait
        assert buckets.wait_s(cost, now)[0] == pytest.approx(0, abs=1e-9)
        buckets.take(cost, now)


def test_all_or_none() -> None:
    """A request waits for the slowest of its limits."""
    buckets = Buckets([TOKENS, REQUESTS], 0.0)
    for _ in range(6):
        buckets.take(Cost(1, 10), 0.0)
    for cost, seconds, slowest in ((Cost(1, 10), 10.0, REQUESTS), (Cost(0, 600), 6.0, TOKENS)):
        wait, limit = buckets.wait_s(cost, 0.0)
        assert wait == pytest.approx(seconds)
        assert limit == slowest


def test_settling() -> None:
    """What was reserved and not used comes back; what was used beyond is owed."""
    buckets = Buckets([TOKENS], 0.0)
    buckets.take(Cost(1, 500), 0.0)
    buckets.give(Cost(0, 400), 0.0)
    assert buckets.wait_s(Cost(1, 500), 0.0)[0] <= 0
    buckets.take(Cost(1, 500), 0.0)
    buckets.give(Cost(0, -300), 0.0)
    assert buckets.wait_s(Cost(1, 1), 0.0)[0] == pytest.approx(30.1)


@given(st.floats(0, 5), st.lists(st.integers(1, 600), min_size=1, max_size=12))
def test_a_slow_network_does_not_run_ahead(delay_s: float, costs: list[int]) -> None:
    """However late requests arrive, the provider's own bucket has room for each of them."""
    ours, theirs, now = Buckets([TOKENS], 0.0), Buckets([TOKENS], 0.0), 0.0
    for tokens in costs:
        cost = Cost(1, tokens)
        now += max(0.0, ours.wait_s(cost, now)[0])
        ours.take(cost, now)
        now += delay_s
        assert theirs.wait_s(cost, now)[0] <= 1e-9
        theirs.take(cost, now)
        ours.arrived(cost, now)


def test_giving_back_never_overflows() -> None:
    """A bucket never holds more than its capacity."""
    buckets = Buckets([TOKENS], 0.0)
    buckets.give(Cost(0, 10_000), 0.0)
    assert buckets.wait_s(Cost(1, 601), 0.0)[0] > 0


def test_closed() -> None:
    """Nothing is admitted before the time that the provider named."""
    buckets = Buckets([TOKENS], 0.0)
    buckets.close(5.0)
    buckets.close(3.0)
    assert buckets.wait_s(Cost(1, 1), 1.0)[0] == pytest.approx(4)
    assert buckets.wait_s(Cost(1, 1), 5.0)[0] <= 0


def test_a_wall() -> None:
    """A cost above the full bucket never fits, and the limit is named."""
    assert Buckets([REQUESTS, TOKENS], 0.0).never_fits(Cost(1, 601)) == TOKENS
    assert Buckets([], 0.0).never_fits(Cost(1, math.inf)) is None


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 1_124),
        ({"max_tokens": 50}, 150),
        ({"max_tokens": 1, "max_completion_tokens": 500}, 600),
        ({"max_tokens": 50, "n": 3}, 250),
    ],
)
def test_reserve(fields: dict[str, Any], tokens: int) -> None:
    """The prompt and the most that the answers may have are held back."""
    assert reserve(100, fields) == Cost(1, tokens)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, Usage(3, 4)),
        ({"usage": None}, None),
        ({"usage": {"prompt_tokens": 3}}, None),
        ({}, None),
    ],
)
def test_usage(body: dict[str, Any], usage: Usage | None) -> None:
    """Usage is read where it is complete."""
    assert usage_of(body) == usage


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "60"}, 60),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood, nonsense is not."""
    refusal = read_refusal(429, headers, now_unix_s=60.0)
    assert refusal is not None and refusal.retry_after_s == seconds


def test_other_answers_are_no_refusals() -> None:
    """Only status 429 is a refusal."""
    assert [read_refusal(status, {}, 0.0) for status in (200, 400, 500, 503)] == [None] * 4

"""Which accounts of a pool take requests, and when one that is out is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.testing import ManualClock
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.pool import Pool

A, B, C = (Account(name) for name in "abc")
ALL = (A, B, C)


@pytest.fixture
def clock() -> ManualClock:
    """Time that passes when it is told to."""
    return ManualClock()


@pytest.fixture
def pool(clock: ManualClock) -> Pool:
    """A pool in which nobody is out."""
    return Pool(clock.now)


def test_out_for_as_long_as_is_said(pool: Pool, clock: ManualClock) -> None:
    """A key that is out for an hour takes nothing for an hour, and comes back by one request."""
    pool.leave(A, "m", 3_600)
    assert pool.choose(ALL, "m") == (B, C)
    clock.sleep(3_599)
    assert pool.choose(ALL, "m") == (B, C)
    clock.sleep(2)
    assert pool.choose(ALL, "m") == (A, B, C), "one request tries it"
    assert pool.choose(ALL, "m") == (B, C), "the others do not"
    pool.came_back(A, "m")
    assert pool.choose(ALL, "m") == ALL


def test_without_a_time_it_is_tried_more_and_more_rarely(pool: Pool, clock: ManualClock) -> None:
    """After one minute, two, four, and at last once an hour."""
    tried_at_s = []
    pool.leave(A, "m", None)
    while clock.passed_s < 20_000:
        clock.sleep(10)
        if A in pool.choose(ALL, "m"):
            tried_at_s.append(clock.passed_s)
            pool.leave(A, "m", None)
    pauses = [b - a for a, b in zip([0, *tried_at_s], tried_at_s, strict=False)]
    assert pauses[:8] == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]


def test_requests_that_were_under_way_together(pool: Pool, clock: ManualClock) -> None:
    """Eight refusals at once are one: the pause does not grow by them."""
    for _ in range(8):
        pool.leave(A, "m", None)
    clock.sleep(61)
    assert pool.choose(ALL, "m")[0] is A


def test_a_try_that_was_given_up(pool: Pool, clock: ManualClock) -> None:
    """If the request that tries it never ends, another one does after the same pause."""
    pool.leave(A, "m", None)
    clock.sleep(61)
    assert pool.choose(ALL, "m")[0] is A
    clock.sleep(61)
    assert pool.choose(ALL, "m")[0] is A


def test_all_are_out(pool: Pool) -> None:
    """The one that comes back first is asked, so that its error is seen."""
    for account, seconds in ((A, 300), (B, 100), (C, 200)):
        pool.leave(account, "m", seconds)
    assert not pool.usable(ALL, "m")
    assert pool.choose(ALL, "m") == (B,)


def test_a_model_of_its_own(pool: Pool) -> None:
    """A key that is refused for one model takes requests for others."""
    pool.leave(A, "m", 100)
    assert pool.choose(ALL, "n") == ALL


def test_a_single_account_is_never_out(pool: Pool) -> None:
    """Without another one there is nothing to choose."""
    pool.leave(A, "m", 100)
    assert pool.choose((A,), "m") == (A,)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(ALL),
            st.sampled_from(["leave", "back", "choose"]),
            st.none() | st.floats(1, 1e6),
            st.floats(0, 1e4),
        ),
        max_size=30,
    )
)
def test_somebody_is_always_asked(
    steps: list[tuple[Account, str, float | None, float]],
) -> None:
    """Whatever happened, a choice is not empty, names nobody twice, and nobody from elsewhere."""
    clock = ManualClock()
    pool = Pool(clock.now)
    for account, step, told_s, wait_s in steps:
        clock.sleep(wait_s)
        if step == "leave":
            pool.leave(account, "m", told_s)
        elif step == "back":
            pool.came_back(account, "m")
        chosen = pool.choose(ALL, "m")
        assert chosen and len(set(chosen)) == len(chosen) and set(chosen) <= set(ALL)

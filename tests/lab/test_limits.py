"""The provider's own limits, on a clock that the tests move."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.errors import ConfigError
from batchwrap.lab.rate_limits import (
    RateLimit,
    RateLimitLedger,
    RateLimitRefusal,
    RateLimitReservation,
)

# (seconds since the last request, tokens reserved, share of them really used)
steps = st.lists(
    st.tuples(st.floats(0, 40), st.integers(1, 1200), st.floats(0, 1)), min_size=1, max_size=60
)


def admitted(outcome: RateLimitReservation | RateLimitRefusal) -> RateLimitReservation:
    assert isinstance(outcome, RateLimitReservation)
    return outcome


def refused(outcome: RateLimitReservation | RateLimitRefusal) -> RateLimitRefusal:
    assert isinstance(outcome, RateLimitRefusal)
    return outcome


def test_bucket_starts_full_and_refills_evenly() -> None:
    """A continuous limit admits all at once, then what has been refilled since."""
    ledger = RateLimitLedger([RateLimit("tokens", 600, 60)])
    admitted(ledger.reserve(0, 600))
    refusal = refused(ledger.reserve(1, 100))
    assert (refusal.requested, refusal.remaining, refusal.wait_s) == (100, 10, 9)
    admitted(ledger.reserve(10, 100))


def test_bucket_never_overflows() -> None:
    """A long pause fills a continuous limit to its amount and no further."""
    ledger = RateLimitLedger([RateLimit("tokens", 600, 60)])
    (standing,) = ledger.standings(10_000)
    assert (standing.remaining, standing.reset_s) == (600, 0)
    assert refused(ledger.reserve(10_000, 601)).wait_s == math.inf


def test_fixed_windows_are_aligned_to_the_start() -> None:
    """A fixed limit is whole again at each multiple of its period, however it was used."""
    ledger = RateLimitLedger([RateLimit("requests", 2, 60, "fixed")])
    admitted(ledger.reserve(58, 1))
    admitted(ledger.reserve(59, 1))
    assert refused(ledger.reserve(59.5, 1)).wait_s == 0.5
    admitted(ledger.reserve(60, 1))
    (standing,) = ledger.standings(61)
    assert (standing.remaining, standing.reset_s) == (1, 59)


def test_all_or_none() -> None:
    """A request that one limit refuses takes nothing from the others."""
    ledger = RateLimitLedger([RateLimit("requests", 10, 60), RateLimit("tokens", 100, 60)])
    refused(ledger.reserve(0, 101))
    requests, tokens = ledger.standings(0)
    assert (requests.remaining, tokens.remaining) == (10, 100)


def test_refusal_names_the_longest_wait() -> None:
    """Of several limits in the way, the one that clears last is reported."""
    day = RateLimit("tokens", 1000, 86_400)
    ledger = RateLimitLedger([RateLimit("tokens", 1000, 60), day])
    admitted(ledger.reserve(0, 1000))
    assert refused(ledger.reserve(1, 500)).limit == day


@pytest.mark.parametrize("mode", ["continuous", "fixed"])
def test_settlement_gives_back_what_was_not_used(mode: Any) -> None:
    """After settlement only the real use is booked, once, and requests stay counted."""
    ledger = RateLimitLedger(
        [RateLimit("tokens", 1000, 1e9, mode), RateLimit("requests", 5, 1e9, mode)]
    )
    reservation = admitted(ledger.reserve(1, 800))
    for _ in range(2):
        ledger.settle(2, reservation, 300)
    tokens, requests = ledger.standings(2)
    assert tokens.remaining == pytest.approx(700, abs=0.01)
    assert requests.remaining == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("mode", ["continuous", "fixed"])
def test_more_than_was_reserved_is_a_debt(mode: Any) -> None:
    """A request that used more than it reserved is charged for it."""
    ledger = RateLimitLedger([RateLimit("tokens", 100, 100, mode)])
    ledger.settle(0, admitted(ledger.reserve(0, 10)), 150)
    (standing,) = ledger.standings(0)
    assert standing.remaining == 0
    assert refused(ledger.reserve(0, 10)).wait_s == (60 if mode == "continuous" else 100)


def test_settlement_after_the_window_changes_nothing() -> None:
    """What was reserved in a window that is over gives the next one no more room."""
    ledger = RateLimitLedger([RateLimit("tokens", 100, 60, "fixed")])
    late = admitted(ledger.reserve(59, 100))
    admitted(ledger.reserve(61, 40))
    ledger.settle(62, late, 0)
    (standing,) = ledger.standings(62)
    assert standing.remaining == 60


@given(steps)
def test_continuous_use_stays_below_burst_and_refill(steps: list[tuple[float, int, float]]) -> None:
    """Up to any time, no more is used than the full bucket and what was refilled."""
    limit = RateLimit("tokens", 1000, 60)
    ledger, now_s, used = RateLimitLedger([limit]), 0.0, 0.0
    for pause_s, tokens, share in steps:
        now_s += pause_s
        outcome = ledger.reserve(now_s, tokens)
        if isinstance(outcome, RateLimitReservation):
            ledger.settle(now_s, outcome, tokens * share)
            used += tokens * share
        assert used <= 1000 + now_s * 1000 / 60 + 1e-3


@given(steps)
def test_fixed_use_stays_below_the_amount(steps: list[tuple[float, int, float]]) -> None:
    """In no window more is used than its amount."""
    limit = RateLimit("tokens", 1000, 60, "fixed")
    ledger, now_s = RateLimitLedger([limit]), 0.0
    used: dict[int, float] = {}
    for pause_s, tokens, share in steps:
        now_s += pause_s
        outcome = ledger.reserve(now_s, tokens)
        if isinstance(outcome, RateLimitReservation):
            ledger.settle(now_s, outcome, tokens * share)
            used[int(now_s // 60)] = used.get(int(now_s // 60), 0) + tokens * share
    assert all(amount <= 1000 + 1e-3 for amount in used.values())


@given(steps, st.sampled_from(["continuous", "fixed"]))
def test_a_refusal_tells_a_wait_that_suffices(
    steps: list[tuple[float, int, float]], mode: Any
) -> None:
    """After the wait that a refusal names, the same request is admitted."""
    ledger, now_s = RateLimitLedger([RateLimit("tokens", 1000, 60, mode)]), 0.0
    for pause_s, tokens, _ in steps:
        now_s += pause_s
        outcome = ledger.reserve(now_s, tokens)
        if isinstance(outcome, RateLimitRefusal) and math.isfinite(outcome.wait_s):
            now_s += outcome.wait_s + 1e-9
            admitted(ledger.reserve(now_s, tokens))


def test_concurrency_counts_what_runs() -> None:
    """No more run at the same time than the limit says; who ends makes room, once."""
    ledger = RateLimitLedger([RateLimit("concurrency", 2)])
    first = admitted(ledger.reserve(0, 100))
    admitted(ledger.reserve(0, 100))
    refused(ledger.reserve(1_000, 1))
    ledger.settle(1_001, first, 5_000)
    ledger.settle(1_001, first, 5_000)
    admitted(ledger.reserve(1_002, 100))
    refused(ledger.reserve(1_002, 1))
    assert ledger.standings(1_002) == []


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (("images", 1, 1), "kind"),
        (("tokens", 0, 1), "amount"),
        (("tokens", math.inf, 1), "amount"),
        (("tokens", 1, -1), "per_s"),
        (("tokens", 1, 1, "rolling"), "mode"),
    ],
)
def test_wrong_values_are_refused_by_name(values: Any, culprit: str) -> None:
    """A limit that makes no sense fails when it is made and says why."""
    with pytest.raises(ConfigError, match=rf"RateLimit\.{culprit}"):
        RateLimit(*values)

"""Ended requests by model and status: what is counted, and that clients cannot make it grow."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.options import Event
from batchwrap.serve.traffic import (
    BOUNDS_S,
    MOST_MODELS,
    MOST_OUTCOMES,
    OTHER_OUTCOME,
    Histogram,
    Traffic,
)
from batchwrap.stats import OTHER_MODELS


def ended(**data: Any) -> Event:
    """The end of a request."""
    return Event(name="ended", data={"model": "m", "duration_s": 0.5, **data})


def test_by_model() -> None:
    """A request counts under its model and status, with its tokens, durations and waits."""
    traffic = Traffic()
    traffic.take(ended(status=200, round_trips=2, prompt_tokens=9, first_s=0.1, waited_s=3.0))
    traffic.take(ended(status=429, error="429", round_trips=1))
    traffic.take(ended(error="httpx2.ConnectError"))
    traffic.take(Event(name="refused", data={"status": 429}))
    assert traffic.ended == {
        ("m", "200", "provider"): 1,
        ("m", "429", "provider"): 1,
        ("m", "httpx2.ConnectError", "provider"): 1,
    }
    assert traffic.tokens["m", "prompt"] == 9
    assert traffic.round_trips["m",] == 3
    assert traffic.waits["m",].sum_s == 3.0
    assert traffic.firsts["m",].buckets[-1] == ("+Inf", 1)


def test_local_answers() -> None:
    """A local answer is told apart, since it takes no time and would distort that of the others."""
    traffic = Traffic()
    traffic.take(ended(local=True))
    assert traffic.ended == {("m", "200", "local"): 1}
    assert set(traffic.durations) == {("m", "local")}
    assert not traffic.waits and not traffic.tokens


def test_bounded() -> None:
    """Clients name models, and an upstream chooses statuses: what is too much counts together."""
    traffic = Traffic()
    for number in range(3 * MOST_MODELS):
        traffic.take(ended(model=f"m{number}" * 100, status=200 + number))
    models = {by[0] for by in traffic.ended}
    assert len(models) == MOST_MODELS + 1 and OTHER_MODELS in models
    outcomes = {by[1] for by in traffic.ended}
    assert len(outcomes) == MOST_OUTCOMES + 1 and OTHER_OUTCOME in outcomes
    assert traffic.ended.total() == 3 * MOST_MODELS
    assert len(traffic.durations) == MOST_MODELS + 1
    assert max(map(len, models)) <= 100


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_histograms(durations: list[float]) -> None:
    """Each bucket holds what is at most its bound; the last one holds all."""
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    *bounded, (last, whole) = histogram.buckets
    assert [count for _, count in bounded] == [
        sum(seconds <= bound for seconds in durations) for bound in BOUNDS_S
    ]
    assert (last, whole) == ("+Inf", len(durations))

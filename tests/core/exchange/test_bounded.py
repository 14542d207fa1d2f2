"""What is kept has limits with names, whatever agents and providers send."""

from __future__ import annotations

from batchwrap.core.exchange.model_observations import MOST_MODELS, ModelObservations
from batchwrap.core.exchange_metrics import MOST_EVENTS, ExchangeMetrics
from batchwrap.stats import (
    LONGEST_NAME,
    OTHER_MODELS,
    Counters,
    directive_counter,
    malformed_counter,
    undeclared_counter,
)
from batchwrap.stats import MOST_MODELS as MOST_COUNTED
from batchwrap.throttle.stores.contract import TokenTotals
from batchwrap.throttle.stores.in_memory import MAX_LINES, MemoryStore


def test_models_that_are_named_once() -> None:
    """Of models without number those are known that were used last."""
    observations = ModelObservations()
    for number in range(3 * MOST_MODELS):
        model = f"m{number}"
        observations.judge_call(model, malformed=True)
        observations.judge_pace(model, 100)
        observations.judge_reminder(model, "prefetch", followed=False)
        observations.switch_off(model, "offer")
        assert observations.most_items(f"asked{number}", 8) == 8
    assert len(observations) == MOST_MODELS
    assert observations.is_off(f"m{3 * MOST_MODELS - 1}", "offer")
    assert not observations.is_off("m0", "offer")
    assert observations.tokens_per_s("m0") is None


def test_a_model_that_is_in_use_stays_known() -> None:
    """Others that come and go do not push it out."""
    observations = ModelObservations()
    for number in range(3 * MOST_MODELS):
        observations.judge_pace("used", 100)
        observations.judge_pace(f"m{number}", 100)
    assert observations.tokens_per_s("used") == 100


def test_counters_by_model() -> None:
    """Too many models are counted together; no count is lost."""
    counters = Counters(above=None)
    for number in range(3 * MOST_COUNTED):
        model = f"m{number}\nodd"
        counters.add({directive_counter(model, "prefetch", "given"): 1, "requests": 1})
        counters.add({malformed_counter(model, "whole"): 1})
    stats = counters.stats()
    assert stats.requests == 3 * MOST_COUNTED
    assert len(stats.directives) <= MOST_COUNTED + 1
    assert OTHER_MODELS in stats.malformed
    given = [counts["prefetch"]["given"] for counts in stats.directives.values()]
    assert sum(given) == sum(c["whole"] for c in stats.malformed.values()) == 3 * MOST_COUNTED


def test_long_names() -> None:
    """A name that fills a request is cut, and counts as the same one each time."""
    counters, model, tool = Counters(above=None), "m" * 1_000_000, "t" * 1_000_000
    for _ in range(2):
        counters.add({directive_counter(model, "prefetch", "given"): 1})
        counters.add({malformed_counter(model, "in_part"): 1, undeclared_counter(tool): 1})
    stats, cut = counters.stats(), "m" * LONGEST_NAME
    assert stats.directives == {cut: {"prefetch": {"given": 2}}}
    assert stats.malformed == {cut: {"in_part": 2}}
    assert stats.undeclared == {"t" * LONGEST_NAME: 2}


def test_events_of_one_request() -> None:
    """All repairs are counted, the last event is always told."""
    metrics = ExchangeMetrics()
    for _ in range(3 * MOST_EVENTS):
        metrics.add("repairs.call_id")
        metrics.note("repaired", repair="call_id")
    metrics.note("defect", kind="incomplete_stream")
    assert metrics.counts["repairs.call_id"] == 3 * MOST_EVENTS
    assert len(metrics.events) == MOST_EVENTS
    assert metrics.events[-1].data["kind"] == "incomplete_stream"


def test_the_books_of_the_memory_store() -> None:
    """What models without number have spent is kept together, and adds up."""
    store = MemoryStore(clock=lambda: 0.0)
    for number in range(MAX_LINES):
        store.spend("account", f"m{number}", TokenTotals(1))
    lines = [line for line in store.usage("account") if line.span == "minute"]
    assert len(store.usage("account")) <= MAX_LINES + 2
    assert sum(line.spent.requests for line in lines) == MAX_LINES

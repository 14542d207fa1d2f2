"""Counts and reports what happens in one exchange: waits, refusals, repaired events, usage."""

from __future__ import annotations

from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.observer import Observer
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.limits.cost import Usage
from batchwrap.core.limits.refusal import Refusal
from batchwrap.options import Limit

# A shorter wait is no wait: it is the time that the call itself takes.
_WORTH_TELLING_S = 0.001


class ExchangeCounts:
    """Fills the counters and events of an exchange.

    Args:
        metrics: the counters and events.
        observer: is told of waits while they last.
        guard: catches errors of the observer.
    """

    def __init__(self, metrics: ExchangeMetrics, observer: Observer, guard: Guard) -> None:
        self._metrics = metrics
        self._observer = observer
        self._guard = guard

    def waits(self, expected_s: float | None, limit: Limit | None) -> None:
        """A wait begins; None for what is not known of it."""
        if expected_s is None or expected_s >= _WORTH_TELLING_S:
            facts = {
                "expected_s": None if expected_s is None else round(expected_s, 3),
                "limit": None if limit is None else str(limit),
            }
            known = {name: fact for name, fact in facts.items() if fact is not None}
            self._metrics.note("waiting", **known)
            self._observer.progressed(self._metrics, self._guard)

    def waited(self, seconds: float) -> None:
        """A wait is over."""
        if seconds >= _WORTH_TELLING_S:
            self._metrics.add("waited_s", seconds)
            self._metrics.note("waited", seconds_s=round(seconds, 3))
            self._observer.progressed(self._metrics, self._guard)

    def refused(self, refusal: Refusal) -> None:
        """The provider has refused the request, or ended its answer with a refusal."""
        self._metrics.add("refusals")
        self._metrics.note(
            "refused",
            status=refusal.status,
            kind=refusal.kind,
            scope=refusal.scope,
            retry_after_s=refusal.retry_after_s,
        )

    def repaired(self, repair: str) -> None:
        """The form of an answer, or of an event of it, was repaired."""
        self._metrics.add(f"repairs.{repair}")
        self._metrics.note("repaired", repair=repair)

    def used(self, usage: Usage | None) -> None:
        """The provider has reported this usage of an answer."""
        if usage is not None:
            self._metrics.add("prompt_tokens", usage.prompt_tokens)
            self._metrics.add("completion_tokens", usage.completion_tokens)
            self._metrics.add("cached_tokens", usage.cached_tokens)

    def impossible_usage(self) -> None:
        """An answer has reported more tokens than any request has."""
        self._metrics.add("defects.impossible_usage")

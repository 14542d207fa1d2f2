"""The counters of `batchwrap.stats` in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from batchwrap.stats import Stats

_PREFIX = "batchwrap_"
_HELP = "See batchwrap.Stats"
_LABELS = {
    "only_throttled": "endpoint",
    "repairs": "repair",
    "defects": "defect",
    "undeclared": "tool",
}


class Metrics(Collector):
    """The counters of one client, and the number of running requests.

    Args:
        stats: returns the current counters.
    """

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.in_progress = Gauge(
            f"{_PREFIX}requests_in_progress", "Requests under way", registry=self._registry
        )

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, in the form that the `Accept` header asks for, and its type."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """The counters by name."""
        counted = self._stats().as_dict()
        waiting = counted.pop("waiting")
        yield GaugeMetricFamily(f"{_PREFIX}waiting", "Requests that wait now", len(waiting))
        yield _directives(counted.pop("directives"))
        yield _malformed(counted.pop("malformed"))
        for name, label in _LABELS.items():
            yield _labelled(name, label, counted.pop(name))
        for name, value in counted.items():
            # Prometheus requires units to be written out.
            full = name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
            yield CounterMetricFamily(_PREFIX + full, f"{_HELP}.{name}", value)


def _labelled(name: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, f"{_HELP}.{name}", labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _directives(counts: Mapping[str, Any]) -> Metric:
    family = CounterMetricFamily(
        f"{_PREFIX}directives", f"{_HELP}.directives", labels=["model", "directive", "what"]
    )
    for model, by_directive in counts.items():
        for directive, whats in by_directive.items():
            for what, count in whats.items():
                family.add_metric([model, directive, what], count)
    return family


def _malformed(counts: Mapping[str, Mapping[str, int]]) -> Metric:
    family = CounterMetricFamily(
        f"{_PREFIX}malformed", f"{_HELP}.malformed", labels=["model", "understood"]
    )
    for model, by_outcome in counts.items():
        for understood, count in by_outcome.items():
            family.add_metric([model, understood], count)
    return family

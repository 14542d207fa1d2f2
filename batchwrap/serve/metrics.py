"""The counters, durations and buckets of one client in the text format of Prometheus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from inspect import getdoc
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from batchwrap.serve.traffic import Traffic
from batchwrap.stats import Stats
from batchwrap.throttle.standing import Standing

_PREFIX = "batchwrap_"
# The labels of counters that are kept by name.
_LABELS = {
    "only_throttled": ("endpoint",),
    "repairs": ("repair",),
    "defects": ("defect",),
    "undeclared": ("tool",),
    "malformed": ("model", "understood"),
    "directives": ("model", "directive", "what"),
}
# What `Traffic` has counted and measured: the attribute, the help text, the labels.
_COUNTED = {
    "answers": (
        "ended",
        "Ended requests, by HTTP status or kind of error, and by who answered",
        ("model", "status", "source"),
    ),
    "model_tokens": (
        "tokens",
        "Tokens as the provider counted them; cached ones are among those of the prompt",
        ("model", "kind"),
    ),
    "model_round_trips": (
        "round_trips",
        "Requests that reached the provider, including refused ones",
        ("model",),
    ),
}
_MEASURED = {
    "request_duration_seconds": (
        "durations",
        "Time from a request to the end of its answer, waits and retries included",
        ("model", "source"),
    ),
    "first_event_seconds": (
        "firsts",
        "Time from a request to the first event of its stream",
        ("model",),
    ),
    "wait_seconds": (
        "waits",
        "Time that a request waited for limits and after refusals; 0 if it did not",
        ("model",),
    ),
}
_OF_BUCKETS = {
    "capacity": "Size of a limit's bucket, in what the limit counts",
    "free": "What can be taken from a limit's bucket now; negative if too much was spent",
    "reserved": "What running requests have reserved of a limit's bucket",
    "full_seconds": "Time until a limit's bucket is full again if no request is made",
}


def _documented() -> dict[str, str]:
    """What the documentation of `Stats` says of each counter, in one line."""
    entries = re.findall(r"(?ms)^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", getdoc(Stats) or "")
    texts = {**dict(entries), "round_trips_saved": getdoc(Stats.round_trips_saved) or ""}
    return {name: " ".join(text.split()) for name, text in texts.items()}


_HELP = _documented()


class Metrics(Collector):
    """What one client has counted, and the number of running requests.

    Args:
        stats: returns the current counters.
        traffic: the ended requests, by model.
        standings: returns the buckets.
    """

    def __init__(
        self,
        stats: Callable[[], Stats],
        traffic: Traffic,
        standings: Callable[[], Sequence[Standing]] = tuple,
    ) -> None:
        self._stats = stats
        self._traffic = traffic
        self._standings = standings
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.in_progress = Gauge(
            f"{_PREFIX}requests_in_progress",
            "Requests of clients that are not answered yet, those to any path included",
            registry=self._registry,
        )

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, in the form that the `Accept` header asks for, and its type."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """The metrics by name."""
        yield from self._counters()
        yield from self._by_model()
        yield from self._buckets()

    def _counters(self) -> Iterator[Metric]:
        counted = self._stats().as_dict()
        waiting = counted.pop("waiting")
        yield GaugeMetricFamily(f"{_PREFIX}waiting", "Requests that wait for a limit", len(waiting))
        for name, value in counted.items():
            # Prometheus requires units to be written out.
            full = name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
            labels = _LABELS.get(name, ())
            family = CounterMetricFamily(_PREFIX + full, _help(name), labels=labels)
            for by, count in _flat(value, len(labels)):
                family.add_metric(by, count)
            yield family

    def _by_model(self) -> Iterator[Metric]:
        for name, (attribute, text, labels) in _COUNTED.items():
            counter = CounterMetricFamily(_PREFIX + name, text, labels=labels)
            for by, count in list(getattr(self._traffic, attribute).items()):
                counter.add_metric(by, count)
            yield counter
        for name, (attribute, text, labels) in _MEASURED.items():
            histogram = HistogramMetricFamily(_PREFIX + name, text, labels=labels)
            for by, one in list(getattr(self._traffic, attribute).items()):
                histogram.add_metric(by, one.buckets, one.sum_s)
            yield histogram

    def _buckets(self) -> Iterator[Metric]:
        found = [one for standing in self._standings() for one in _levels(standing)]
        for name, text in _OF_BUCKETS.items():
            labels = ("account", "scope", "limit")
            family = GaugeMetricFamily(f"{_PREFIX}bucket_{name}", text, labels=labels)
            for by, level in found:
                if level[name] is not None:
                    family.add_metric(by, level[name])
            yield family


def _help(name: str) -> str:
    text = _HELP.get(name, name)
    return text[:1].upper() + text[1:]


def _flat(counts: Any, depth: int) -> Iterator[tuple[list[str], float]]:
    """The counts of nested dicts, each with the names that lead to it."""
    if not depth:
        yield [], counts
        return
    for name, inner in counts.items():
        for by, count in _flat(inner, depth - 1):
            yield [name, *by], count


def _levels(standing: Standing) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The labels and levels of an account's buckets; limits that read the same get a number."""
    seen: Counter[str] = Counter()
    for limit, level, full_s in standing.levels:
        name = str(limit)
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name} #{seen[name]}"
        by = [standing.account, standing.scope.name, numbered]
        yield by, {**level._asdict(), "full_seconds": full_s}

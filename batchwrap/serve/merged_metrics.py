"""The metrics of several processes as one text.

Counters and histograms add up, also those of processes that have ended, so they never decrease.
Gauges without labels (requests under way) add up, too. Gauges with labels describe what the
processes share, such as the buckets of a limit: those of the process that was asked count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from batchwrap.serve.peers import Publication

_Key = tuple[str, tuple[tuple[str, str], ...]]


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merge(texts: Iterable[bytes]) -> bytes:
    """The metrics of several processes, the one that was asked first."""
    return _text(chain.from_iterable(map(_families, texts)))


def _absorb(ended: bytes, own: bytes) -> bytes:
    """What stays: the gauges describe what a process that has ended no longer has."""
    families = chain(_families(ended), _families(own))
    return _text(one for one in families if one.type != "gauge")


METRICS = Publication("metrics", _absorb)


def _text(families: Iterable[Metric]) -> bytes:
    """Metrics, several of which may have the same name, added up as text."""
    merged: dict[str, Metric] = {}
    values: dict[str, dict[_Key, float]] = {}
    for family in families:
        merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        known = values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            if key not in known:
                known[key] = sample.value
            elif family.type != "gauge" or not sample.labels:
                known[key] += sample.value
    for name, family in merged.items():
        family.samples = [
            Sample(name, dict(labels), value) for (name, labels), value in values[name].items()
        ]
    return generate_latest(_Merged(merged.values()))


def _families(text: bytes) -> Iterator[Metric]:
    yield from text_string_to_metric_families(text.decode())

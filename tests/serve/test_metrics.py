"""Each counter of `Stats` is a metric of its own; what has names in it has labels."""

from __future__ import annotations

from dataclasses import fields

from prometheus_client.parser import text_string_to_metric_families

from batchwrap.serve.metrics import Metrics
from batchwrap.stats import Stats

COUNTED = Stats(
    requests=3,
    waited_s=1.5,
    repairs={"call_id": 2},
    defects={'odd "kind"\n': 1},
    directives={"a/model": {"prefetch": {"given": 4, "followed": 1}}},
)


def test_labels() -> None:
    """Names of repairs, models and directives are labels, whatever characters they have."""
    text, _ = Metrics(lambda: COUNTED).render("")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    assert found["batchwrap_requests_total",] == 3
    assert found["batchwrap_waited_seconds_total",] == 1.5
    assert found["batchwrap_repairs_total", "call_id"] == 2
    assert found["batchwrap_defects_total", 'odd "kind"\n'] == 1
    assert found["batchwrap_directives_total", "a/model", "given", "prefetch"] == 4
    assert found["batchwrap_directives_total", "a/model", "followed", "prefetch"] == 1


def test_all_are_there() -> None:
    """No counter is forgotten."""
    names = {metric.name for metric in Metrics(Stats).collect()}
    for field in fields(Stats):
        assert f"batchwrap_{field.name}".replace("waited_s", "waited_seconds") in names

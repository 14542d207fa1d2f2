"""Each counter of `Stats` is a metric of its own; what has names in it has labels."""

from __future__ import annotations

from dataclasses import fields

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as strictly_parsed,
)
from prometheus_client.parser import text_string_to_metric_families

from batchwrap.core.limits.state import Level, Snapshot
from batchwrap.options import Event, Limit
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.traffic import Traffic
from batchwrap.stats import Stats
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.standing import Standing

COUNTED = Stats(
    requests=3,
    waited_s=1.5,
    repairs={"call_id": 2},
    defects={'odd "kind"\n': 1},
    directives={"a/model": {"prefetch": {"given": 4, "followed": 1}}},
    malformed={"a/model": {"in_part": 7}},
)
LIMITS = (Limit("tokens", 1000), Limit("tokens", 1000), Limit("concurrency", 4))
STANDING = Standing(
    "3a1b202d094e",
    LimitScope("a/plan", LIMITS, ()),
    Snapshot([Level(1000, 400, 100, 36.0), Level(1000, -5, 0, 60.3), Level(4, 3, 1, 0)], 1, [], 0),
)


def metrics() -> Metrics:
    """Metrics with something in each of them."""
    traffic = Traffic()
    for model in ("a/model", 'odd "model"\n\\'):
        data = {"model": model, "status": 200, "duration_s": 0.3, "first_s": 0.1, "round_trips": 1}
        traffic.take(Event(name="ended", data={**data, "prompt_tokens": 8}))
    return Metrics(lambda: COUNTED, traffic, lambda: [STANDING])


def found() -> dict[tuple[str, ...], float]:
    """The samples by name and values of the labels, in the order of the labels' names."""
    text, _ = metrics().render("")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_labels() -> None:
    """Names of repairs, models and directives are labels, whatever characters they have."""
    samples = found()
    assert samples["batchwrap_requests_total",] == 3
    assert samples["batchwrap_waited_seconds_total",] == 1.5
    assert samples["batchwrap_repairs_total", "call_id"] == 2
    assert samples["batchwrap_defects_total", 'odd "kind"\n'] == 1
    assert samples["batchwrap_directives_total", "prefetch", "a/model", "given"] == 4
    assert samples["batchwrap_directives_total", "prefetch", "a/model", "followed"] == 1
    assert samples["batchwrap_malformed_total", "a/model", "in_part"] == 7


def test_models() -> None:
    """Answers are counted and measured by model and status."""
    samples = found()
    assert samples["batchwrap_answers_total", "a/model", "provider", "200"] == 1
    assert samples["batchwrap_answers_total", 'odd "model"\n\\', "provider", "200"] == 1
    assert samples["batchwrap_model_tokens_total", "prompt", "a/model"] == 8
    duration = "batchwrap_request_duration_seconds"
    assert samples[f"{duration}_bucket", "0.16", "a/model", "provider"] == 0
    assert samples[f"{duration}_bucket", "0.32", "a/model", "provider"] == 1
    assert samples[f"{duration}_count", "a/model", "provider"] == 1
    assert samples[f"{duration}_sum", "a/model", "provider"] == 0.3
    assert samples["batchwrap_wait_seconds_bucket", "0.01", "a/model"] == 1


def test_buckets() -> None:
    """Each bucket has gauges; two limits that read the same are told apart."""
    samples, account = found(), ("3a1b202d094e",)
    first, second, running = (str(limit) for limit in LIMITS)
    assert samples["batchwrap_bucket_free", *account, first, "a/plan"] == 400
    assert samples["batchwrap_bucket_free", *account, f"{second} #2", "a/plan"] == -5
    assert samples["batchwrap_bucket_capacity", *account, running, "a/plan"] == 4
    assert samples["batchwrap_bucket_full_seconds", *account, first, "a/plan"] == 36
    assert ("batchwrap_bucket_full_seconds", *account, running, "a/plan") not in samples


def test_all_are_there() -> None:
    """No counter is forgotten."""
    names = {metric.name for metric in Metrics(Stats, Traffic()).collect()}
    for field in fields(Stats):
        assert f"batchwrap_{field.name}".replace("waited_s", "waited_seconds") in names


def test_help() -> None:
    """Each metric says in a sentence of its own what it is."""
    text, _ = metrics().render("")
    families = list(text_string_to_metric_families(text.decode()))
    texts = [family.documentation for family in families]
    assert all(len(one.split()) >= 3 and one[0].isupper() for one in texts), texts
    assert len(set(texts)) == len(texts)


def test_both_forms() -> None:
    """What a scraper gets is valid, in the old text format and in OpenMetrics."""
    content, kind = metrics().render("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    strict = {
        family.name
        for family in strictly_parsed(content.decode())  # type: ignore[no-untyped-call]
    }
    text, kind = metrics().render("")
    assert kind.startswith("text/plain")
    plain = {family.name for family in text_string_to_metric_families(text.decode())}
    assert strict == plain

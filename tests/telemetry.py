"""OpenTelemetry's own SDK, which keeps what it is told in memory."""

from __future__ import annotations

from typing import Any


class Telemetry:
    """What a process has told OpenTelemetry since the test began."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
        from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        faulty: Any = SpanProcessor()
        faulty.on_end = self._break
        self.is_broken = False
        self._spans = InMemorySpanExporter()
        delta: dict[Any, Any] = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
        self._reader = InMemoryMetricReader(preferred_temporality=delta)
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracing.add_span_processor(faulty)
        # A process has one of each, and keeps it.
        trace.set_tracer_provider(self.tracing)
        metrics.set_meter_provider(MeterProvider(metric_readers=[self._reader]))
        self.tracer = trace.get_tracer("the caller")

    def begin(self) -> None:
        """Forget what was told before."""
        self.is_broken = False
        self._spans.clear()
        self._reader.get_metrics_data()

    def end(self) -> None:
        """Keep nothing any more."""
        self.tracing.shutdown()

    def _break(self, span: Any) -> None:
        if self.is_broken:
            raise ZeroDivisionError

    @property
    def spans(self) -> list[Any]:
        """Spans of batchwrap that have ended."""
        return [it for it in self.all_spans if it.instrumentation_scope.name == "batchwrap"]

    @property
    def all_spans(self) -> list[Any]:
        """Spans of everybody that have ended."""
        return list(self._spans.get_finished_spans())

    def metrics(self) -> dict[str, list[tuple[float, dict[str, Any]]]]:
        """Sum or value, and attributes, of each point by the metric's name; asked once a test."""
        data: Any = self._reader.get_metrics_data()
        return {
            metric.name: [_seen(point) for point in metric.data.data_points]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            if scope.scope.name == "batchwrap"
            for metric in scope.metrics
        }


def _seen(point: Any) -> tuple[float, dict[str, Any]]:
    value = point.sum if hasattr(point, "sum") else point.value
    return value, dict(point.attributes)

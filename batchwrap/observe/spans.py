"""OpenTelemetry: a span and the metrics of each request. The only module that imports its API.

It follows the conventions for generative AI, which moved to a repository of their own in 2026
(https://github.com/open-telemetry/semantic-conventions-genai): a client span covers the logical
operation as its caller sees it, from the first wait to the last byte, all retries included. Single
attempts belong to the HTTP library's instrumentation, whose spans become children. No attribute
holds contents: no message, no tool, no stop sequence, no text of an error.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from time import time_ns
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.util.types import AttributeValue

from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange_metrics import ScriptTrace
from batchwrap.core.formats import chat
from batchwrap.core.provider import Provider
from batchwrap.stats import Stats
from batchwrap.throttle.accounts import Origin

_log = logging.getLogger("batchwrap")
_NAME = "batchwrap"
# The variable that switches off instrumentations of OpenTelemetry.
_OFF = _NAME in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
_SUPPRESS = "suppress_instrumentation"

# The API that a provider speaks is named if the provider is unknown.
_UNKNOWN_PROVIDER = "openai"
_CHAT = ("chat", "text_completion", "generate_content")
# Numeric parameters of a request, by their attributes.
_NUMBERS = {
    "frequency_penalty": "frequency_penalty",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "top_p",
}
# Counters of `Stats` that the conventions have metrics for, or that need none.
_COUNTED_ELSEWHERE = ("prompt_tokens", "cached_tokens", "completion_tokens")
_COUNTERS = tuple(
    item.name
    for item in fields(Stats)
    if item.type in ("int", "float") and item.name not in _COUNTED_ELSEWHERE
)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))

Attributes = dict[str, AttributeValue]

_tracer = trace.get_tracer(_NAME)
_meter = metrics.get_meter(_NAME)
_duration = _meter.create_histogram(
    "gen_ai.client.operation.duration",
    unit="s",
    description="GenAI operation duration.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
_first = _meter.create_histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    unit="s",
    description="Time until the first chunk of a streamed answer.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
_usage = _meter.create_histogram(
    "gen_ai.client.token.usage",
    unit="{token}",
    description="Number of input and output tokens used.",
    explicit_bucket_boundaries_advisory=_TOKENS,
)
_counted = {
    name: _meter.create_counter(
        f"batchwrap.{name.removesuffix('_s')}", unit="s" if name.endswith("_s") else "1"
    )
    for name in _COUNTERS
}
_repairs = _meter.create_counter("batchwrap.repairs", unit="1")


def operation(body: chat.Body, provider: Provider, origin: Origin) -> Operation | None:
    """Begin the span of a request; None if it is not to be shown, or cannot be."""
    if _OFF or context.get_value(_SUPPRESS):
        return None
    try:
        return Operation(body, provider, origin)
    except Exception:  # a user's sampler or span processor may raise anything
        _log.debug("OpenTelemetry failed", exc_info=True)
        return None


class Operation:
    """The span and metrics of one request.

    If the caller's span is one of a chat request, made by an instrumentation of the SDK, no second
    span and no second metrics of the conventions are made: our own attributes are added to that
    span.
    """

    def __init__(self, body: chat.Body, provider: Provider, origin: Origin) -> None:
        self._common = _common(body, provider, origin)
        around = trace.get_current_span()
        self._is_guest = _is_chat(around)
        self._span = around if self._is_guest else _start(body, self._common)

    def current(self) -> AbstractContextManager[object]:
        """Makes this span the current one inside the context."""
        if self._is_guest or not self._span.get_span_context().is_valid:
            return nullcontext()
        inside: AbstractContextManager[object] = trace.use_span(
            self._span, record_exception=False, set_status_on_exception=False
        )
        return inside

    def end(self, exchange: Exchange, facts: Mapping[str, Any]) -> None:
        """Report the outcome. Never raises."""
        try:
            self._end(exchange, facts)
        except Exception:  # a user's span processor may raise anything
            _log.debug("OpenTelemetry failed", exc_info=True)

    def _end(self, exchange: Exchange, facts: Mapping[str, Any]) -> None:
        for course in exchange.metrics.scripts if self._span.is_recording() else ():
            _show_script(course, trace.set_span_in_context(self._span))
        if self._span.is_recording():
            self._describe(exchange, facts)
        self._measure(exchange, facts)
        if not self._is_guest:
            self._span.end()

    def _describe(self, exchange: Exchange, facts: Mapping[str, Any]) -> None:
        self._span.set_attributes(dict(_own(exchange)))
        for event in exchange.metrics.events:
            if event.name != "ended":
                at_ns = int(event.at_unix_s * 1e9) or time_ns()
                self._span.add_event(f"batchwrap.{event.name}", _plain(event.data), at_ns)
        if self._is_guest:
            return
        self._span.set_attributes(_answered(exchange, facts))
        if "error" in facts:
            self._span.set_status(trace.StatusCode.ERROR)

    def _measure(self, exchange: Exchange, facts: Mapping[str, Any]) -> None:
        common = self._common
        for name, value in exchange.metrics.counts.items():
            if name in _counted:
                _counted[name].add(value, common)
            elif name.startswith("repairs."):
                _repairs.add(value, {**common, "batchwrap.repair": name.partition(".")[2]})
        if self._is_guest or facts["local"]:  # a local answer used no model
            return
        model = exchange.answer.get("model")
        if isinstance(model, str):
            common = {**common, "gen_ai.response.model": model}
        for kind, field in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            if field in facts:
                _usage.record(facts[field], {**common, "gen_ai.token.type": kind})
        if "first_s" in facts:
            _first.record(facts["first_s"], common)
        failed = {"error.type": facts["error"]} if "error" in facts else {}
        _duration.record(facts["duration_s"], {**common, **failed})


def _show_script(course: ScriptTrace, around: context.Context) -> None:
    """The span of a script, and one for each wave of its calls.

    It began with an earlier request, whose span has ended, so it is made when the script is over.
    """
    starts = [int(at_unix_s * 1e9) for at_unix_s, _ in course.waves]
    end_ns = int(course.ended_at_unix_s * 1e9)
    told: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": course.tool,
        "batchwrap.script.ended": course.ended,
    }
    start_ns = min([*starts, end_ns])
    name = f"execute_tool {course.tool}"
    span = _tracer.start_span(name, around, attributes=told, start_time=start_ns)
    inside = trace.set_span_in_context(span, around)
    for start, until, (_, calls) in zip(starts, [*starts[1:], end_ns], course.waves, strict=True):
        wave = _tracer.start_span("wave", inside, start_time=start)
        wave.set_attribute("batchwrap.script.calls", calls)
        wave.end(until)
    span.end(end_ns)


def _start(body: chat.Body, common: Attributes) -> trace.Span:
    name = f"chat {common.get('gen_ai.request.model', '')}".rstrip()
    return _tracer.start_span(
        name, kind=trace.SpanKind.CLIENT, attributes={**common, **_asked(body)}
    )


def _is_chat(span: trace.Span) -> bool:
    """Whether a span is one of a chat request; only the SDK's own spans can be read."""
    if not span.is_recording():
        return False
    told = getattr(span, "attributes", None)
    if not isinstance(told, Mapping):
        return False
    # OpenInference has a convention of its own.
    is_llm = told.get("openinference.span.kind") == "LLM"
    return is_llm or told.get("gen_ai.operation.name") in _CHAT


def _common(body: chat.Body, provider: Provider, origin: Origin) -> Attributes:
    """The attributes that spans and metrics share."""
    told: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider.telemetry_name or provider.name or _UNKNOWN_PROVIDER,
    }
    if body.get("model"):
        told["gen_ai.request.model"] = str(body["model"])
    if origin.host:
        told["server.address"] = origin.host
    if origin.host and origin.port:
        told["server.port"] = origin.port
    return told


def _asked(body: chat.Body) -> Attributes:
    """The numeric parameters of the request."""
    told: Attributes = {}
    for field, name in _NUMBERS.items():
        value = body.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            told[f"gen_ai.request.{name}"] = value
    choices = body.get("n")
    if isinstance(choices, int) and choices != 1:
        told["gen_ai.request.choice.count"] = choices
    if body.get("stream"):
        told["gen_ai.request.stream"] = True
    return told


def _answered(exchange: Exchange, facts: Mapping[str, Any]) -> Attributes:
    answer = exchange.answer
    reasons = [choice.get("finish_reason") for _, choice in chat.choices(answer)]
    told: dict[str, Any] = {
        "gen_ai.response.id": _text(answer.get("id")),
        "gen_ai.response.model": _text(answer.get("model")),
        "gen_ai.response.finish_reasons": [it for it in reasons if isinstance(it, str)] or None,
        "gen_ai.response.time_to_first_chunk": facts.get("first_s"),
        "gen_ai.usage.input_tokens": facts.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": facts.get("completion_tokens"),
        "gen_ai.usage.cache_read.input_tokens": facts.get("cached_tokens"),
        "http.response.status_code": facts.get("status"),
        "error.type": facts.get("error"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _own(exchange: Exchange) -> Iterator[tuple[str, AttributeValue]]:
    for name, value in exchange.metrics.counts.items():
        if name in _counted:
            yield f"batchwrap.{name}", value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _plain(data: Mapping[str, Any]) -> Attributes:
    """The data of an event without empty values."""
    return {name: value for name, value in data.items() if value is not None}

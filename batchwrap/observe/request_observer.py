"""Reports one request to the outside: its duration, its outcome, its events."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from batchwrap._forks import LOADING
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats import chat
from batchwrap.core.provider import Provider
from batchwrap.observe.log import log, logs_all, report
from batchwrap.options import EventHook
from batchwrap.throttle.accounts import Origin

if TYPE_CHECKING:
    from batchwrap.observe.spans import Operation


class RequestObserver:
    """Follows one request from the moment when it is made.

    Args:
        body: the agent's request.
        provider: facts about the provider.
        origin: the address of the request.
        hook: the user's function for events.
    """

    def __init__(
        self, body: chat.Body, provider: Provider, origin: Origin, hook: EventHook | None
    ) -> None:
        self._provider = provider
        self._hook = hook
        self._operation = _operation(body, provider, origin)
        self._error: BaseException | None = None
        self._first_s: float | None = None
        self._reported = 0  # the number of events that were reported
        self._started_s = time.perf_counter()

    def sending(self) -> AbstractContextManager[object]:
        """Makes spans that are begun inside children of this request's span."""
        return nullcontext() if self._operation is None else self._operation.current()

    def began(self) -> None:
        """The first event of the stream has arrived; later calls are ignored."""
        if self._first_s is None:
            self._first_s = self._so_far_s

    def progressed(self, metrics: ExchangeMetrics, guard: Guard) -> None:
        """Report the events so far, because a wait begins or is over."""
        events, end = metrics.events, len(metrics.events)
        for event in events[self._reported : end]:
            report(event, self._hook, guard)
        for event in events[end:]:  # a mistake of the hook itself is logged only
            log(event)
        self._reported = len(events)

    def failed(self, error: BaseException) -> None:
        """The request ends with this error."""
        self._error = error

    def ended(self, exchange: Exchange) -> None:
        """Report everything at the end."""
        facts, guard = None, exchange.guard
        if self._hook is not None or self._operation is not None or logs_all():
            with guard.step("observe"):
                facts = self._facts(exchange)
                exchange.metrics.note("ended", **facts)
        self.progressed(exchange.metrics, guard)
        if self._operation is not None and facts is not None:
            self._operation.end(exchange, facts)

    @property
    def _so_far_s(self) -> float:
        return time.perf_counter() - self._started_s

    def _facts(self, exchange: Exchange) -> dict[str, Any]:
        counts, usage, outline = exchange.metrics.counts, exchange.usage, exchange.outline
        facts = {
            "model": exchange.model,
            "provider": self._provider.name,
            "stream": exchange.streams,
            "local": bool(counts["local_answers"]),
            "status": exchange.status,
            "error": exchange.failure if self._error is None else _name(self._error),
            "round_trips": counts["round_trips"],
            "duration_s": round(self._so_far_s, 6),
            "first_s": None if self._first_s is None else round(self._first_s, 6),
            "waited_s": round(counts["waited_s"], 6),
            "prompt_tokens": None if usage is None else usage.prompt_tokens,
            "cached_tokens": None if usage is None else usage.cached_tokens,
            "completion_tokens": None if usage is None else usage.completion_tokens,
            **({} if outline is None else outline.facts),
        }
        return {name: value for name, value in facts.items() if value is not None}


def _name(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def _operation(body: chat.Body, provider: Provider, origin: Origin) -> Operation | None:
    """What shows the request in OpenTelemetry, if the process has loaded OpenTelemetry.

    It is not loaded here: if the user has set up a provider, it is loaded already, and for all
    other users it would be a useless cost.
    """
    if "opentelemetry.trace" not in sys.modules and "opentelemetry.metrics" not in sys.modules:
        return None
    try:
        with LOADING:
            from batchwrap.observe.spans import operation
    except ImportError:  # another version, or only a part of it is installed
        return None
    return operation(body, provider, origin)

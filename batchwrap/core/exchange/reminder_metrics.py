"""Counts what reminders did and cost, by model and directive.

The counts go to `stats` and events, and to the observations, which switch off directives that a
model does not follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.reminders.schedule import Walk
from batchwrap.stats import directive_counter, model_name


def count(
    walk: Walk,
    model: object,
    metrics: ExchangeMetrics,
    observations: ModelObservations,
    *,
    is_new: bool,
) -> None:
    """Count the reminders of one request.

    Args:
        walk: the schedule, which has seen all of the request's messages.
        model: the model's name.
        metrics: where counts and events go.
        observations: where is kept whether the model follows reminders.
        is_new: whether this is the first request with these messages. Decisions at their end
            are counted only then; the tokens of a reminder are counted in each request.
    """
    metrics.add("reminders", walk.reminded)
    for directive, tokens in walk.costs.items():
        metrics.add(directive_counter(model, directive, "tokens"), tokens)
    if not is_new:
        return
    if walk.latest is not None:
        metrics.add(directive_counter(model, walk.latest.directive.id, "given"))
        metrics.note("reminded", model=model_name(model), directive=walk.latest.directive.id)
    for directive, reason in walk.withheld:
        _withheld([directive], model, metrics, reason)
    if walk.judged is not None:
        _judged(*walk.judged, model, metrics, observations)


def opposed(directives: Sequence[str], model: object, metrics: ExchangeMetrics) -> None:
    """Count that a system prompt contradicts all of these directives."""
    _withheld(directives, model, metrics, "system_prompt")


def _judged(
    directive: str,
    followed: bool,
    model: object,
    metrics: ExchangeMetrics,
    observations: ModelObservations,
) -> None:
    switched_off = observations.judge_reminder(model, directive, followed=followed)
    metrics.add(directive_counter(model, directive, "judged"))
    metrics.add(directive_counter(model, directive, "followed"), int(followed))
    metrics.note(
        "judged",
        model=model_name(model),
        directive=directive,
        followed=followed,
        switched_off=switched_off,
    )


def _withheld(
    directives: Sequence[str], model: object, metrics: ExchangeMetrics, reason: str
) -> None:
    for directive in directives:
        metrics.add(directive_counter(model, directive, f"withheld_{reason}"))
    metrics.note("withheld", model=model_name(model), directives=list(directives), reason=reason)

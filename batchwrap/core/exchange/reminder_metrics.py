"""What reminders did and cost, by model and directive: for `stats`, events and observations."""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.reminders.schedule import Walk
from batchwrap.core.tally import Tally
from batchwrap.stats import directive_counter


def count(
    walk: Walk, model: object, tally: Tally, observations: ModelObservations, *, is_new: bool
) -> None:
    """Count what one request shows.

    Args:
        walk: all of its messages were taken in.
        model: the model's name.
        tally: where counts and events go.
        observations: where it is kept whether the model follows reminders.
        is_new: whether this is the first request with these messages; what is decided at the
            end of them is counted then, what a reminder costs in each request again.
    """
    tally.add("reminders", walk.reminded)
    for directive, tokens in walk.costs.items():
        tally.add(directive_counter(model, directive, "tokens"), tokens)
    if not is_new:
        return
    if walk.latest is not None:
        tally.add(directive_counter(model, walk.latest.directive.id, "given"))
        tally.note("reminded", model=str(model), directive=walk.latest.directive.id)
    for directive, reason in walk.withheld:
        _withheld([directive], model, tally, reason)
    if walk.judged is not None:
        _judged(*walk.judged, model, tally, observations)


def opposed(directives: Sequence[str], model: object, tally: Tally) -> None:
    """Count that a system prompt contradicts all of these directives."""
    _withheld(directives, model, tally, "system_prompt")


def _judged(
    directive: str, followed: bool, model: object, tally: Tally, observations: ModelObservations
) -> None:
    switched_off = observations.judge_reminder(model, directive, followed=followed)
    tally.add(directive_counter(model, directive, "judged"))
    tally.add(directive_counter(model, directive, "followed"), int(followed))
    tally.note(
        "judged",
        model=str(model),
        directive=directive,
        followed=followed,
        switched_off=switched_off,
    )


def _withheld(directives: Sequence[str], model: object, tally: Tally, reason: str) -> None:
    for directive in directives:
        tally.add(directive_counter(model, directive, f"withheld_{reason}"))
    tally.note("withheld", model=str(model), directives=list(directives), reason=reason)

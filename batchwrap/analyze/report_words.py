"""The sentences of a report: what the savings require, and what the figures assume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.pressure import Pressure
from batchwrap.analyze.session_totals import (
    DECLARED,
    ITSELF,
    MOST_SCRIPT_CALLS,
    OFFER_TOKENS,
    SCRIPT_OFFER_TOKENS,
    Totals,
)
from batchwrap.declarations import declaration

# Fewer single calls of a tool in a row are no reason to declare it.
_LEAST_IN_A_ROW, _MOST_NAMED = 2, 5


def ranked(counts: dict[str, Any], by: str) -> list[tuple[str, Any]]:
    """Counts by name, the largest first."""
    return sorted(counts.items(), key=lambda item: (-getattr(item[1], by), item[0]))


def asked_of_the_model(totals: Totals) -> list[str]:
    """Sentences: what the model and the user must do to get the safe savings."""
    return list(_asked(totals))


def to_declare(totals: Totals) -> str:
    """The option that declares the tools whose single calls came in a row; empty if none did."""
    return declaration(name for name, _ in _in_a_row(totals))


def assumptions(totals: Totals, pressure: Pressure | None) -> list[str]:
    """Sentences: what the figures assume, those about the limits of a plan included."""
    return list(_assumptions(totals, pressure))


def rules(most: int) -> dict[str, str]:
    """What each rule takes for a batch, in words.

    Args:
        most: the largest number of calls in a batch, by the safe rule.
    """
    return {
        "safe": "the lower figure: what careful takes, but no change of what was read in the same"
        f" batch, and at most {most} calls in a batch",
        "careful": "a run ends at a failed call, and at a file that is first named inside the run",
        "upper": "the higher figure: every run of single calls, as by a model that always guesses"
        " right",
    }


def caching(totals: Totals) -> str:
    """What a prompt cache makes of the savings, in words; empty if nothing is saved."""
    saving = totals.saving(DECLARED, "safe")
    if not saving.round_trips:
        return ""
    prompt = _change(saving.prompt_tokens, totals.prompt_tokens)
    if not totals.cached_tokens:
        return (
            "No prompt token is reported to have come from a cache. Then each saved one would have"
            f" been charged in full: {prompt} with safe batches and your tools declared."
        )
    full = _change(saving.uncached_tokens, totals.prompt_tokens - totals.cached_tokens)
    assumed = " (assumed, where the logs do not say)" if totals.estimated else ""
    return (
        f"{percent(totals.cached_tokens, totals.prompt_tokens):.0f} % of the prompt tokens came"
        f" from a cache{assumed}. Safe batches with your tools declared change all prompt tokens by"
        f" {prompt}, but those that are charged in full by {full}, since a saved request would have"
        " read nearly all of its prompt from the cache. Saved round trips, and with them time and"
        " requests that count against limits, are the same with a cache and without."
    )


def _change(saved: int, whole: int) -> str:
    """A saving as a change of the whole, in percent: a saving has a minus sign."""
    return f"{'−' if saved >= 0 else '+'}{percent(abs(saved), whole):.1f} %"


def percent(part: float, whole: float) -> float:
    """A share in percent; 0 if the whole is 0."""
    return 100 * part / whole if whole else 0.0


def visible(text: str) -> str:
    r"""A text from a log, safe to print: control codes are replaced by their escapes.

    Example:
        >>> visible("read\x1b[2J")
        'read\\x1b[2J'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _asked(totals: Totals) -> Iterator[str]:
    own, declared = totals.saving(ITSELF, "safe"), totals.saving(DECLARED, "safe")
    acting = sum(model.acting for model in totals.models.values())
    batching = sum(model.batching for model in totals.models.values())
    yield (
        f"Today {percent(batching, acting):.0f} % of the answers with calls do several things at"
        " once."
    )
    if own.batches:
        yield (
            f"By itself, batchwrap offers the tools for {own.batches:,} batches instead of"
            f" {own.calls:,} single calls ({own.calls / own.batches:.1f} in one). The model decides"
            " whether to use them; reminders ask for it."
        )
    more = declared.round_trips - own.round_trips
    if more > 0:
        yield f"{more:,} more round trips need tools that only you can declare."
    yield from _to_declare(totals)
    if texts := totals.text_calls:
        yield (
            f"{texts:,} calls are text that the agent reads, or custom calls whose input is text."
            " They are no function calls, so they cannot be batched."
        )


def _to_declare(totals: Totals) -> Iterator[str]:
    """Which tools came in single calls in a row, and the option that declares them."""
    listed = _in_a_row(totals)
    line = declaration(name for name, _ in listed)
    if line:
        counted = ", ".join(f"{name} ({count:,})" for name, count in listed[:_MOST_NAMED])
        yield (
            f"Single calls of tools that batchwrap does not recognise came in a row: {counted}."
            f" Declare those whose calls may be one batch: {line}. The kinds are guessed from the"
            " names: 'read_only' calls run at the same time, 'sequential' ones after each other."
        )


def _in_a_row(totals: Totals) -> list[tuple[str, int]]:
    """The tools to declare, with their single calls in a row, most of them first."""
    counted = [(name, tool.in_a_row) for name, tool in ranked(totals.tools, "in_a_row")]
    return [(name, count) for name, count in counted if count >= _LEAST_IN_A_ROW]


def _assumptions(totals: Totals, pressure: Pressure | None) -> Iterator[str]:
    if totals.estimated:
        share = 100 * totals.estimated / max(1, totals.requests)
        yield (
            f"The logs do not report the usage of {share:.0f} % of the requests. Their tokens are"
            " estimated from the texts in the logs (system prompt and tools are often missing), as"
            " if the whole last prompt was cached."
        )
    said = "; ".join(f"'{rule}': {what}" for rule, what in rules(totals.most).items())
    yield f"{said}. A search may depend on what was just read; no rule recognises that."
    yield (
        f"Saved tokens are net of the {OFFER_TOKENS} tokens that the multi-tools add to each"
        " remaining request, but not net of reminders."
    )
    yield (
        "The figures for scripts are an upper bound and no more. They do not add up with those for"
        " batches. A run of turns whose calls a script may make counts as one round trip, with at"
        f" most {MOST_SCRIPT_CALLS} calls; 'silent' stops where the model says something to the"
        " user, and 'upper' does not. No rule sees what the model had to read and think about"
        f" between two calls. Saved tokens are net of the {SCRIPT_OFFER_TOKENS} tokens of the tool"
        " that runs scripts; results that a script keeps from the model are not counted."
    )
    if pressure is not None:
        yield (
            "Rate limits assume one agent at a time, tools that take no time, and answers at"
            f" {pressure.tokens_per_s:,.0f} tokens a second; batches are by the safe rule."
        )

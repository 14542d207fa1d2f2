"""The sentences of a report: what the savings require, and what the figures assume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from batchwrap.analyze.session_totals import (
    DECLARED,
    ITSELF,
    MOST_SCRIPT_CALLS,
    OFFER_TOKENS,
    SCRIPT_OFFER_TOKENS,
    Totals,
)

if TYPE_CHECKING:
    from batchwrap.analyze.report import Report


def ranked(counts: dict[str, Any], by: str) -> list[tuple[str, Any]]:
    """Counts by name, the largest first."""
    return sorted(counts.items(), key=lambda item: (-getattr(item[1], by), item[0]))


def asked_of_the_model(report: Report) -> list[str]:
    """Sentences: what the model and the user must do to get the safe savings."""
    return list(_asked(report.totals))


def assumptions(report: Report) -> list[str]:
    """Sentences: what the figures assume."""
    return list(_assumptions(report))


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
    tools = [name for name, tool in ranked(totals.tools, "safe") if tool.safe and not tool.own]
    more = declared.round_trips - own.round_trips
    if tools and more > 0:
        example = f'Batching(tools={{"{tools[0]}": "sequential"}})'
        yield (
            f"{more:,} more round trips need tools that only you can declare"
            f" ({', '.join(tools[:5])}), as in {example}."
        )
    texts = sum(tool.as_text for tool in totals.tools.values())
    if texts:
        yield (
            f"{texts:,} calls are text that the agent reads, or custom calls whose input is text."
            " They are no function calls, so they cannot be batched."
        )


def _assumptions(report: Report) -> Iterator[str]:
    totals = report.totals
    if totals.estimated:
        share = 100 * totals.estimated / max(1, totals.requests)
        yield (
            f"The logs do not report the usage of {share:.0f} % of the requests. Their tokens are"
            " estimated from the texts in the logs (system prompt and tools are often missing), as"
            " if the whole last prompt was cached."
        )
    yield (
        "'upper' takes every run of single calls; 'careful' stops at a failed call and at a file"
        " that is first named inside the run; 'safe' also changes nothing that was read in the same"
        f" batch, and has at most {totals.most} calls. A search may depend on what was just read;"
        " no rule recognises that."
    )
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
    if report.pressure is not None:
        yield (
            "Rate limits assume one agent at a time, tools that take no time, and answers at"
            f" {report.pressure.tokens_per_s:,.0f} tokens a second; batches are by the safe rule."
        )

"""The report as tables of texts, which both the terminal and the HTML page show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from batchwrap.analyze.bounds import RULES, SCRIPT_RULES
from batchwrap.analyze.lapses import Lapse
from batchwrap.analyze.report import Report
from batchwrap.analyze.report_words import percent, ranked
from batchwrap.analyze.session_totals import DECLARED, ITSELF, SCOPES

TITLES = {
    "as recorded": "as recorded",
    ITSELF: "batchwrap by itself",
    DECLARED: "with declared tools",
}
_MOST_ROWS = 12
_MOST_LAPSES = 5
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: its title.
        columns: the titles of its columns.
        rows: the texts of its cells.
        wide: the titles of columns with long texts.
    """

    title: str
    columns: Row
    rows: list[Row]
    wide: Row = ()


def headline(report: Report) -> str:
    """The result in one sentence."""
    requests = report.totals.requests
    if not requests:
        return "No round trip was found."
    calls, texts = report.totals.calls, report.totals.text_calls
    if calls and calls == texts:
        return (
            f"Batching cannot save any of {requests:,} round trips: all {calls:,} calls are text"
            " that the agent reads, such as XML, and no tool calls."
        )
    own, declared = (_range(report, scope) for scope in (ITSELF, DECLARED))
    more = f", or {declared} with tools that you declare" if declared != own else ""
    return f"Batching would save {own} of {requests:,} round trips{more}."


def _range(report: Report, scope: str) -> str:
    """The range from the safe share to the upper one, in percent."""
    totals = report.totals
    safe, upper = (
        f"{percent(saving.round_trips, totals.requests):.1f}"
        for saving in (totals.saving(scope, "safe"), totals.saving(scope, "upper"))
    )
    return f"{safe} %" if safe == upper else f"{safe} to {upper} %"


def tables(report: Report) -> Iterator[Table]:
    """All tables that have rows."""
    made = (
        _savings(report),
        _scripts(report),
        _pressure(report),
        _models(report),
        _tools(report),
        _lapses(report),
    )
    return (table for table in made if table.rows)


def _savings(report: Report) -> Table:
    totals = report.totals
    uncached = totals.prompt_tokens - totals.cached_tokens
    rows: list[Row] = [
        (
            "as recorded",
            "",
            f"{totals.requests:,}",
            "",
            f"{totals.prompt_tokens:,}",
            f"{uncached:,}",
        )
    ]
    for scope in SCOPES:
        for rule in RULES:
            saving = totals.saving(scope, rule)
            rows.append(
                (
                    TITLES[scope],
                    rule,
                    f"−{saving.round_trips:,}",
                    f"{percent(saving.round_trips, totals.requests):.1f} %",
                    _less(saving.prompt_tokens),
                    _less(saving.uncached_tokens),
                )
            )
    columns = ("", "rule", "round trips", "share", "prompt tokens", "of these uncached")
    return Table("What batching would save", columns, rows)


def _scripts(report: Report) -> Table:
    totals = report.totals
    rows: list[Row] = []
    for scope in SCOPES:
        for rule in SCRIPT_RULES:
            bound = totals.script_savings[scope, rule]
            rows.append(
                (
                    TITLES[scope],
                    rule,
                    f"−{bound.round_trips:,}",
                    f"{percent(bound.round_trips, totals.requests):.1f} %",
                    _less(bound.prompt_tokens),
                    f"{bound.scripts:,}",
                    f"{bound.calls:,}",
                )
            )
    columns = ("", "rule", "round trips", "share", "prompt tokens", "scripts", "calls")
    return Table("What scripts could save at most: an upper bound", columns, rows)


def _less(saved: int) -> str:
    """A saved amount as a change: a saving has a minus sign."""
    return f"{'−' if saved >= 0 else '+'}{abs(saved):,}"


def _pressure(report: Report) -> Table:
    pressure = report.pressure
    plays = pressure.plays if pressure is not None else {}
    rows: list[Row] = [
        (
            TITLES[what],
            f"{play.requests:,}",
            f"{play.held:,}",
            f"{play.working_s / 60:,.1f}",
            f"{play.waiting_s / 60:,.1f}",
            f"{play.waiting_percent:.0f} %",
            f"{play.too_large:,}",
        )
        for what, play in plays.items()
    ]
    columns = (
        "",
        "requests",
        "held back",
        "min answering",
        "min held back",
        "of the time",
        "too large",
    )
    return Table(f"At {pressure.plan.name if pressure else ''}", columns, rows)


def _models(report: Report) -> Table:
    rows: list[Row] = [
        (
            name,
            f"{model.requests:,}",
            f"{model.prompt_tokens:,}",
            f"{percent(model.cached_tokens, model.prompt_tokens):.0f} %",
            f"{percent(model.batching, model.acting):.0f} %",
            f"{model.lapses:,}",
            f"{percent(model.safe, model.requests):.1f} %",
            f"{percent(model.upper, model.requests):.1f} %",
        )
        for name, model in ranked(report.totals.models, "requests")[:_MOST_ROWS]
    ]
    columns = (
        "model",
        "round trips",
        "prompt tokens",
        "cached",
        "batches now",
        "lapses",
        "safe",
        "upper",
    )
    return Table("By model", columns, rows)


def _tools(report: Report) -> Table:
    rows: list[Row] = [
        (
            name,
            f"{tool.calls:,}",
            f"{percent(tool.alone, tool.calls):.0f} %",
            f"{tool.failed:,}",
            f"{tool.result_tokens:,}",
            "yes" if tool.own else "text" if tool.as_text == tool.calls else "no",
            f"{tool.safe:,}",
            f"{tool.upper:,}",
        )
        for name, tool in ranked(report.totals.tools, "calls")[:_MOST_ROWS]
    ]
    columns = ("tool", "calls", "alone", "failed", "result tokens", "found", "safe", "upper")
    return Table("By tool", columns, rows)


def _lapses(report: Report) -> Table:
    worst = sorted(report.totals.worst, reverse=True)[:_MOST_LAPSES]
    columns = ("tool", "calls", "prompt tokens", "session, turn", "files")
    rows = [_lapse(lapse) for lapse in worst]
    return Table(
        f"Lapses: {report.totals.lapses:,}; the worst", columns, rows, ("session, turn", "files")
    )


def _lapse(lapse: Lapse) -> Row:
    return (
        lapse.tool,
        str(lapse.calls),
        f"{lapse.prompt_tokens:,}",
        f"{lapse.session}, {lapse.turn + 1}",
        ", ".join(lapse.paths),
    )

"""The report as one self-contained HTML page, without scripts and without network access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from string import Template

from batchwrap.analyze.charts import Bar, bars, columns
from batchwrap.analyze.report import Report
from batchwrap.analyze.report_words import (
    asked_of_the_model,
    assumptions,
    caching,
    percent,
    rules,
    visible,
)
from batchwrap.analyze.tables import TITLES, Table, headline, tables

_MOST_ROWS = 8


def page(report: Report, made: str = "") -> str:
    """The report as an HTML page.

    Args:
        report: the report.
        made: what stands at the foot of the page, such as the version and the date.
    """
    template = Template(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    facts = "".join(
        f"<li><b>{_(said)}</b><span>{_(what)}</span></li>" for said, what in _facts(report)
    )
    body = "\n".join(_sections(report))
    return template.substitute(
        title=_(headline(report)),
        rules=_rules(report),
        facts=facts,
        body=body,
        made=_(made),
    )


# Every text passes through this: a log may contain names with markup in them.
def _(text: str) -> str:
    return escape(visible(text))


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    totals = report.totals
    yield f"{totals.sessions:,}", "sessions"
    yield f"{totals.requests:,}", "round trips"
    yield f"{totals.prompt_tokens:,}", "prompt tokens"
    cached = "out of a cache, assumed" if totals.estimated else "of these out of a cache"
    yield f"{percent(totals.cached_tokens, totals.prompt_tokens):.0f} %", cached
    yield f"{totals.lapses:,}", "lapses"


def _rules(report: Report) -> str:
    """What the rules of the headline mean."""
    if not report.totals.requests:
        return ""
    terms = "".join(
        f"<dt>{rule}</dt><dd>{_(said)}</dd>" for rule, said in rules(report.totals.most).items()
    )
    return f'<dl class="rules">{terms}</dl>'


def _sections(report: Report) -> Iterator[str]:
    if report.totals.requests:
        yield from _findings(report)
    if report.problems:
        said = [f"{problem.file}: {problem.reason}" for problem in report.problems]
        yield f"<h2>Skipped</h2>{_list(said)}"


def _findings(report: Report) -> Iterator[str]:
    if said := caching(report.totals):
        yield f'<aside class="card"><b>What caching makes of it</b><p>{_(said)}</p></aside>'
    yield f'<h2>Charts</h2><div class="charts">{"".join(_charts(report))}</div>'
    yield f"<h2>What it takes</h2>{_list(asked_of_the_model(report.totals))}"
    for table in tables(report):
        yield f"<h2>{_(table.title)}</h2>{_table(table)}"
    yield f"<h2>How to read this</h2>{_list(assumptions(report.totals, report.pressure))}"


def _charts(report: Report) -> Iterator[str]:
    totals = report.totals
    yield bars("Round trips that batching would save: safe, and at most (fainter)", _scopes(report))
    models = sorted(totals.models.items(), key=lambda item: -item[1].requests)[:_MOST_ROWS]
    yield bars(
        "Share of each model's round trips that would go",
        [_shares(name, model.safe, model.upper, model.requests) for name, model in models],
    )
    tools = [(name, tool) for name, tool in totals.tools.items() if tool.upper]
    tools.sort(key=lambda item: -item[1].upper)
    yield bars(
        "Round trips that would go, by tool",
        [_amounts(name, tool.safe, tool.upper) for name, tool in tools[:_MOST_ROWS]],
    )
    if report.pressure is not None:
        yield bars(
            f"Minutes at {report.pressure.plan.name}: answering (blue), held back (red)",
            [
                Bar(
                    TITLES.get(what, what),
                    [("working", play.working_s), ("waiting", play.waiting_s)],
                    f"{play.working_s / 60:,.0f} + {play.waiting_s / 60:,.0f} min",
                )
                for what, play in report.pressure.plays.items()
            ],
        )
    yield columns(
        "Sessions by the tenth of their round trips that would go, safe",
        [(f"{10 * n} %", totals.shares[n]) for n in range(10)],
    )
    yield columns(
        "Batches by how many calls they would have, safe",
        [(str(n), totals.batch_sizes[n]) for n in range(2, totals.most + 1)[:12]],
    )


def _scopes(report: Report) -> list[Bar]:
    totals = report.totals
    return [
        _shares(
            TITLES[scope],
            totals.saving(scope, "safe").round_trips,
            totals.saving(scope, "upper").round_trips,
            totals.requests,
        )
        for scope in TITLES
        if any(known == scope for known, _ in totals.savings)
    ]


def _shares(label: str, safe: int, upper: int, whole: int) -> Bar:
    low, high = percent(safe, whole), percent(upper, whole)
    return Bar(label, [("safe", low), ("more", high - low)], f"{low:.1f} – {high:.1f} %")


def _amounts(label: str, safe: int, upper: int) -> Bar:
    return Bar(label, [("safe", safe), ("more", upper - safe)], f"{safe:,} – {upper:,}")


def _table(table: Table) -> str:
    head = "".join(f"<th>{_(title)}</th>" for title in table.columns)
    rows = "".join(f"<tr>{_cells(row, table)}</tr>" for row in table.rows)
    return f'<div class="table"><table><tr>{head}</tr>{rows}</table></div>'


def _cells(row: Sequence[str], table: Table) -> str:
    styles = [' class="wide"' if title in table.wide else "" for title in table.columns]
    return "".join(f"<td{style}>{_(cell)}</td>" for style, cell in zip(styles, row, strict=True))


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_(line)}</li>' for line in lines)}</ul>"

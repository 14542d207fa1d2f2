"""`batchwrap limits`: what is known of providers and their plans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchwrap.cli.console import console

if TYPE_CHECKING:
    from batchwrap.core.provider import Provider
    from batchwrap.options import Limit
    from batchwrap.throttle.presets import Plan, Sheet

_DAY_S = 86_400
_PERIODS: Mapping[float, str] = {1: "a second", 60: "a minute", 3_600: "an hour", _DAY_S: "a day"}
_UNBOUNDED = 10_000


def limits(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Only this provider, plan or file, with all that is known of it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Show the limits that come with batchwrap: providers, plans, and where the amounts stand.

    A plan is used by its name, as in limits="cerebras/code-max". A file of your own is used as
    limits="own.toml#plan"; this command checks it.

    \b
    Examples:
      batchwrap limits
      batchwrap limits cerebras
      batchwrap limits cerebras/code-max
      batchwrap limits own.toml
      batchwrap limits --json | python -m json.tool
    """
    from batchwrap.throttle.presets import sheets

    chosen = sheets() if name is None else [_one(name)]
    if as_json:
        found = {"providers": [_as_dict(sheet) for sheet in chosen]}
        typer.echo(json.dumps(found, indent=2, default=str))
        return
    _print_table(chosen)
    if name is not None:
        for line in _facts(chosen[0]):
            typer.echo(line)


def _one(name: str) -> Sheet:
    """A provider's or a file's sheet, with one plan only if the name has one."""
    from batchwrap.throttle.presets import plan, sheet, split

    where, short = split(name)
    if not short:
        return sheet(where)
    found = plan(name)
    return replace(sheet(where), plans={short: found})


def _print_table(sheets: Sequence[Sheet]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for title in ("provider", "plan", "limits", "source", "date"):
        table.add_column(title, overflow="fold", no_wrap=title == "date")
    for sheet in sheets:
        for cells in _rows(sheet):
            table.add_row(*map(Text, cells))
    screen = console()
    if not screen.is_terminal:  # a file or a pipe has no width that a line has to fit
        screen.width = _UNBOUNDED
        screen.width = screen.measure(table).maximum
    screen.print(table)


def _rows(sheet: Sheet) -> Iterator[tuple[str, ...]]:
    name = sheet.provider.name
    if not sheet.plans:
        yield name, "–", "no amounts are known", sheet.source, _date(sheet)
    for short, plan in sheet.plans.items():
        said = "\n".join(_said(limit) for limit in plan.limits)
        yield name, short, said, plan.source, _date(plan)


def _said(limit: Limit) -> str:
    """A limit as people say it: ``20 requests a minute, rolling``."""
    if limit.kind == "concurrency":
        return str(limit)
    period = _PERIODS.get(limit.per_s, f"in {limit.per_s:g} s")
    said = f"{limit.amount:,.12g} {limit.kind.replace('_', ' ')} {period}"
    if limit.burst is not None:
        said += f", {limit.burst:,.12g} at once"
    if limit.mode == "fixed" and limit.per_s % _DAY_S == 0:
        return f"{said}, from midnight {limit.zone}"
    return said if limit.mode == "continuous" else f"{said}, {limit.mode}"


def _facts(sheet: Sheet) -> list[str]:
    """What the table has no room for, in lines."""
    lines = [
        f"hosts: {', '.join(sheet.hosts) or '–'}",
        f"models: {', '.join(f'{prefix}/…' for prefix in sheet.prefixes) or '–'}",
        *_counted(sheet.provider),
        f"facts: {sheet.source or '–'}, {_date(sheet)}",
    ]
    notes = [("", sheet.note), *((f"{it}: ", plan.note) for it, plan in sheet.plans.items())]
    return lines + [f"{label}{note.strip()}" for label, note in notes if note]


def _counted(provider: Provider) -> list[str]:
    rule = provider.rule
    held = (
        f"the prompt and the most that the answer may have ({rule.default_output:,} if not said)"
        if rule.reserves_output
        else "the prompt"
    )
    return [
        f"at admission: {held}",
        f"afterwards: {'what was really used' if rule.refunds else 'never corrected'}",
        f"cached tokens: {'count' if rule.counts_cached else 'do not count'}",
        f"caches prompts: {_known(provider.caches_prompts)}",
        f"usage in streams: {_known(provider.usage_in_streams)}",
    ]


def _known(fact: bool | None) -> str:
    return "not known" if fact is None else "yes" if fact else "no"


def _date(it: Sheet | Plan) -> str:
    return str(it.date) if it.date else "–"


def _as_dict(sheet: Sheet) -> dict[str, Any]:
    facts = asdict(sheet)
    facts["plans"] = [asdict(plan) for plan in sheet.plans.values()]
    return facts

"""Prints a view of a shared store: as tables, as lines in a pipe, or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import UTC, datetime

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batchwrap.cli.books import Page
from batchwrap.cli.console import console
from batchwrap.cli.text_tables import print_table, said
from batchwrap.cli.view import View, as_dict
from batchwrap.core.limits.state import Snapshot
from batchwrap.throttle.presence import describe_owner
from batchwrap.throttle.standing import Standing
from batchwrap.throttle.stores import TokenTotals

_REFRESH_S = 1.0
_NOTHING = "nothing was spent yet"
_UNCLEAR = (
    '"1 to 9" means that the exact number is not known: the store keeps single minutes only for an'
    " hour, and days in UTC, and this day began at another time."
)

Row = tuple[str, ...]


def show(look: Callable[[], View], *, as_json: bool) -> None:
    """Print what a store holds now."""
    view = look()
    if as_json:
        typer.echo(json.dumps(as_dict(view), indent=2))
        return
    screen = console()
    for part in _parts(view):
        if isinstance(part, Table):
            print_table(screen, part)
        else:
            screen.print(part, soft_wrap=not screen.is_terminal)


def watch(look: Callable[[], View], *, as_json: bool) -> None:
    """Show what a store holds, about once a second, until Ctrl-C."""
    screen = console()
    if as_json:
        _again_and_again(look, lambda view: typer.echo(json.dumps(as_dict(view))))
    elif screen.is_terminal and not screen.is_dumb_terminal:
        # Refreshed only with new data: a store is read once a second.
        with Live(console=screen, auto_refresh=False) as live:
            _again_and_again(look, lambda view: live.update(Group(*_parts(view)), refresh=True))
    else:
        _again_and_again(look, lambda view: typer.echo("\n".join(_lines(view))))


def _again_and_again(look: Callable[[], View], shown: Callable[[View], None]) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            shown(look())
            time.sleep(_REFRESH_S)


def _parts(view: View) -> Iterator[Table | Text]:
    yield Text(f"{view.store}, {_clock(view)}")
    if view.standings:
        yield _buckets(view)
    if view.others:
        yield _others(view)
    if not view.pages:
        yield Text(_NOTHING)
        return
    yield _books(view)
    if any(day.unclear != TokenTotals() for page in view.pages for day in page.today):
        yield Text(_UNCLEAR)


def _books(view: View) -> Table:
    table = _table("account", "model", "period", numbers=("requests", "prompt", "cached", "output"))
    for page in view.pages:
        _add(table, (page.account, page.model), _periods(page))
    return table


def _buckets(view: View) -> Table:
    table = _table("account", "buckets", "limit", numbers=("free", "reserved", "full in"))
    for standing in view.standings:
        rows = [*_levels(standing), (_state(standing.now), "", "", "")]
        _add(table, (standing.account, standing.scope.name), rows)
    return table


def _others(view: View) -> Table:
    title = "account, not on that plan" if view.standings else "account (its plan shows buckets)"
    table = _table(title, "now", numbers=())
    _add(table, (), ((one.key, _state(one.now)) for one in view.others))
    return table


def _table(*texts: str, numbers: Row) -> Table:
    table = Table()
    for title in texts:
        table.add_column(title, overflow="fold")
    for title in numbers:
        table.add_column(title, overflow="fold", justify="right")
    return table


def _add(table: Table, named: Row, rows: Iterable[Row]) -> None:
    """Add a section to the table; only its first row has the name."""
    for row in rows:
        table.add_row(*(Text(_clean(cell)) for cell in (*named, *row)))
        named = ("",) * len(named)
    table.add_section()


def _lines(view: View) -> Iterator[str]:
    clock = _clock(view)
    if not view.pages:
        yield f"{clock}  {_NOTHING}"
    for page in view.pages:
        # Lines of a log repeat every second, so each has only the current minute and today.
        short = replace(page, minutes=page.minutes[:1], days=())
        for period, requests, prompt, cached, output in _periods(short):
            counts = f"{requests} requests, {prompt} prompt, {cached} cached, {output} output"
            yield _clean(f"{clock}  {page.account}  {page.model}  {period}: {counts}")
    for standing in view.standings:
        named = f"{clock}  {standing.account}  {standing.scope.name}"
        for limit, free, reserved, full in _levels(standing):
            yield _clean(f"{named}  {limit}: {free} free, {reserved} reserved, full in {full}")
        yield _clean(f"{named}  {_state(standing.now)}")
    for one in view.others:
        yield _clean(f"{clock}  {one.key}  {_state(one.now)}")


def _periods(page: Page) -> Iterator[Row]:
    for line in page.minutes:
        start = datetime.fromtimestamp(line.start_unix_s)
        yield (f"{start:%H:%M}", *_counts(line.spent, line.spent))
    for day in page.today:
        yield (f"today, {day.zone}", *_counts(day.spent, day.most))
    for line in page.days:
        start = datetime.fromtimestamp(line.start_unix_s, UTC)
        yield (f"{start:%Y-%m-%d} UTC", *_counts(line.spent, line.spent))


def _counts(least: TokenTotals, most: TokenTotals) -> Row:
    pairs = zip(astuple(least), astuple(most), strict=True)
    return tuple(f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in pairs)


def _levels(standing: Standing) -> Iterator[Row]:
    for limit, level, full_s in standing.levels:
        full = "–" if full_s is None else f"{full_s:,.1f} s"
        yield said(limit), f"{level.free:,.0f}", f"{level.reserved:,.0f}", full


def _state(now: Snapshot) -> str:
    state = f"{now.running} running, {now.waiting} waiting"
    if now.queue:
        first = now.queue[0]
        whose = f" (process {describe_owner(first.owner)})" if first.owner else ""
        state += f", the first for {first.waited_s:,.1f} s{whose}"
    return f"{state}, closed for {now.closed_s:,.1f} s" if now.closed_s else state


def _clock(view: View) -> str:
    return f"{datetime.fromtimestamp(view.at_unix_s).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _clean(text: str) -> str:
    """Replace control codes: other users of the store choose the names in it."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)

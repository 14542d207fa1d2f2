"""Tables and texts that several commands share: on a terminal they fit it, in a pipe they are rows.

On a terminal a table has lines around its cells. Where it is too wide for that, its groups (rows
whose first cell is empty belong to the row above) stand below each other. In a pipe or a file each
row is one line without lines around its cells, and says by itself what it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from batchwrap.cli.console import print_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

    from batchwrap.options import Limit

_DAY_S = 86_400
_PERIODS: Mapping[float, str] = {1: "a second", 60: "a minute", 3_600: "an hour", _DAY_S: "a day"}
_GAP = 2
_PADDED = 40  # in a pipe a longer cell moves the rest of its own row, and of no other
# Wide enough for any table: rich measures against the width of a console.
_UNBOUNDED = 10_000

Row = tuple[str, ...]


def print_table(screen: Console, table: Table) -> None:
    """Print a table in a form that suits a terminal's width, or a pipe."""
    if not screen.is_terminal:
        for line in _lines(table):
            print_text(screen, line)
        return
    rows = _cells(table)
    options = screen.options.update(width=_UNBOUNDED)
    fits = screen.measure(table, options=options).maximum <= screen.width
    if fits or all(row[0] for row in rows):  # there are no groups
        screen.print(table)
        return
    if table.title:
        print_text(screen, str(table.title))
    _print_groups(screen, table.columns[1:], rows)


def _print_groups(screen: Console, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print each group below its name. Its columns are as wide as those of all other groups."""
    from rich.table import Table
    from rich.text import Text

    heads = tuple(str(column.header) for column in columns)
    widths = _widths([heads, *(row[1:] for row in rows)])
    fits = sum(widths) + _GAP * len(widths) <= screen.width
    for at, (name, group) in enumerate(groupby(_filled(rows), key=itemgetter(0))):
        made = Table(box=None, padding=(0, _GAP, 0, 0), show_header=at == 0 or not fits)
        for head, column, width in zip(heads, columns, widths, strict=True):
            of_all = width if fits else None
            made.add_column(head, justify=column.justify, width=of_all, overflow="fold")
        for _, *cells in group:
            made.add_row(*map(Text, cells))
        screen.print(Text(f"\n{name}", style="bold"))
        screen.print(made)
    screen.print()


def _lines(table: Table) -> Iterator[str]:
    """The rows as lines of aligned cells, each with the names that it shares with the row above."""
    heads = tuple(str(column.header).replace("\n", " ") for column in table.columns)
    rows = [heads, *_filled(_cells(table))]
    widths = [min(width, _PADDED) for width in _widths(rows)]
    if table.title:
        yield str(table.title)
    for row in rows:
        cells = (
            cell.rjust(width) if column.justify == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        yield (" " * _GAP).join(cells).rstrip()


def _cells(table: Table) -> list[Row]:
    """The texts of the rows; a cell of several lines becomes one."""
    columns = [[_one_line(str(cell)) for cell in column.cells] for column in table.columns]
    return list(zip(*columns, strict=True))


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _filled(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, with the first cells of the row above where theirs are empty."""
    above: Row = ()
    for row in rows:
        empty = next((at for at, cell in enumerate(row) if cell), 0)
        above = (*above[:empty], *row[empty:])
        yield above


def _widths(rows: Sequence[Row]) -> list[int]:
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def said(limit: Limit) -> str:
    """A limit in words: ``20 requests a minute, rolling``."""
    if limit.kind == "concurrency":
        return str(limit)
    period = _PERIODS.get(limit.per_s, f"in {limit.per_s:g} s")
    text = f"{limit.amount:,.12g} {limit.kind.replace('_', ' ')} {period}"
    if limit.burst is not None:
        text += f", {limit.burst:,.12g} at once"
    if limit.mode == "fixed" and limit.per_s % _DAY_S == 0:
        return f"{text}, from midnight {limit.zone}"
    return text if limit.mode == "continuous" else f"{text}, {limit.mode}"

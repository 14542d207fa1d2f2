"""Tables and texts that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from batchwrap.options import Limit

_DAY_S = 86_400
_PERIODS: Mapping[float, str] = {1: "a second", 60: "a minute", 3_600: "an hour", _DAY_S: "a day"}
_UNBOUNDED = 10_000


def print_table(screen: Console, table: Table) -> None:
    """Print a table, wrapped to a terminal's width, but with whole lines to a file or a pipe."""
    if not screen.is_terminal:
        # rich measures against the console's width, so that must be unbounded first.
        screen.width = _UNBOUNDED
        screen.width = screen.measure(table).maximum
    screen.print(table)


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

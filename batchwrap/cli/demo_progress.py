"""The progress of a running demo, on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from batchwrap.demo.book import Clock
from batchwrap.demo.run import ArmName, DemoArm, Watcher


class Lines(Watcher):
    """Prints a plain line for each turn, for output that is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock: Clock = float

    def started(self, arm: ArmName, clock: Clock) -> None:
        """Keep the clock for the turns."""
        self._clock = clock

    def turn(self, arm: ArmName, number: int, called: str) -> None:
        """Print the turn."""
        self._print(f"{arm:<7}  turn {number:>2}  {self._clock():7.1f} s  {called}")

    def ended(self, arm: DemoArm) -> None:
        """Print how it ended."""
        self._print(f"{arm.name:<7}  {_ending(arm)}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Rows(Watcher):
    """Shows a live row for each arm on a terminal; its clock runs while the agent waits."""

    def __init__(self) -> None:
        self._clocks: dict[str, Clock] = {}
        self._turns: dict[str, tuple[int, str]] = {}
        self._endings: dict[str, str] = {}

    def started(self, arm: ArmName, clock: Clock) -> None:
        """Add the arm's row."""
        self._turns[arm] = (0, "asks for the first time")
        self._clocks[arm] = clock

    def turn(self, arm: ArmName, number: int, called: str) -> None:
        """Update the arm's row."""
        self._turns[arm] = (number, called)

    def ended(self, arm: DemoArm) -> None:
        """Replace the arm's row by its outcome."""
        self._endings[arm.name] = _ending(arm)

    def __rich__(self) -> Table:
        """The current rows. rich calls this in another thread, several times a second."""
        rows = Table.grid(padding=(0, 2))
        for arm, clock in list(self._clocks.items()):  # a copy: another arm may begin meanwhile
            number, called = self._turns[arm]
            if arm in self._endings:
                rows.add_row(arm, self._endings[arm])
            else:
                rows.add_row(arm, f"turn {number:>2}  {clock():7.1f} s  {called}")
        return rows


@contextmanager
def showing(console: Console) -> Iterator[Watcher]:
    """Show the progress of the arms: live rows on a terminal, otherwise a line for each turn."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console)
        return
    rows = Rows()
    with Live(rows, console=console, refresh_per_second=8):
        yield rows


def _ending(arm: DemoArm) -> str:
    outcome = "done" if arm.done else "NOT done"
    return f"{outcome} after {arm.turns} turns and {arm.wall_s:,.1f} s"

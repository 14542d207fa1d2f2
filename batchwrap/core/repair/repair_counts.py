"""Counting what was repaired, and what could not be: names and numbers, never contents."""

from __future__ import annotations

from typing import Any

from batchwrap.core.tally import Tally


class RepairCounts:
    """Counts repairs and defects of one answer."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def repaired(self, name: str) -> None:
        """A defect was repaired."""
        self._tally.add(f"repairs.{name}")
        self._tally.note("repaired", repair=name)

    def defect(self, kind: str, **data: Any) -> None:
        """Something is broken and stays so."""
        self._tally.add(f"defects.{kind}")
        self._tally.note("defect", kind=kind, **data)

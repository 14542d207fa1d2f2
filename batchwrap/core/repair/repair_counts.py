"""Counts what was repaired and what could not be: names and numbers, never contents."""

from __future__ import annotations

from typing import Any

from batchwrap.core.exchange_metrics import ExchangeMetrics


class RepairCounts:
    """Counts repairs and defects of one answer."""

    def __init__(self, metrics: ExchangeMetrics) -> None:
        self._metrics = metrics

    def repaired(self, name: str) -> None:
        """Count a defect that was repaired."""
        self._metrics.add(f"repairs.{name}")
        self._metrics.note("repaired", repair=name)

    def defect(self, kind: str, **data: Any) -> None:
        """Count a defect that cannot be repaired."""
        self._metrics.add(f"defects.{kind}")
        self._metrics.note("defect", kind=kind, **data)

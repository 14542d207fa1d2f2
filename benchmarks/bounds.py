"""The bounds of what batching could save, as a table over the recorded sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchwrap.analyze.bounds import (
    CLASSES,
    EDITS,
    IN_ORDER,
    Classes,
    runs,
    saved,
    saved_capped,
)
from batchwrap.analyze.session import Session

__all__ = ["CLASSES", "EDITS", "IN_ORDER", "Classes", "runs", "saved", "saved_capped", "table"]


def table(sessions: Sequence[Session], coding: Iterable[str]) -> str:
    """The bounds of all classes, as shares of all requests: coding CLIs, and all."""
    coding = set(coding)
    columns = [[s for s in sessions if s.source in coding], sessions]
    lines = [f"{'what is merged':<50} {'coding CLIs':>17} {'all':>17}   (upper / careful)"]
    for name, classes in CLASSES.items():
        cells = [
            " / ".join(f"{_share(some, classes, careful=careful):.1f} %" for careful in (0, 1))
            for some in columns
        ]
        lines.append(f"{name:<50} {cells[0]:>17} {cells[1]:>17}")
    return "\n".join(lines)


def _share(sessions: Sequence[Session], classes: Classes, *, careful: int) -> float:
    requests = sum(len(session.turns) for session in sessions)
    gone = sum(saved(session, classes, careful=bool(careful)) for session in sessions)
    return 100 * gone / max(1, requests)

"""The bounds of what batching could save in the recorded sessions, as they were published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchwrap.analyze.bounds import (
    CHANGES,
    EDITS,
    IN_ORDER,
    READS,
    SEARCHES,
    SHELL_READS,
    WRITES,
    Classes,
    Run,
    by_kind,
    runs_of,
)
from batchwrap.analyze.recorded_session import Session

__all__ = ["CLASSES", "EDITS", "runs", "saved", "saved_capped", "table"]

# Which kinds may be merged with each other, as in the table of the recordings.
CLASSES: dict[str, Classes] = {
    "runs of reads; runs of edits; runs of writes": (READS, EDITS, WRITES),
    "read-only tools mixed, and edits": (READS | SEARCHES, EDITS | WRITES),
    "the same with one-file and search shell commands": (READS | SEARCHES | SHELL_READS, CHANGES),
    "any of these kinds, in order": IN_ORDER,
}


def runs(session: Session, classes: Classes = IN_ORDER, *, careful: bool) -> list[Run]:
    """The runs of two turns and more."""
    return runs_of(session, by_kind(classes), "careful" if careful else "upper")


def saved(session: Session, classes: Classes = IN_ORDER, *, careful: bool) -> int:
    """Round trips that vanish if each run is one."""
    return sum(len(run) - 1 for run in runs(session, classes, careful=careful))


def saved_capped(session: Session, most: int) -> int:
    """The same, careful, with no more than so many calls in one batch."""
    return sum(len(run) - -(-len(run) // most) for run in runs(session, careful=True))


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

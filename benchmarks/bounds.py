"""What batching could save at most in a recorded session: runs of turns as one turn.

A run is a row of turns of one call each, all of one class of kinds, with no word of the
user between them; as one request it would save all of its round trips but one. The upper
bound takes every run. The careful one takes only what a model could have known when the
run began: nothing after a failed call, and no file that is first named inside the run,
except one that the model makes itself. A careful run is what the scripted model of the
replay sends as one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.sessions import Session, Turn

READS = frozenset({"read", "multi_read"})
SEARCHES = frozenset({"search"})
EDITS = frozenset({"edit", "multi_edit"})
WRITES = frozenset({"write"})
SHELL_READS = frozenset({"shell_read", "shell_multiread", "shell_search"})
SHELL_WRITES = frozenset({"shell_write"})
CHANGES = EDITS | WRITES | SHELL_WRITES

Classes = tuple[frozenset[str], ...]
# Which kinds may be merged with each other, as in the table of the recordings.
IN_ORDER: Classes = (READS | SEARCHES | SHELL_READS | CHANGES,)
CLASSES: dict[str, Classes] = {
    "runs of reads; runs of edits; runs of writes": (READS, EDITS, WRITES),
    "read-only tools mixed, and edits": (READS | SEARCHES, EDITS | WRITES),
    "the same with one-file and search shell commands": (READS | SEARCHES | SHELL_READS, CHANGES),
    "any of these kinds, in order": IN_ORDER,
}


def runs(session: Session, classes: Classes = IN_ORDER, *, careful: bool) -> list[list[Turn]]:
    """The runs of two turns and more."""
    found: list[list[Turn]] = [[]]
    for part in session.script:
        run = found[-1]
        its_class = _class_of(part, classes) if isinstance(part, Turn) else None
        if not isinstance(part, Turn) or its_class is None:
            found.append([])
        elif run and (
            its_class != _class_of(run[-1], classes) or (careful and not _foreseen(part, run[-1]))
        ):
            found.append([part])
        else:
            run.append(part)
    return [run for run in found if len(run) > 1]


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


def _class_of(turn: Turn, classes: Classes) -> int | None:
    """Which class a turn of one call belongs to; None for any other turn."""
    if len(turn.calls) != 1:
        return None
    kind = turn.calls[0].kind
    return next((place for place, kinds in enumerate(classes) if kind in kinds), None)


def _foreseen(turn: Turn, before: Turn) -> bool:
    """Whether the model could have made this turn's call before it had the last result."""
    call = turn.calls[0]
    is_new_file = call.kind in WRITES | SHELL_WRITES
    named = call.known or call.path is None or is_new_file
    return named and not before.calls[0].failed

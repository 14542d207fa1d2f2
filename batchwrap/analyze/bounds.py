"""Bounds for what batching could save in a recorded session: each run as one turn.

A run is a sequence of turns with one call each, all of one class of kinds, without a message of the
user between them. As one request it would save all of its round trips but one. Three rules define
a run, each stricter than the one before:

- *upper*: every run;
- *careful*: only calls that the model could have made when the run began. The run ends at a failed
  call, and at a file that is first named inside the run, unless the model creates that file. The
  scripted model of the replay sends a careful run as one batch;
- *safe*: moreover, nothing is changed that was read in the same batch, since its content may be
  the reason for the change; and the number of calls is limited. batchwrap uses the same rule where
  it rewrites a history.

What scripts could save at most is counted separately (`script_runs`). The calls of a script may
depend on each other, and a turn may have several. There are two rules:

- *upper*: every run;
- *silent*: the run ends where the model says something to the user. Many models announce each
  call, so this rule may find less than there is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Literal

from batchwrap.analyze.recorded_session import RecordedCall, RecordedTurn, Session
from batchwrap.core.moves.conflict import Effect, conflict, parts_of

READS = frozenset({"read", "multi_read"})
SEARCHES = frozenset({"search"})
EDITS = frozenset({"edit", "multi_edit"})
WRITES = frozenset({"write"})
SHELL_READS = frozenset({"shell_read", "shell_multiread", "shell_search"})
SHELL_WRITES = frozenset({"shell_write"})
CHANGES = EDITS | WRITES | SHELL_WRITES

Rule = Literal["upper", "careful", "safe"]
RULES: tuple[Rule, ...] = ("upper", "careful", "safe")
ScriptRule = Literal["upper", "silent"]
SCRIPT_RULES: tuple[ScriptRule, ...] = ("upper", "silent")
Run = list[RecordedTurn]
ClassOf = Callable[[RecordedTurn], Hashable | None]
Classes = tuple[frozenset[str], ...]
# All kinds whose calls may be in one batch of mixed calls.
IN_ORDER: Classes = (READS | SEARCHES | SHELL_READS | CHANGES,)


def runs_of(session: Session, class_of: ClassOf, rule: Rule, most: int = 8) -> list[Run]:
    """The runs of two or more turns in a session.

    Args:
        session: the session.
        class_of: returns the class of a turn, since a run has turns of one class only; None for
            a turn that belongs to no run.
        rule: the rule that defines a run.
        most: the largest number of calls in a run, by the safe rule.
    """
    found: list[Run] = [[]]
    for part in session.script:
        run = found[-1]
        its_class = class_of(part) if isinstance(part, RecordedTurn) else None
        if not isinstance(part, RecordedTurn) or its_class is None:
            found.append([])
        elif run and (its_class != class_of(run[-1]) or not _goes_on(part, run, rule)):
            found.append([part])  # the turn that ends a run may begin the next one
        else:
            run.append(part)
    pieces = found if rule != "safe" else [p for run in found for p in _safe_pieces(run, most)]
    return [run for run in pieces if len(run) > 1]


def script_runs(
    session: Session, has: Callable[[RecordedCall], bool], rule: ScriptRule, most: int
) -> list[Run]:
    """The rows of turns that one script each could stand for: two turns and more.

    Args:
        session: where to look.
        has: whether a script may make such a call. A turn with another call is in no row.
        rule: whether the model may say something in between.
        most: calls of one script.
    """
    found: list[Run] = [[]]
    for part in session.script:
        if not isinstance(part, RecordedTurn) or not part.calls or not all(map(has, part.calls)):
            found.append([])
            continue
        is_told = part.has_text and rule == "silent"
        if is_told or sum(len(turn.calls) for turn in (*found[-1], part)) > most:
            found.append([part])
        else:
            found[-1].append(part)
    return [run for run in found if len(run) > 1]


def by_kind(classes: Classes, among: Callable[[RecordedCall], bool] = lambda _: True) -> ClassOf:
    """A `class_of` for `runs_of`: the class of a turn's one call; None for other turns."""

    def class_of(turn: RecordedTurn) -> int | None:
        if len(turn.calls) != 1 or not among(turn.calls[0]):
            return None
        kind = turn.calls[0].kind
        return next((place for place, kinds in enumerate(classes) if kind in kinds), None)

    return class_of


def _goes_on(turn: RecordedTurn, run: Run, rule: Rule) -> bool:
    return rule == "upper" or _foreseen(turn, run)


def _foreseen(turn: RecordedTurn, run: Sequence[RecordedTurn]) -> bool:
    """Whether the model could have made this turn's call when the run began."""
    call = turn.calls[0]
    # A file that the model creates has no name before, but the model knows it.
    is_new_file = call.kind in WRITES | SHELL_WRITES
    known = call.known_from is not None and call.known_from <= run[0].index
    return (known or call.path is None or is_new_file) and not run[-1].calls[0].failed


def _safe_pieces(run: Run, most: int) -> Iterator[Run]:
    piece: Run = []
    looked: list[Effect] = []
    for turn in run:
        effect = _effect(turn.calls[0])
        # What was read in this batch may be the reason for the change.
        rests = effect.changes and any(conflict(seen, effect) for seen in looked)
        if rests or len(piece) >= most:
            yield piece
            piece, looked = [], []
        piece.append(turn)
        looked += [] if effect.changes else [effect]
    yield piece


def _effect(call: RecordedCall) -> Effect:
    kinds = {"read": READS, "edit": EDITS, "write": WRITES | SHELL_WRITES}
    kind = next((kind for kind, all_of_it in kinds.items() if call.kind in all_of_it), "read_only")
    if call.kind in SHELL_READS and call.path is not None:
        kind = "read"
    named = kind != "read_only" and call.path is not None
    return Effect(kind, parts_of(call.path) if named and call.path else None)

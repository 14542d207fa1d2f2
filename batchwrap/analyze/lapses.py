"""Lapses: single calls in a row that could have been one batch, by the rule of the reminders.

Single calls in a row of a tool that batchwrap does not recognise are no lapses, since nothing was
offered for it. They show which tools to declare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from batchwrap.analyze.bounds import EDITS, READS, WRITES, runs_of
from batchwrap.analyze.recorded_session import RecordedTurn, Session

_LAPSING = READS | EDITS | WRITES
_MOST_PATHS = 6


@dataclass(frozen=True, slots=True, order=True)
class Lapse:
    """Single calls of one tool in a row that could have been one batch.

    Attributes:
        prompt_tokens: the prompt tokens of their requests, without the first one.
        file, session, turn: the place where it begins.
        tool: the tool.
        calls: the number of calls.
        paths: the first few paths of the calls.
    """

    prompt_tokens: int
    file: str
    session: str
    turn: int
    tool: str
    calls: int
    paths: tuple[str, ...]


def lapses(session: Session) -> list[Lapse]:
    """The lapses of a session, which reminders would have named (`core.reminders`).

    A lapse is a sequence of turns with one call each, all of one tool that takes a path. None but
    the last call failed, and each path was named before the first call. A repetition of the same
    call is not a lapse.
    """
    found = []
    for run in runs_of(session, _tool_of, "careful"):
        calls = [turn.calls[0] for turn in run]
        distinct = {(call.path, call.argument_tokens) for call in calls}
        if len(distinct) > 1:
            paths = tuple(dict.fromkeys(call.path or "" for call in calls))[:_MOST_PATHS]
            resent = sum(turn.usage.prompt_tokens for turn in run[1:])
            where = (session.file, session.id, run[0].index, calls[0].name or calls[0].kind)
            found.append(Lapse(resent, *where, len(run), paths))
    return found


def undeclared_calls(session: Session) -> Iterator[str]:
    """The tools of single calls that followed a single call of the same tool, call by call.

    Only tools that have to be declared count, and no repetition of the same call.
    """
    for before, after in pairwise(session.script):
        if not isinstance(before, RecordedTurn) or not isinstance(after, RecordedTurn):
            continue
        if len(before.calls) != 1 or len(after.calls) != 1:
            continue
        first, then = before.calls[0], after.calls[0]
        is_same = (first.path, first.argument_tokens) == (then.path, then.argument_tokens)
        if first.name == then.name and not (then.own or then.as_text or is_same):
            yield then.name or then.kind


def _tool_of(turn: RecordedTurn) -> str | None:
    if len(turn.calls) != 1:
        return None
    call = turn.calls[0]
    return call.name if call.own and call.path and call.kind in _LAPSING else None

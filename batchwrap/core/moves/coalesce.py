"""Coalesce: merges runs of consecutive single calls in the history into multi-calls.

    agent view                         provider view
    model: read_file(a.py)             model: multi_read(files=[a.py, b.py])
    result: text of a.py               result: [1/2] read_file a.py
    model: read_file(b.py)                     text of a.py
    result: text of b.py                       [2/2] read_file b.py
                                               text of b.py

This shortens the history and shows the model batches as its own habit. It must not teach the model
to guess, so a run holds only calls that the model could have made in one batch: no call failed,
every path was known before the run, and no call changes what an earlier one had to look at first.

A run is rewritten once, when something follows that cannot belong to it. A finished run never
changes as the conversation grows, so the provider's prompt cache stays valid. All calls of a turn
belong to the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.conflict import conflict
from batchwrap.core.moves.fold import Segment
from batchwrap.core.moves.mentions import Mentions, texts_of
from batchwrap.core.moves.results import item
from batchwrap.core.moves.single_turns import SingleCall, SingleTurn, turn_at
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import MultiTool, render

# This many recent entries are searched for a path first: mostly one of them names the next file.
_NEWEST = 8


def coalesce(
    before: Sequence[Entry],
    segments: Sequence[Segment],
    multis: Sequence[MultiTool],
    singles: Mapping[str, SingleTool],
    failed: Callable[[str], bool],
    *,
    most: int,
) -> tuple[list[Segment], int]:
    """The conversation with each finished run of single calls as one segment.

    A run has at least two calls, in one turn or in several consecutive turns. A run of several
    turns becomes one multi-call and one result. A single turn with more than `most` calls, or with
    calls that no multi-tool can run together, becomes one turn with several multi-calls.

    The caller may move the finished segments to `before`: as long as the tools are the same, the
    result for the following segments does not change.

    Args:
        before: the earlier part of the provider view, in which paths may have been named.
        segments: the rest of the conversation, as folding made it.
        multis: the multi-tools on offer.
        singles: the agent's tools that can be batched, by name.
        failed: whether the text of a result reports a failure.
        most: the largest number of items of a multi-call.

    Returns:
        The segments, and how many at the end belong to a run that may still continue. These
        segments, and all others outside of runs, are the same objects as in `segments`.
    """
    walk = _Walk(before, multis, most)
    place = 0
    while place < len(segments):
        turn = turn_at(segments, place, singles, failed)
        if turn is None:
            walk.other(segments[place])
            place += 1
        else:
            walk.turn(turn)
            place += len(turn.segments)
    return [*walk.done, *walk.open], len(walk.open)


_Member = tuple[SingleCall, Entry]


class _Walk:
    """Walks through the conversation, turn by turn, and collects the current run."""

    def __init__(self, before: Sequence[Entry], multis: Sequence[MultiTool], most: int) -> None:
        self.done: list[Segment] = []
        self._run: list[SingleTurn] = []
        self._seen = [*before]
        self._mentions = Mentions(self._seen)
        self._most = max(most, 1)
        self._multis = sorted(multis, key=lambda multi: multi.is_mixed)  # mixed ones come last

    @property
    def open(self) -> list[Segment]:
        """The segments of the run that may still continue."""
        return [segment for turn in self._run for segment in turn.segments]

    def other(self, segment: Segment) -> None:
        """Add a segment that cannot belong to a run."""
        self._finish()
        self._close([segment])

    def turn(self, turn: SingleTurn) -> None:
        """Add a turn that may belong to a run."""
        if not self._continues(turn):
            self._finish()
        self._run.append(turn)

    def _continues(self, turn: SingleTurn) -> bool:
        """Whether the model could have made a turn's calls in one batch with the current run."""
        earlier = [call for member in self._run for call in member.calls]
        calls = [*earlier, *turn.calls]
        return (
            bool(earlier)
            and len(calls) <= self._most
            and not any(call.tool.kind == "sequential" for call in calls)
            and self._multi(calls) is not None
            and not any(_builds_on(call, earlier) for call in turn.calls)
            and all(self._is_named(name) for call in turn.calls for name in call.names)
        )

    def _is_named(self, name: str) -> bool:
        """Whether the last component of a path was known when the run began."""
        newest = [*self._seen[-_NEWEST:], self._run[0].entry]
        if any(name in text for entry in newest for text in texts_of(entry)):
            return True
        return self._mentions.has(name)

    def _multi(self, calls: Sequence[SingleCall]) -> MultiTool | None:
        """The multi-tool that can run all of these calls; None if there is none.

        A multi-tool of their kind is preferred to one that mixes tools.
        """
        names = {call.tool.name for call in calls}
        return next((multi for multi in self._multis if names <= multi.tools.keys()), None)

    def _finish(self) -> None:
        """Rewrite the current run, if that makes fewer calls of it, and begin a new one."""
        segments = self.open
        members = [(call, t.answers[call.call.call_id]) for t in self._run for call in t.calls]
        groups = list(self._groups(members))
        if len(groups) < len(members):  # otherwise nothing would be merged
            first, *others = (turn.entry for turn in self._run)
            made = [_merged(first, multi, group) for multi, group in groups]
            entry = first.merged(others, [call for call, _ in made])
            answers = [answer for _, answer in made]
            segments = [Segment(sum(s.taken for s in segments), [entry, *answers])]
        self._close(segments)
        self._run = []

    def _close(self, segments: Sequence[Segment]) -> None:
        self.done += segments
        self._seen += [entry for segment in segments for entry in segment.entries]

    def _groups(self, members: list[_Member]) -> Iterator[tuple[MultiTool | None, list[_Member]]]:
        """Splits a run into groups of consecutive calls that one multi-tool can run.

        If a multi-tool can run all of them, only the size of the groups is limited.
        """
        stretches = [members]
        if self._multi([call for call, _ in members]) is None:
            stretches = [list(same) for _, same in groupby(members, lambda m: m[0].tool.name)]
        for stretch in stretches:
            multi = self._multi([call for call, _ in stretch])
            size = self._most if multi else 1
            for start in range(0, len(stretch), size):
                yield multi, stretch[start : start + size]


def _builds_on(call: SingleCall, earlier: Sequence[SingleCall]) -> bool:
    """Whether a call changes something that an earlier call may have read for that purpose."""
    effect = call.effect
    if not effect.changes:
        return False
    return any(not e.changes and conflict(e, effect) for e in (seen.effect for seen in earlier))


def _merged(turn: Entry, multi: MultiTool | None, group: Sequence[_Member]) -> tuple[Call, Entry]:
    """One multi-call for a group of calls, and its result; a single call stays unchanged."""
    first, answer = group[0]
    if multi is None or len(group) == 1:
        return first.call, answer
    arguments = render(multi.kind, [(one.tool.name, one.call.arguments) for one, _ in group])
    call_id, count = first.call.call_id, len(group)
    parts = [item(n, count, one.call, [its]) for n, (one, its) in enumerate(group)]
    call = Call(call_id, multi.name, arguments)
    return call, turn.result(call, parts, [])

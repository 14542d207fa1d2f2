"""Fold: turns single calls in the history back into the turn that the model made.

The history of the agent, with the derived ids that `ids` explains:

    model   bwq7ZAeJLA5call_81  edit_file(a.py, one, two)
            bwq7ZAeLLAHcall_81  edit_file(b.py, one, two)
    result  bwq7ZAeJLA5call_81  Edited.
    result  bwq7ZAeLLAHcall_81  Edited.
    model   bwq7ZAeKLABcall_81  edit_file(a.py, two, three)      the second wave
    result  bwq7ZAeKLABcall_81  Edited.

What the provider receives in its place:

    model   call_81  multi_edit(files=[a.py: one, two · a.py: two, three · b.py: one, two])
    result  call_81  [1/3] edit_file a.py
                     Edited.
                     [2/3] edit_file a.py
                     Edited.
                     [3/3] edit_file b.py
                     Edited.

So the model sees what it did, with one result for each of its own calls, and a second wave, which
is a turn of its own for the agent, belongs to the same turn. An item without a result gets a line
that says why (`results`): "not run" is said only of items that are known not to have been handed
out.

If the turn is remembered and unchanged, the model sees its own call again to the byte. Otherwise
the call is rewritten from the items in the history. A turn that cannot be rebuilt stays as the
agent wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from batchwrap.core.formats.calls import Call, Written
from batchwrap.core.formats.entries import Entry, Parts
from batchwrap.core.moves import ids
from batchwrap.core.moves.past_turns import HistoryReader, Member, PastTurn
from batchwrap.core.moves.results import (
    CUT_OFF,
    NOT_RUN,
    NOT_SEEN,
    REST_NOT_SEEN,
    UNKNOWN,
    added,
    contents,
    item,
    missing,
)
from batchwrap.core.moves.scripts import TurnScripts, script_in, without_script, without_scripts
from batchwrap.core.moves.turn_memory import Placed, Turn
from batchwrap.core.parse import is_json
from batchwrap.core.tools.multi import AHEAD, MIXED, SCRIPT, SINGLE, name_of, render

# Returns for the contents of added reads, in order, which of them the model is shown.
Kept = Callable[[Sequence[Parts]], Sequence[bool]]
# Tells what was asked again before the model's entry at a place of the history.
AttemptsBefore = Callable[[int], Sequence[Entry]]
# Tells how far the scripts of a turn have come; None where that cannot be known.
ScriptsOf = Callable[[PastTurn], TurnScripts | None]
# A call that went out in one piece, as the model made it.
_UNCHANGED = (SINGLE, SCRIPT.upper())


@dataclass(frozen=True, slots=True, repr=False)
class Segment:
    """Consecutive entries of the agent view that belong together, in the provider view.

    Attributes:
        taken: how many entries of the agent view it replaces.
        entries: the entries of the provider view.
        is_folded: whether it is a folded turn.
    """

    taken: int
    entries: Sequence[Entry]
    is_folded: bool = False


def no_scripts(spoken: PastTurn) -> None:
    """Nobody can tell."""


def no_attempts(place: int) -> Sequence[Entry]:
    """Nothing was asked again."""
    return ()


def fold(
    start: int,
    reader: HistoryReader,
    kept: Kept,
    scripts: ScriptsOf = no_scripts,
    attempts: AttemptsBefore = no_attempts,
) -> list[Segment]:
    """The provider view of a conversation, from an entry on.

    Args:
        start: the first entry.
        reader: the conversation and its expanded turns.
        kept: which added reads the model is shown.
        scripts: how far the scripts of a turn have come.
        attempts: what was asked again before an entry.

    Returns:
        The segments. Entries outside of folded turns are the same objects.
    """
    entries = reader.entries

    def plain(upto: int) -> Iterator[Segment]:
        for at in range(place, upto):
            earlier = attempts(at)
            yield Segment(1, [*earlier, without_scripts(entries[at])], is_folded=bool(earlier))

    segments: list[Segment] = []
    place = start
    for spoken in reader.spoken(start):
        turn = _Folding(entries[spoken.start], spoken, kept, scripts(spoken)).entries()
        if turn is not None:
            segments += plain(spoken.start)
            made = [*attempts(spoken.start), *turn]
            segments.append(Segment(spoken.end - spoken.start, made, is_folded=True))
            place = spoken.end
    return [*segments, *plain(len(entries))]


@dataclass(slots=True, repr=False)
class _Group:
    """The calls that were made from one call of the model.

    Attributes:
        first: the derived id of the first of them that was found.
        members: the calls by the index of their item.
        count: the number of items, as far as it is known.
    """

    first: ids.DerivedId
    members: dict[int, Member] = field(default_factory=dict)
    count: int = 0

    def add(self, derived: ids.DerivedId, member: Member) -> bool:
        """Add one of its calls; False if it has a call for that item already."""
        self.count = max(self.count, derived.count, derived.index + 1)
        return self.members.setdefault(derived.index, member) is member

    @property
    def is_one_piece(self) -> bool:
        """Whether the model's call went out as a single call: it waited, or as raw arguments."""
        return self.first.kind == SINGLE or self.first.kind.isupper()

    @property
    def is_script(self) -> bool:
        """Whether a script has made them."""
        return self.first.kind == SCRIPT

    @property
    def is_open(self) -> bool:
        """Whether the number of items is unknown: only the id of the last item holds it."""
        last = self.members.get(self.count - 1)
        return last is not None and last.derived is not None and not last.derived.count

    def rewritten(self, call_id: str, waiting: dict[int, Call]) -> Call | None:
        """The model's call, rewritten from its items.

        Args:
            call_id: its id.
            waiting: the calls of items that were not handed out, by index.

        Returns:
            None if the items do not fit the multi-tool that the ids name, as an edited history
            may have them.
        """
        calls = {**waiting, **{index: it.call for index, it in self.members.items()}}
        listed = [calls[index] for index in sorted(calls)]
        kind = self.first.kind
        if kind in _UNCHANGED:
            return replace(listed[0], call_id=call_id, source=None)
        if not all(call.is_whole for call in listed):
            return None
        named = [(call.name, call.arguments) for call in listed]
        is_readable = kind.isupper() or all(is_json(given) for _, given in named)
        is_one_tool = len({tool for tool, _ in named}) == 1
        name = name_of(kind, named[0][0]) if is_one_tool or kind in MIXED else None
        if name is None or not is_readable:
            return None
        arguments = named[0][1] if kind.isupper() else render(kind, named)
        extras = next((call.extras for call in listed if call.extras), {})
        return Call(call_id, name, arguments, extras=extras)


@dataclass(slots=True, repr=False)
class _Parts:
    """The agent's calls of one turn, assigned to the model's calls that they were made from.

    Attributes:
        groups: the groups of calls with derived ids.
        own: for each of the model's calls, by its id and in order, its group, or the call itself if
            it went out unchanged.
        ahead: reads that batchwrap added, by the id of the model's read.
    """

    groups: dict[tuple[str, str, str], _Group] = field(default_factory=dict)
    own: dict[str, _Group | Member] = field(default_factory=dict)
    ahead: dict[str, list[Member]] = field(default_factory=dict)

    def take(self, member: Member) -> bool:
        """Add a call; False if two of the model's calls have the same id, so that it is unclear."""
        derived = member.derived
        if derived is None:
            origin = member.placed.call_id if member.placed else member.call_id
            return self.own.setdefault(ids.short(origin), member) is member
        if derived.kind == AHEAD:
            self.ahead.setdefault(derived.origin, []).append(member)
            return True
        group = self.groups.setdefault(derived.group, _Group(derived))
        is_new = group.add(derived, member)
        return is_new and self.own.setdefault(derived.origin, group) is group


class _Folding:
    """Folds one turn of the history.

    Args:
        entry: the entry that the turn begins with.
        spoken: the turn.
        kept: which added reads the model is shown.
    """

    def __init__(
        self, entry: Entry, spoken: PastTurn, kept: Kept, scripts: TurnScripts | None
    ) -> None:
        self._entry = entry
        self._scripts = scripts
        known = spoken.known
        self._programs = {one.origin: one for one in (known.scripts if known is not None else ())}
        self._known = None if known is None or known.is_restored else known
        self._spoken = spoken
        self._kept = kept
        self._parts = _Parts()
        self._results: dict[str, list[Entry]] = {}
        for result in spoken.answers:
            self._results.setdefault(result.call_id or "", []).append(result)

    def entries(self) -> list[Entry] | None:
        """The turn as the model made it, with a result for each of its calls.

        Returns:
            None if it cannot be rebuilt, or if it has no results yet.
        """
        parts = self._parts
        if not self._results or not all(map(parts.take, self._spoken.members)):
            return None
        if not parts.ahead.keys() <= parts.own.keys():
            return None
        said = self._said()
        # A call of which nothing was handed out is not in the history, but the model has made it.
        waiting = [key for key in said if key not in parts.own and self._never_came(key)]
        order = [key for key in said if key in parts.own or key in waiting] or list(parts.own)
        calls = [self._call(key, said.get(key)) for key in order]
        made = [call for call in calls if call is not None]
        if len(made) < len(calls):
            return None
        results = [
            result
            for key, call in zip(order, made, strict=True)
            for result in self._results_of(key, call)
        ]
        places = [self._place(key) for key in order]
        return [self._entry.with_calls(made, places), *results, *self._spoken.others]

    def _place(self, key: str) -> str | None:
        """The id of the agent's call whose place in the entry a call of the model takes.

        None if none of the agent's calls for it is in this entry.
        """
        part = self._parts.own.get(key)
        if part is None:
            return None
        ids_here = {call.call_id for call in self._entry.calls}
        members = [part] if isinstance(part, Member) else part.members.values()
        return next((one.call_id for one in members if one.call_id in ids_here), None)

    def _said(self) -> dict[str, Written]:
        """The model's own calls, if they are remembered, by their ids as `ids.short` gives them."""
        known = self._known
        if known is None:
            return {}
        said = {ids.short(written.call_id): written for written in known.said}
        is_clear = len(said) == len(known.said) and self._parts.own.keys() <= said.keys()
        return said if is_clear else {}

    def _never_came(self, key: str) -> bool:
        """Whether nothing of a call of the model has been handed out in this conversation."""
        known = self._known
        if known is None or not self._spoken.is_same:
            return False
        delivered = known.delivered
        came = (one.call_id in delivered for one in _placed(known, key).values())
        return not any(came)

    def _call(self, key: str, said: Written | None) -> Call | None:
        """One of the model's own calls: unchanged if it is remembered, otherwise rewritten.

        If an item was edited in the history, the edited item counts. Items that are not in the
        history are added only to the conversation that they came from (`is_same`), so that a
        request gets nothing out of the memory that it could not have known.

        Returns:
            None if the call cannot be rebuilt.
        """
        part, spoken = self._parts.own.get(key), self._spoken
        if part is None:
            return said.call if said is not None else None
        if isinstance(part, Member):
            return part.call
        placed = _placed(self._known, key)
        is_unchanged = all(member.is_unchanged for member in part.members.values())
        if part.is_script:
            is_whole = is_unchanged and part.members.keys() >= placed.keys()
            is_known = spoken.is_same or is_whole
            return said.call if said is not None and is_known else _program(part)
        count = self._known.counts.get(key) if self._known is not None else None
        # With all items in the history, the original call holds nothing that they do not show.
        is_whole = part.is_one_piece or len(part.members) == len(placed) == count
        if said is not None and is_unchanged and (spoken.is_same or is_whole):
            return said.call
        waiting = {i: it.call for i, it in placed.items()} if spoken.is_same else {}
        return part.rewritten(said.call_id if said is not None else part.first.origin, waiting)

    def _account(self, key: str) -> str | None:
        """What the model is told of a script; None: it is none, or nobody knows how it ended."""
        script = self._programs.get(key)
        if script is None or self._scripts is None or not self._scripts.has_begun(script):
            return None
        return self._scripts.account(script)

    def _results_of(self, key: str, call: Call) -> Iterator[Entry]:
        """The results of one of the model's own calls."""
        part = self._parts.own.get(key)
        account = self._account(key)
        if account is not None:
            group = part.members.values() if isinstance(part, _Group) else ()
            given = [it for one in group for it in self._results.get(one.call_id, [])]
            yield self._entry.result(call, [[account]], given)
            return
        if isinstance(part, Member):
            yield from self._own_results(key, part)
        elif part is not None and part.is_one_piece:
            given = self._results.get(part.members[0].call_id, [])
            yield self._entry.result(call, [contents(given), *self._added(key)], given)
        else:
            yield self._listed(key, part, call)

    def _listed(self, key: str, group: _Group | None, call: Call) -> Entry:
        """One result with a line and the result of each item, and the reasons for missing ones."""
        known = self._known
        members = group.members if group is not None else {}
        count = max(known.counts.get(key, 0) if known else 0, group.count if group else 0)
        if group is None and (not count or (known and key in known.refused)):
            told = known.refused.get(key, NOT_RUN) if known else NOT_RUN
            return self._entry.result(call, [[told]], [])
        parts: list[Parts] = []
        given: list[Entry] = []
        at = 0
        for index in (*sorted(members), count):
            if at < index:
                for reason, gap in groupby(range(at, index), self._why(key, members)):
                    parts += missing(list(gap), count, reason)
            if index < count:
                results = self._results.get(members[index].call_id, [])
                parts.append(item(index, count, members[index].call, results))
                given += results
            at = index + 1
        if known is None and group is not None and group.is_open:
            parts.append([REST_NOT_SEEN])
        return self._entry.result(call, parts, given)

    def _why(self, key: str, members: Mapping[int, Member]) -> Callable[[int], str]:
        """A function that returns why an item is not in the history.

        "Not run" is said only of an item that is known not to have been handed out. If the turn is
        not remembered, the first item counts: if it is there, the history was not cut off before
        the turn, so the missing items were not run, as far as the conversation shows.
        """
        known = self._known
        if known is None:
            unknown = NOT_SEEN if 0 in members else UNKNOWN
            return lambda _: unknown
        placed, delivered = _placed(known, key), known.delivered
        came = {index for index, it in placed.items() if it.call_id in delivered}
        notes = known.notes.get(key, {})

        def why(index: int) -> str:
            if index in came:
                return CUT_OFF
            return f"{NOT_RUN}: {notes[index]}" if index in notes else NOT_RUN

        return why

    def _own_results(self, key: str, member: Member) -> list[Entry]:
        """The results of a call that went out unchanged, with those of the added reads."""
        given, added = self._results.get(member.call_id, []), self._added(key)
        if not given or not added:
            return given
        return [given[0].with_parts([contents(given), *added], given)]

    def _added(self, key: str) -> list[Parts]:
        """The results of reads that were added to one of the model's calls, if they are shown."""
        read = [
            (one.call, contents(self._results.get(one.call_id, [])))
            for one in self._parts.ahead.get(key, ())
        ]
        kept = self._kept([found for _, found in read])
        return [added(call, found) for (call, found), keep in zip(read, kept, strict=True) if keep]


def _program(group: _Group) -> Call | None:
    """The call of a script that travels with one of those that it made; None where none does."""
    for member in group.members.values():
        script = script_in(member.call, 0)
        if script is not None:
            extras = without_script(member.call).extras
            return Call(script.origin, script.name, script.arguments, extras=extras)
    return None


def _placed(turn: Turn | None, key: str) -> dict[int, Placed]:
    """The calls that were made from one call of the model, by the index of their item.

    Args:
        turn: the turn; None if it is not remembered.
        key: the id of the model's call as `ids.short` gives it.
    """
    found: dict[int, Placed] = {}
    for placed in turn.calls if turn is not None else ():
        call_id = placed.call_id
        derived = ids.decode(call_id)
        if derived is None and ids.short(call_id) == key:
            found[0] = placed
        elif derived is not None and derived.origin == key and derived.kind != AHEAD:
            found[derived.index] = placed
    return found

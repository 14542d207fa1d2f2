"""Fold: single calls that came from one turn of the model become that turn again.

The model sees what it did, and one result for each of its own calls. The waves of a turn,
which the agent knows as turns of their own, become one. A group that cannot be rebuilt
stays as the agent wrote it.
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
    contents,
    item,
    label,
    missing,
)
from batchwrap.core.moves.scripts import TurnScripts, without_script
from batchwrap.core.moves.turn_memory import Placed, Turn
from batchwrap.core.parse import is_json
from batchwrap.core.tools.multi import AHEAD, MIXED, SCRIPT, SINGLE, name_of, render
from batchwrap.core.tools.script_tool import arguments_of

# Tells for the contents of added reads, in order, which of them are shown.
Kept = Callable[[Sequence[Parts]], Sequence[bool]]
# Tells how far the scripts of a turn have come; None where that cannot be known.
ScriptsOf = Callable[[PastTurn], TurnScripts | None]
# A call that went out in one piece, as the model made it.
_UNCHANGED = (SINGLE, SCRIPT.upper())


@dataclass(frozen=True, slots=True, repr=False)
class Segment:
    """Entries of the agent view that belong together, and what they become.

    Attributes:
        taken: how many entries of the agent view it stands for.
        entries: the same in the provider view.
        is_folded: whether they are a turn that was taken apart.
    """

    taken: int
    entries: Sequence[Entry]
    is_folded: bool = False


def no_scripts(spoken: PastTurn) -> None:
    """Nobody can tell."""


def fold(
    start: int, reader: HistoryReader, kept: Kept, scripts: ScriptsOf = no_scripts
) -> list[Segment]:
    """The conversation from a place on, in the provider view.

    Entries that do not take part are the same objects.
    """
    entries = reader.entries
    segments: list[Segment] = []
    place = start
    for spoken in reader.spoken(start):
        turn = _Folding(entries[spoken.start], spoken, kept, scripts(spoken)).entries()
        if turn is not None:
            segments += [Segment(1, [_plain(it)]) for it in entries[place : spoken.start]]
            segments.append(Segment(spoken.end - spoken.start, turn, is_folded=True))
            place = spoken.end
    return [*segments, *(Segment(1, [_plain(entry)]) for entry in entries[place:])]


def _plain(entry: Entry) -> Entry:
    """An entry without the programs that travel with its calls; mostly the same object."""
    if not entry.calls:
        return entry
    calls = [without_script(call) for call in entry.calls]
    same = all(one is other for one, other in zip(calls, entry.calls, strict=True))
    return entry if same else entry.with_calls(calls)


@dataclass(slots=True, repr=False)
class _Group:
    """The calls that came from one call of the model, by their index in it."""

    first: ids.DerivedId
    members: dict[int, Member] = field(default_factory=dict)
    count: int = 0

    def add(self, derived: ids.DerivedId, member: Member) -> bool:
        """Take in one of its calls; False if it has that item already."""
        self.count = max(self.count, derived.count, derived.index + 1)
        return self.members.setdefault(derived.index, member) is member

    @property
    def is_one_piece(self) -> bool:
        """Whether it is a call that went out in one piece."""
        return self.first.kind == SINGLE or self.first.kind.isupper()

    @property
    def is_script(self) -> bool:
        """Whether a script has made them."""
        return self.first.kind == SCRIPT

    @property
    def is_open(self) -> bool:
        """Whether its last item, which tells how many there are, is not among its calls."""
        last = self.members.get(self.count - 1)
        return last is not None and last.derived is not None and not last.derived.count

    def rewritten(self, call_id: str, waiting: dict[int, Call]) -> Call | None:
        """The model's call, written from its items; None for a form that is not known."""
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
    """The agent's calls of one turn, by what they came from.

    Attributes:
        groups: those that came from multi-calls.
        own: a group, or a call that went out as it was, by the model's id, in order.
        ahead: reads that were added, by the id of the model's read.
    """

    groups: dict[tuple[str, str, str], _Group] = field(default_factory=dict)
    own: dict[str, _Group | Member] = field(default_factory=dict)
    ahead: dict[str, list[Member]] = field(default_factory=dict)

    def take(self, member: Member) -> bool:
        """Take in a call; False if the model's id stands for two: nobody could tell which."""
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
    """One turn of the history on its way into the provider view."""

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

        None where it cannot be rebuilt, or nothing of it was answered.
        """
        parts = self._parts
        if not self._results or not all(map(parts.take, self._spoken.members)):
            return None
        if not parts.ahead.keys() <= parts.own.keys():
            return None
        said = self._said()
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
        """The agent's call at whose place one of the model's stands, by id; None: none is here."""
        part = self._parts.own.get(key)
        if part is None:
            return None
        ids_here = {call.call_id for call in self._entry.calls}
        members = [part] if isinstance(part, Member) else part.members.values()
        return next((one.call_id for one in members if one.call_id in ids_here), None)

    def _said(self) -> dict[str, Written]:
        """The model's own calls, if they are known, by what derived ids keep of their ids."""
        known = self._known
        if known is None:
            return {}
        said = {ids.short(written.call_id): written for written in known.said}
        is_clear = len(said) == len(known.said) and self._parts.own.keys() <= said.keys()
        return said if is_clear else {}

    def _never_came(self, key: str) -> bool:
        """Whether a call of the model waits as a whole, in this conversation."""
        known = self._known
        if known is None or not self._spoken.is_same:
            return False
        delivered = known.delivered
        came = (one.call_id in delivered for one in _placed(known, key).values())
        return not any(came)

    def _call(self, key: str, said: Written | None) -> Call | None:
        """One of the model's own calls: to the byte where that is known, else written anew.

        What stands in the history counts, where somebody has edited it. What does not stand
        there is told only to the conversation that it came from.
        """
        part, spoken = self._parts.own.get(key), self._spoken
        if part is None:
            return said.call if said is not None else None
        if isinstance(part, Member):
            return part.call
        if part.is_script:
            return said.call if said is not None else self._program(key)
        placed = _placed(self._known, key)
        is_unchanged = all(member.is_unchanged for member in part.members.values())
        count = self._known.counts.get(key) if self._known is not None else None
        is_whole = part.is_one_piece or len(part.members) == len(placed) == count
        if said is not None and is_unchanged and (spoken.is_same or is_whole):
            return said.call
        waiting = {i: it.call for i, it in placed.items()} if spoken.is_same else {}
        return part.rewritten(said.call_id if said is not None else part.first.origin, waiting)

    def _program(self, key: str) -> Call | None:
        """The call of a script of which only the program is known; None where not even that is."""
        script = self._programs.get(key)
        if script is None or script.code is None:
            return None
        return Call(script.origin, script.name, arguments_of(script.code))

    def _account(self, key: str) -> str | None:
        """What the model is told of a script; None: it is none, or nobody knows how it ended."""
        script = self._programs.get(key)
        if script is None or self._scripts is None or script.place > self._scripts.over:
            return None
        return self._scripts.account(script)

    def _results_of(self, key: str, call: Call) -> Iterator[Entry]:
        """The results of one of the model's own calls."""
        part, call_id = self._parts.own.get(key), call.call_id
        account = self._account(key)
        if account is not None:
            group = part.members.values() if isinstance(part, _Group) else ()
            given = [it for one in group for it in self._results.get(one.call_id, [])]
            yield self._entry.result(call_id, [[account]], given)
            return
        if isinstance(part, Member):
            yield from self._own_results(key, part)
        elif part is not None and part.is_one_piece:
            given = self._results.get(part.members[0].call_id, [])
            yield self._entry.result(call_id, [contents(given), *self._added(key)], given)
        else:
            yield self._listed(key, part, call_id)

    def _listed(self, key: str, group: _Group | None, call_id: str) -> Entry:
        """The results of all items of a multi-call; of one that never came, that it was not run."""
        known = self._known
        members = group.members if group is not None else {}
        count = max(known.counts.get(key, 0) if known else 0, group.count if group else 0)
        if group is None and (not count or (known and key in known.refused)):
            told = known.refused.get(key, NOT_RUN) if known else NOT_RUN
            return self._entry.result(call_id, [[told]], [])
        parts: list[Parts] = []
        given: list[Entry] = []
        at, why = 0, self._why(key, members)
        for index in (*sorted(members), count):
            for reason, gap in groupby(range(at, index), why):
                parts += missing(list(gap), count, reason)
            if index < count:
                results = self._results.get(members[index].call_id, [])
                parts.append(item(index, count, members[index].call, results))
                given += results
            at = index + 1
        if known is None and group is not None and group.is_open:
            parts.append([REST_NOT_SEEN])
        return self._entry.result(call_id, parts, given)

    def _why(self, key: str, members: Mapping[int, Member]) -> Callable[[int], str]:
        """Says of an item that is not in the history why that is so.

        It was not run only if it is known not to have been handed out. Where nobody knows, a
        history that has the first item was not cut off before the turn, so what is missing
        came later, if at all.
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
        """The results of a call that went out as it was, and of the reads that were added."""
        given, added = self._results.get(member.call_id, []), self._added(key)
        if not given or not added:
            return given
        return [given[0].with_parts([contents(given), *added], given)]

    def _added(self, key: str) -> list[Parts]:
        """What was read ahead beside one of the model's own calls, as far as it is shown."""
        read = [
            (one.call, contents(self._results.get(one.call_id, [])))
            for one in self._parts.ahead.get(key, ())
        ]
        kept = self._kept([found for _, found in read])
        return [
            [f"[read ahead] {label(call)}", *found]
            for (call, found), keep in zip(read, kept, strict=True)
            if keep
        ]


def _placed(turn: Turn | None, key: str) -> dict[int, Placed]:
    """The calls that a turn made of one call of the model, by their index in it."""
    found: dict[int, Placed] = {}
    for placed in turn.calls if turn is not None else ():
        call_id = placed.call_id
        derived = ids.decode(call_id)
        if derived is None and ids.short(call_id) == key:
            found[0] = placed
        elif derived is not None and derived.origin == key and derived.kind != AHEAD:
            found[derived.index] = placed
    return found

"""Finds the expanded turns in a history: which entries belong to one turn of the model.

A turn consists of an entry of the model with derived calls, the entries with its later waves, and
the results of all these calls. Results belong to calls by id, up to the next turn of the model.
Other entries may stand between them: a picture, a message that was typed meanwhile, a note of the
agent's own.

A derived id shows by itself what it belongs to. If an agent has shortened the ids, the turn is
looked up in memory by what is left of the nonce, or by the conversation before the turn and its
first call. A remembered turn counts only if one of its calls is in the history as it was handed
out, so that a forged or repeated id cannot open a turn of another conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call, Fragment, Written
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves import ids
from batchwrap.core.moves.scripts import digest_of, script_in, without_script
from batchwrap.core.moves.turn_memory import Placed, Turn, TurnRequest, Turns, WrittenScript
from batchwrap.core.tools.multi import AHEAD, SCRIPT

# The shortest form of an id that agents keep: Mistral accepts nine letters and digits.
_LEFT = 9
_UNSAFE = re.compile(r"[^A-Za-z0-9]")
_NONCE = slice(2, 2 + ids.NONCE_LENGTH)


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """One of the agent's calls in the history.

    Attributes:
        call: the call.
        derived: the parts of its derived id; None if the call went out as the model made it.
        placed: the call as it was handed out; None if the turn is not remembered.
    """

    call: Call
    derived: ids.DerivedId | None
    placed: Placed | None

    @property
    def call_id(self) -> str:
        """Its id in the history."""
        return self.call.call_id

    @property
    def is_unchanged(self) -> bool:
        """Whether the history holds it as it was handed out."""
        return self.placed is not None and self.placed.is_same(self.call)


@dataclass(slots=True, repr=False)
class PastTurn:
    """An expanded turn of the model in the history.

    Attributes:
        start: the index of its first entry.
        end: the index after its last entry.
        members: its calls.
        answers: the results in it.
        others: the other entries in it, apart from those with its waves.
        known: the remembered turn; None if it is not remembered.
        is_same: whether the conversation before it is the one that the remembered turn answered.
    """

    start: int
    end: int
    members: list[Member]
    answers: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    known: Turn | None = None
    is_same: bool = False


class HistoryReader:
    """Reads the expanded turns in the history of one request.

    Args:
        entries: the entries of the request.
        prefixes: the digests of the conversation before each entry.
        turns: the remembered turns.
        now_s: the time.
        model: the model that is asked.

    Attributes:
        entries: as passed in.
        prefixes: as passed in.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        prefixes: Prefixes,
        turns: Turns,
        now_s: float,
        model: object = None,
    ) -> None:
        self.entries = entries
        self.prefixes = prefixes
        self._turns = turns
        self._now_s = now_s
        self._model = model
        self._read: dict[int, list[PastTurn]] = {}

    def spoken(self, start: int) -> list[PastTurn]:
        """The expanded turns from an entry on. They are read once."""
        if start not in self._read:
            self._read[start] = list(self._read_from(start))
        return self._read[start]

    def _read_from(self, start: int) -> Iterator[PastTurn]:
        place = start
        while place < len(self.entries):
            found = self._turn_at(place) if self.entries[place].calls else None
            if found is not None:
                yield found
            place = place + 1 if found is None else found.end

    def _turn_at(self, place: int) -> PastTurn | None:
        """The expanded turn that begins with an entry; None if none begins there."""
        calls = self.entries[place].calls
        handed_out, found = self._known(place, calls)
        if handed_out is None:
            handed_out, found = self._restored(place, calls)
        # The turn's later entries are searched only if something shows that it was expanded.
        if not found and not self._has_derived(place, calls):
            return None
        known = None if handed_out is None else handed_out.turn
        turn = PastTurn(place, place + 1, [], known=known)
        turn.is_same = known is not None and self._is_same(known, place)
        turn.members = _members(calls, found)
        self._read_on(turn, handed_out)
        if known is not None and known.is_restored:
            _take_scripts(known, turn.members)
        is_ours = found or any(member.derived for member in turn.members)
        return turn if is_ours else None

    def _has_derived(self, place: int, calls: Sequence[Call]) -> bool:
        """Whether these calls, or those of the next entry of the model, have derived ids.

        Reads that were added to a call of the model may all be in the next entry, if the agent
        takes one call at a time.
        """
        if any(ids.decode(call.call_id) for call in calls):
            return True
        for after in range(place + 1, len(self.entries)):
            entry = self.entries[after]
            if entry.role == "model" and not entry.says_nothing:
                return any(ids.decode(call.call_id) for call in entry.calls)
        return False

    def _read_on(self, turn: PastTurn, handed_out: _HandedOut | None) -> None:
        """Add the results and later waves of a turn, up to the next turn of the model."""
        mine = _Mine(turn, handed_out)
        others: list[Entry] = []
        for place in range(turn.start + 1, len(self.entries)):
            entry = self.entries[place]
            if entry.call_id in mine.ids:
                turn.answers.append(entry)
            elif entry.role == "model" and not entry.says_nothing:
                wave = mine.wave(entry)
                if wave is None:
                    return
                mine.take(wave)
            else:
                others.append(entry)
                continue
            # Other entries belong to the turn only if a result or a wave follows them.
            turn.others += others
            turn.end = place + 1
            others.clear()

    def _known(self, place: int, calls: Sequence[Call]) -> tuple[_HandedOut | None, list[Placed]]:
        """The remembered turn that the calls of an entry belong to, and the calls it handed out.

        Returns:
            (None, []) if there is none, or if several fit.
        """
        for nonce in dict.fromkeys(filter(None, map(_nonce_of, calls))):
            for turn in self._turns.named(nonce, self._now_s):
                handed_out = _HandedOut(turn)
                found = handed_out.match(calls, is_same=self._is_same(turn, place))
                if found and any(map(_is_unchanged, calls, found)):
                    return handed_out, found
        if not self._turns:
            return None, []
        conversation = self.prefixes.before(place).digest
        matches = [
            (handed_out, found)
            for handed_out in map(_HandedOut, self._turns.at(conversation, calls[0], self._now_s))
            if (found := handed_out.match(calls, is_same=True))
            and all(map(_is_unchanged, calls, found))
        ]
        ids_kept = [match for match in matches if all(map(_has_its_id, calls, match[1]))]
        matches = ids_kept or matches
        # One prompt may have been answered twice, with the same first calls and different later
        # ones. Then it is not known which calls wait, so no turn is used.
        is_clear = len({_said(handed_out.turn) for handed_out, _ in matches}) == 1
        if not is_clear or self._turns.has_plain(conversation, calls, self._now_s):
            return None, []
        return matches[0]

    def _restored(
        self, place: int, calls: Sequence[Call]
    ) -> tuple[_HandedOut | None, list[Placed]]:
        """A turn of scripts whose programs travel with its calls; None where none do.

        It holds no more than stands there: calls that wait behind a script are lost.
        """
        scripts: list[WrittenScript] = []
        said: list[Written] = []
        for call in calls:
            script = script_in(call, len(scripts))
            if script is not None:
                scripts.append(script)
                said.append(_said_by(script, call))
        if not scripts:
            return None, []
        conversation = self.prefixes.before(place).digest
        is_same = all(one.asked == digest_of(conversation, self._model) for one in scripts)
        found = [_as_it_stands(call) for call in calls]
        turn = Turn(
            said=said,
            calls=[*found],
            scripts=scripts,
            nonce=scripts[0].nonce[: ids.NONCE_LENGTH],
            asked=TurnRequest(conversation if is_same else b"", self._model, frozenset(), None),
            head={"model": self._model},
            is_over=True,
            is_restored=True,
        )
        return _HandedOut(turn), found

    def _is_same(self, turn: Turn, place: int) -> bool:
        asked = turn.asked
        return asked is not None and asked.conversation == self.prefixes.before(place).digest


class _Mine:
    """Decides which of the following entries belong to a turn, while its entries are read.

    Attributes:
        ids: the ids of the turn's calls in the history.
    """

    def __init__(self, turn: PastTurn, handed_out: _HandedOut | None) -> None:
        self._turn = turn
        self._handed_out = handed_out
        self.ids: set[str] = set()
        self._nonces: set[str] = set()
        self._taken: set[str] = set()  # ids with which the calls found so far were handed out
        self._own: set[str] = set()  # ids of the model's own calls, as `ids.short` gives them
        self._note(turn.members)

    def wave(self, entry: Entry) -> list[Member] | None:
        """The calls of an entry that holds a later wave of the turn; None if it is another turn."""
        calls, turn = entry.calls, self._turn
        if not calls or entry.has_content:
            return None
        if any(call.call_id in self.ids for call in calls):
            return None
        known = self._handed_out
        found = (
            known.match(calls, is_same=turn.is_same, taken=self._taken)
            if known is not None
            else None
        )
        members = _members(calls, found or [])
        return members if found or all(map(self._has, members)) else None

    def take(self, members: Sequence[Member]) -> None:
        """Add the calls of a wave to the turn."""
        self._turn.members += members
        self._note(members)

    def _has(self, member: Member) -> bool:
        """Whether a call belongs to the turn, judged by its derived id."""
        derived = member.derived
        if derived is None:
            return False
        return derived.turn in self._nonces or (
            derived.kind == AHEAD and derived.origin in self._own
        )

    def _note(self, members: Sequence[Member]) -> None:
        """Record the ids and nonces of calls that belong to the turn."""
        for member in members:
            self.ids.add(member.call_id)
            if member.placed is not None:
                self._taken.add(member.placed.call_id)
            if member.derived is not None:
                self._nonces.add(member.derived.turn)
            else:
                self._own.add(ids.short(member.call_id))


class _HandedOut:
    """Finds calls of a history among those that a remembered turn handed out.

    Args:
        turn: the remembered turn.

    Attributes:
        turn: the same turn.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self._exact = {placed.call_id: placed for placed in turn.calls}
        self._left = {_left(one): it for one, it in self._exact.items() if ids.decode(one)}

    def match(
        self, calls: Sequence[Call], *, is_same: bool, taken: Set[str] = frozenset()
    ) -> list[Placed] | None:
        """The calls of a history entry as the turn handed them out.

        Calls are identified by their ids, complete or shortened. An agent may have replaced some
        ids (one that shortens ids may cut a long id of the provider and not a derived one). Then
        the calls must be equal to all calls of one answer, in the turn's own conversation.

        Args:
            calls: the calls of the history entry.
            is_same: whether the conversation before the turn is the turn's own.
            taken: ids with which calls were handed out that were found in other entries.

        Returns:
            The calls in order; None if they are not all from this turn.
        """
        found = [placed for call in calls if (placed := self._of(call, is_same)) is not None]
        came = {placed.call_id for placed in found}
        if len(found) == len(calls) == len(came):
            return found if taken.isdisjoint(came) else None
        derived = {call.call_id for call in calls if ids.decode(call.call_id)}
        if not derived <= self._exact.keys():
            return None  # derived ids of another turn
        alike = (
            wave
            for wave in (self.turn.deliveries if is_same else ())
            if len(wave) == len(calls)
            and not any(placed.call_id in taken for placed in wave)
            and all(map(_is_unchanged, calls, wave))
        )
        return next(alike, None)

    def _of(self, call: Call, is_same: bool) -> Placed | None:
        """The call with the same id, complete or shortened; None if there is none."""
        call_id = call.call_id
        derived = ids.decode(call_id)
        is_script = derived is not None and derived.kind == SCRIPT
        if derived is not None and is_script and is_same and derived.turn == self.turn.nonce:
            # A fork or another process may have got another call; the script's run is to tell.
            return _as_it_stands(call)
        placed = self._exact.get(call_id)
        if placed is None:
            return self._left.get(_left(call_id))
        # Some providers use the same ids in each turn, so the call must be the same, too.
        return placed if derived or _is_unchanged(call, placed) else None


def _members(calls: Sequence[Call], found: Sequence[Placed]) -> list[Member]:
    """The calls of an entry with their derived ids; `found` are the calls as handed out."""
    if not found:
        return [Member(call, ids.decode(call.call_id), None) for call in calls]
    return [
        Member(call, ids.decode(placed.call_id), placed)
        for call, placed in zip(calls, found, strict=True)
    ]


def _take_scripts(turn: Turn, members: Sequence[Member]) -> None:
    """Take note of scripts that began in a later wave, of a turn that nobody remembers."""
    known = {script.group for script in turn.scripts}
    for member in members:
        script = script_in(member.call, len(turn.scripts))
        if script is not None and script.group not in known:
            turn.scripts.append(script)
            turn.said.append(_said_by(script, member.call))


def _as_it_stands(call: Call) -> Placed:
    """A call of the history as if it had been handed out so."""
    return Placed(Written(Fragment(None, call.call_id, call.name, call.arguments)), 0, "barrier")


def _said_by(script: WrittenScript, call: Call) -> Written:
    """The model's own call of a script, all of which travels with a call that it has made."""
    extras = without_script(call).extras
    return Written(Fragment(None, script.origin, script.name, script.arguments, extras=extras))


def _is_unchanged(call: Call, placed: Placed) -> bool:
    return placed.is_same(call)


def _has_its_id(call: Call, placed: Placed) -> bool:
    return call.call_id == placed.call_id


def _nonce_of(call: Call) -> str | None:
    """The nonce of a derived id, complete or shortened; None for any other id."""
    left = _left(call.call_id)
    return left[_NONCE] if left.startswith("bw") and len(left) == _LEFT else None


@lru_cache(maxsize=65_536)  # each request brings the whole conversation's ids again
def _left(call_id: str) -> str:
    """The shortest form of an id: its first nine letters and digits."""
    return _UNSAFE.sub("", call_id[: 2 * ids.MOST_LENGTH])[:_LEFT]


def _said(turn: Turn) -> bytes:
    """A fingerprint of the model's calls, without their ids."""
    return fingerprint([call.canonical for call in turn.original])


def by_id(entry: Entry) -> dict[str, Call]:
    """The calls of an entry by id. Of two calls with the same id, the first counts."""
    found: dict[str, Call] = {}
    for call in entry.calls:
        found.setdefault(call.call_id, call)
    return found

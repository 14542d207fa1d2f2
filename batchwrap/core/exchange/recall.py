"""What one exchange asks of, and tells, a memory that several processes share.

Everything that an exchange remembers belongs to one place: the end of the conversation that it
answers. So it is kept there, and found again by whoever gets a longer conversation:

    request in process A   user: fix it                         answer: two edits, one waits
                           kept at "user: fix it":              the turn, the choice of its offer
    request in process B   user: fix it · edit · its result     asks at "user: fix it"
                           kept at "user: fix it":              the second edit was handed out

A place is a digest of the conversation in the agent view, so a request finds only what belongs to
its own conversation. A turn is also found by its nonce, for agents whose conversations have been
cut: there, only its place is kept. Nobody changes what another exchange has kept, so processes that
answer at the same time lose nothing of each other.

The driver loads and keeps. Where nothing is shared, there is no `Recall`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batchwrap.core.exchange import records
from batchwrap.core.exchange.memory import Kind, Memory
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves import ids
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.core.parse import parsed_object, rendered

_VERSION = 1
# The most recent turns of a conversation. Those before them are folded from their ids.
_MOST_TURNS = 256
MOST_RECORD_BYTES = 1_000_000  # what is larger is remembered by its own process only
_AT, _TURN = "at:", "turn:"


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """What is to be kept.

    Attributes:
        name: the name under which others look for it.
        part: tells it from other records of that name; the same part replaces it.
        content: the bytes to keep.
    """

    name: str
    part: str
    content: bytes


class Recall:
    """What one exchange asks of, and tells, the memory that processes share.

    Args:
        memory: the memory of this process, for the account.
        form: the format of the request.
        now_s: the time by which this process's memory forgets.
        now_unix_s: returns the time in seconds since 1970, which is the same everywhere.
        exchange: names the exchange, among all of all processes.
        process: names this process.

    Attributes:
        memory: the same memory, for the exchange to use: what it remembers there is recorded here.
    """

    def __init__(
        self,
        memory: Memory,
        form: Format,
        *,
        now_s: float,
        now_unix_s: Callable[[], float],
        exchange: str,
        process: str,
    ) -> None:
        self.memory = memory.noting(self._note)
        self._own = memory
        self._form = form
        self._now_s = now_s
        self._now_unix_s = now_unix_s
        self._exchange = exchange
        self._process = process
        self._place = ""  # where the exchange's own record belongs
        self._asked: set[str] = set()
        self._decisions: dict[tuple[Kind, Any], Any] = {}
        self._turns: dict[str, Turn] = {}  # of the answer, by nonce
        self._progress: dict[str, Turn] = {}  # of the history, by nonce
        self._has_decided = False  # whether there is a decision that was not told yet
        self._is_due = False  # whether there is something that others need now

    # What it asks.

    def names(self, prefixes: Prefixes, entries: Sequence[Entry], start: int) -> list[str]:
        """The names under which something may be kept that the exchange needs.

        Args:
            prefixes: the digests of the conversation.
            entries: of the conversation.
            start: the first entry that is not rewritten yet.
        """
        asked = [at for at in range(start, len(entries)) if entries[at].role == "model"]
        places = [_AT + prefixes.before(at).digest.hex() for at in (*asked, len(entries))]
        self._place = places[-1]
        calls = (call.call_id for at in asked for call in entries[at].calls)
        return self._new([*self._newest(places), *self._newest(_turns_of(calls))])

    def names_of_results(self, entries: Iterable[Entry]) -> list[str]:
        """The same for a request that holds results only, and not the calls before them."""
        return self._new(self._newest(_turns_of(entry.call_id or "" for entry in entries)))

    def take(self, found: Mapping[str, Sequence[bytes]]) -> list[str]:
        """Remember what was kept by others.

        Args:
            found: the contents by the names that were asked for.

        Returns:
            Further names under which something may be kept.
        """
        made = [(name, one) for name, kept in found.items() for one in map(_read, kept) if one]
        # Of two decisions at one place the newer one counts; turns come before their progress.
        for name, one in sorted(made, key=lambda it: ("turn" not in it[1], it[1]["at"])):
            with suppress(ValueError):
                self._take(name, one)
        pointers = (one.get("place") for name, one in made if name.startswith(_TURN))
        return self._new(_AT + place for place in pointers if isinstance(place, str))

    @staticmethod
    def _newest(names: Sequence[str]) -> Iterable[str]:
        return islice(dict.fromkeys(reversed(names)), _MOST_TURNS)

    def _new(self, names: Iterable[str]) -> list[str]:
        """The names that have not been asked for."""
        new = [one for one in dict.fromkeys(names) if one not in self._asked]
        self._asked.update(new)
        return new

    def _take(self, name: str, record: dict[str, Any]) -> None:
        fields, memory = records.RecordFields(record), self._own
        for kind in ("turn", "progress"):
            if kind in record:
                turn = records.read_turn(record[kind])
                # What was moved from one place to another is nothing that belongs there.
                if turn.asked is None or name != _AT + turn.asked.conversation.hex():
                    raise ValueError("a turn of another conversation")
                memory.turns.take_in(turn, self._now_s, is_whole=kind == "turn")
        for kind, key, value in fields.each("kept", _item) if "kept" in record else ():
            self._put(kind, key, value)

    def _put(self, kind: str, key: Sequence[str], value: object) -> None:
        """Remember one thing that another process has remembered."""
        memory, now_s = self._own, self._now_s
        digests = tuple(map(bytes.fromhex, key))
        if kind == "plain":
            memory.turns.take_in_plain(digests, now_s)
        elif len(digests) != 1:
            raise ValueError("not one digest")
        elif kind == "choice":
            memory.choices.put(digests[0], records.read_choice(value))
        elif kind == "facts":
            memory.places.put(digests[0], records.read_facts(value))
        elif kind == "thoughts":
            memory.thoughts.put(digests[0], records.text(value), now_s)
        elif kind == "attempt" and isinstance(value, list):
            memory.attempts.put(digests[0], tuple(self._form.read(value)), now_s)

    # What it tells.

    def _note(self, kind: Kind, key: Any, value: Any) -> None:
        if isinstance(value, Turn):
            self._turns[key] = value
            self._is_due = self._is_due or value.is_over
        else:
            self._decisions[kind, key] = value
            self._has_decided = self._is_due = True

    def progressed(self, turn: Turn) -> None:
        """A turn of the history has come further than others know."""
        if not turn.is_restored and turn.asked is not None:
            self._progress[turn.nonce] = turn
            self._is_due = True

    def news(self, *, is_last: bool = False) -> list[Record]:
        """What others have to know before anything more is handed out; mostly nothing.

        Args:
            is_last: whether the answer is over, or broken off, so that there will be nothing more.
        """
        if not (self._is_due or (is_last and self._turns)) or not self._place:
            return []
        made = [self._decided()] if self._has_decided else []
        self._has_decided = self._is_due = False
        for nonce, turn in [*self._turns.items()]:
            if turn.is_over or is_last:
                made += self._answered(self._turns.pop(nonce))
        while self._progress:
            made.append(self._went_on(self._progress.popitem()[1]))
        return [one for one in made if len(one.content) <= MOST_RECORD_BYTES]

    def _decided(self) -> Record:
        """All decisions of the exchange so far."""
        kept = [
            [kind, *self._written(kind, key, value)]
            for (kind, key), value in self._decisions.items()
        ]
        return self._record(self._place, self._exchange, kept=kept)

    def _written(self, kind: Kind, key: Any, value: Any) -> tuple[list[str], Any]:
        """The key and the value of a decision as they are kept."""
        if kind == "choice":
            value = records.write_choice(value)
        elif kind == "facts":
            value = records.write_facts(value)
        elif kind == "attempt":
            value = self._form.write(value)
        digests = key if isinstance(key, tuple) else (key,)
        return [one.hex() for one in digests], value

    def _answered(self, turn: Turn) -> list[Record]:
        """A turn of the answer, and where it is found by its nonce."""
        part, place = self._exchange + turn.nonce, self._place.removeprefix(_AT)
        return [
            self._record(self._place, part, turn=records.write_turn(turn)),
            self._record(_TURN + turn.nonce, part, place=place),
        ]

    def _went_on(self, turn: Turn) -> Record:
        """How far a turn has come: all that this process knows, in place of what it has kept."""
        assert turn.asked is not None  # `progressed` takes no other
        name, part = _AT + turn.asked.conversation.hex(), self._process + turn.nonce
        return self._record(name, part, progress=records.write_progress(turn))

    def _record(self, name: str, part: str, **content: Any) -> Record:
        whole = {"version": _VERSION, "at": self._now_unix_s(), **content}
        return Record(name, part, rendered(whole))


def _turns_of(call_ids: Iterable[str]) -> list[str]:
    return [_TURN + one.turn for one in map(ids.decode, call_ids) if one is not None]


def _item(value: object) -> tuple[str, list[str], Any]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("not an item")
    fields = records.RecordFields({"kind": value[0], "key": value[1]})
    return fields.of("kind", str), fields.texts("key"), value[2]


def _read(content: bytes) -> dict[str, Any] | None:
    """A record; None for what this version cannot read."""
    record = parsed_object(content)
    if record is None or record.get("version") != _VERSION:
        return None
    return record if isinstance(record.get("at"), int | float) else None

"""How turns, and what else is remembered, are written for a memory that processes share.

A record is read by another process, maybe of another version, so each field is checked. Whatever
does not have the form that is expected raises ValueError, and then the whole record counts as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from batchwrap.core.exchange.offer_choice import OfferChoice
from batchwrap.core.formats.calls import Fragment, Written
from batchwrap.core.moves.turn_memory import Placed, Turn, TurnRequest, WrittenScript
from batchwrap.core.reminders.gates import Facts

T = TypeVar("T")
Json = Mapping[str, Any]
_OFFERS, _MODES = ("alongside", "instead", "never"), (None, "plan", "build")


class RecordFields:
    """The fields of a JSON object, each of which has to be of one type.

    Args:
        value: the object.

    Raises:
        ValueError: it is none; likewise for a field that is missing, or of another type.
    """

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError("not an object")
        self._fields: dict[str, Any] = value

    def of(self, name: str, *kinds: type[T]) -> T:
        """A field of one of these types."""
        value = self._fields.get(name)
        # A flag is no number, though Python counts it as one.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name}: not of the type that it has to be")
        return value

    def any(self, name: str) -> Any:
        """A field of any type; None if it is missing."""
        return self._fields.get(name)

    def maybe(self, name: str, kind: type[T]) -> T | None:
        """A field that may be missing or null."""
        return None if self._fields.get(name) is None else self.of(name, kind)

    def each(self, name: str, read: Callable[[Any], T]) -> list[T]:
        """A list, each item of it read."""
        return [read(one) for one in self.of(name, list)]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return self.each(name, text)

    def digest(self, name: str) -> bytes:
        """A digest, which is written as hexadecimal digits."""
        return bytes.fromhex(self.of(name, str))

    def by_name(self, name: str, key: Callable[[str], Any], read: Callable[[Any], T]) -> Any:
        """An object whose names and values are read."""
        return {key(one): read(value) for one, value in self.of(name, dict).items()}


def text(value: object) -> str:
    """The value, which has to be a text."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not a whole number")
    return value


def write_turn(turn: Turn) -> Json:
    """All of a turn that other processes need.

    The tool that runs its scripts is left out: it follows from the tools of the next request.
    """
    return {
        **write_progress(turn),
        "said": [_write_call(one) for one in turn.said],
        "calls": [_write_placed(one) for one in turn.calls],
        "scripts": [_write_script(one) for one in turn.scripts],
        "counts": turn.counts,
        "notes": {
            call: {str(item): note for item, note in notes.items()}
            for call, notes in turn.notes.items()
        },
        "refused": turn.refused,
        "head": turn.head,
        "usage": turn.usage,
        "room": turn.room,
        "is_over": turn.is_over,
    }


def write_progress(turn: Turn) -> Json:
    """How far a turn has come since its answer."""
    asked = turn.asked
    assert asked is not None  # nothing else is remembered by its conversation
    made = [one for script in turn.scripts for one in _made_by(script, turn.calls)]
    return {
        "nonce": turn.nonce,
        "asked": {
            "conversation": asked.conversation.hex(),
            "model": asked.model,
            "tools": sorted(asked.tools),
            "choice": asked.choice,
        },
        "calls": [_write_placed(one) for one in made],
        "later": turn.later,
        "told": {
            calls.hex(): {run.hex(): account for run, account in accounts.items()}
            for calls, accounts in turn.told.items()
        },
    }


def _made_by(script: WrittenScript, calls: Iterable[Placed]) -> list[Placed]:
    return [one for one in calls if one.wave in script.waves]


def read_turn(value: object) -> Turn:
    """The turn, or how far it has come."""
    fields = RecordFields(value)
    asked = RecordFields(fields.any("asked"))
    turn = Turn(
        nonce=fields.of("nonce", str),
        asked=TurnRequest(
            asked.digest("conversation"),
            asked.any("model"),
            frozenset(asked.texts("tools")),
            asked.any("choice"),
        ),
        calls=fields.each("calls", _read_placed),
        later=fields.each("later", _wave),
        told=fields.by_name("told", bytes.fromhex, _accounts),
    )
    if fields.any("said") is None:
        return turn
    turn.said = fields.each("said", _read_call)
    turn.scripts = fields.each("scripts", _read_script)
    turn.counts = fields.by_name("counts", str, _whole)
    turn.notes = fields.by_name("notes", str, _notes)
    turn.refused = fields.by_name("refused", str, text)
    turn.head, turn.usage = fields.of("head", dict), fields.maybe("usage", dict)
    turn.room, turn.is_over = fields.maybe("room", int), fields.of("is_over", bool)
    return turn


def _wave(value: object) -> tuple[str, ...]:
    return tuple(RecordFields({"wave": value}).texts("wave"))


def _accounts(value: object) -> Any:
    return RecordFields({"told": value}).by_name("told", bytes.fromhex, text)


def _notes(value: object) -> Any:
    return RecordFields({"notes": value}).by_name("notes", int, text)


def _write_call(written: Written) -> Json:
    part = written.handed_out(None)
    return {
        "id": part.call_id,
        "name": part.name,
        "text": part.text,
        "form": part.form,
        "extras": part.extras,
        "inner": part.inner,
        "is_typed": part.is_typed,
    }


def _read_call(value: object) -> Written:
    fields = RecordFields(value)
    return Written(
        Fragment(
            None,
            fields.of("id", str),
            fields.maybe("name", str),
            fields.maybe("text", str),
            fields.of("form", str),
            fields.of("extras", dict),
            fields.of("inner", dict),
            fields.of("is_typed", bool),
        )
    )


def _write_placed(placed: Placed) -> Json:
    return {
        "call": _write_call(placed.written),
        "wave": placed.wave,
        "kind": placed.kind,
        "defaults": placed.defaults,
    }


def _read_placed(value: object) -> Placed:
    fields = RecordFields(value)
    return Placed(
        _read_call(fields.any("call")),
        fields.of("wave", int),
        fields.of("kind", str),
        fields.of("defaults", dict),
    )


def _write_script(script: WrittenScript) -> Json:
    names = ("origin", "nonce", "place", "name", "arguments", "code", "asked")
    return {name: getattr(script, name) for name in names}


def _read_script(value: object) -> WrittenScript:
    fields = RecordFields(value)
    return WrittenScript(
        fields.of("origin", str),
        fields.of("nonce", str),
        fields.of("place", int),
        fields.of("name", str),
        fields.of("arguments", str),
        fields.maybe("code", str),
        fields.of("asked", str),
    )


def write_choice(choice: OfferChoice) -> Json:
    """What a conversation is offered."""
    return {"offer": choice.offer, "most": choice.most, "ignored": sorted(choice.ignored)}


def read_choice(value: object) -> OfferChoice:
    """What a conversation is offered."""
    fields = RecordFields(value)
    offer = _one_of(_OFFERS, fields.any("offer"))
    return OfferChoice(offer, fields.of("most", int), frozenset(fields.texts("ignored")))


def write_facts(facts: Facts) -> Json:
    """What decided about the reminder at one place."""
    return {"mode": facts.mode, "thinks": facts.thinks, "slow": facts.slow}


def read_facts(value: object) -> Facts:
    """What decided about the reminder at one place."""
    fields = RecordFields(value)
    mode = _one_of(_MODES, fields.any("mode"))
    return Facts(mode, fields.of("thinks", bool), fields.of("slow", bool))


def _one_of(known: Sequence[T], value: object) -> Any:
    if value not in known:
        raise ValueError("unknown value")
    return value

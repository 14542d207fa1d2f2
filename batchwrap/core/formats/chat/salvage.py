"""The rest of a stream whose translation was broken off: what the agent has not got yet.

Text that was held back is handed out. A call of the model of which the agent has got nothing is
handed out whole, as the model wrote it; one that the agent got as it was goes on; one that went
out in part, as calls of its items, ends with the items that are there, and folding tells the model
that the others were not run. Nothing is handed out behind a choice's finish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import OriginOf

_TEXTS = ("content", "reasoning_content", "reasoning")


class _Owed:
    """Text that came from the provider and did not go out to the agent yet."""

    __slots__ = ("_at", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._at = 0  # how much of the first part went out: what waited goes out piece by piece

    def came(self, text: object) -> None:
        """The provider has sent a text."""
        if isinstance(text, str) and text:
            self._parts.append(text)

    def gave(self, text: object) -> None:
        """The agent has got a text. Whatever stood before it was dropped on purpose."""
        if not self._parts or not isinstance(text, str) or not text:
            return
        if len(self._parts) > 1:
            self._parts, self._at = [self.take()], 0
        found = self._parts[0].find(text, self._at)
        self._at = found + len(text)
        if found < 0 or self._at == len(self._parts[0]):
            self._parts, self._at = [], 0

    def take(self) -> str:
        """What is owed; from now on it is not any more."""
        text = "".join(self._parts)[self._at :]
        self._parts, self._at = [], 0
        return text


@dataclass(slots=True, repr=False)
class _Call:
    """A call of the model.

    Attributes:
        head: its first fragment.
        owed: the part of its arguments that the agent has not got.
        place: its index in the agent's view; None: the agent has not got it as it is.
        is_apart: whether it was taken apart, and calls of its items went out.
    """

    head: chat.ToolCall
    owed: _Owed = field(default_factory=_Owed)
    place: int | None = None
    is_apart: bool = False


@dataclass(slots=True, repr=False)
class _Choice:
    """One choice of the stream."""

    origin_of: OriginOf
    text: _Owed = field(default_factory=_Owed)
    calls: dict[object, _Call] = field(default_factory=dict)  # in the order in which they came
    by_id: dict[str, _Call] = field(
        default_factory=dict
    )  # by what derived ids keep of the model's own
    placed: dict[int, _Call] = field(default_factory=dict)  # by the index in the agent's view
    next_place: int = 0
    is_finished: bool = False

    def came(self, delta: chat.Message) -> None:
        """The provider has sent a delta."""
        for name in _TEXTS:
            self.text.came(delta.get(name))
        for fragment in chat.tool_calls(delta):
            call = self._call_of(fragment)
            if not call.is_apart:
                call.owed.came(chat.function_of(fragment).get("arguments"))

    def _key_of(self, fragment: chat.ToolCall) -> object:
        """What tells the provider's calls apart: the index, else the id, else their order."""
        index, own = chat.index_of(fragment), fragment.get("id")
        if index is not None:
            return index
        return str(own) if own else next(reversed(self.calls), None)

    def _origin(self, fragment: chat.ToolCall) -> tuple[str, bool]:
        """What derived ids keep of the id of a call; empty where it has none."""
        call_id = fragment.get("id")
        return self.origin_of(call_id) if isinstance(call_id, str) else ("", False)

    def _call_of(self, fragment: chat.ToolCall) -> _Call:
        key = self._key_of(fragment)
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = _Call(fragment)
            if own := self._origin(fragment)[0]:
                self.by_id.setdefault(own, call)
        return call

    def gave(self, delta: chat.Message) -> None:
        """The agent has got a delta."""
        for name in _TEXTS:
            self.text.gave(delta.get(name))
        for fragment in chat.tool_calls(delta):
            self._gave_call(fragment)

    def _gave_call(self, fragment: chat.ToolCall) -> None:
        place = chat.index_of(fragment)
        place = self.next_place if place is None else place
        self.next_place = max(self.next_place, place + 1)
        call = self._known(fragment, place)
        if call is not None:
            call.place = place
            self.placed.setdefault(place, call)
            call.owed.gave(chat.function_of(fragment).get("arguments"))

    def _known(self, fragment: chat.ToolCall, place: int) -> _Call | None:
        """The model's call that goes out in a fragment; None where it is one made of it."""
        origin, is_derived = self._origin(fragment)
        if not origin:
            return self.placed.get(place)
        call = self.by_id.get(origin) or self._nameless(origin)
        if not is_derived or call is None:
            return call
        call.is_apart = True
        call.owed.take()
        return None

    def _nameless(self, origin: str) -> _Call | None:
        """The call without an id that was given this one: the first that nothing is known of."""
        new = (
            call
            for call in self.calls.values()
            if call.place is None and not call.is_apart and not self._origin(call.head)[0]
        )
        call = next(new, None)
        if call is not None:
            self.by_id[origin] = call
        return call

    def rest(self) -> list[chat.Message]:
        """What is owed, as deltas of at most one call each."""
        if self.is_finished:
            return []
        text = self.text.take()
        deltas: list[chat.Message] = [{"content": text}] if text else []
        for call in self.calls.values():
            fragment = None if call.is_apart else self._rest_of(call)
            deltas += [] if fragment is None else [{"tool_calls": [fragment]}]
        return deltas

    def _rest_of(self, call: _Call) -> chat.ToolCall | None:
        owed = call.owed.take()
        if call.place is not None:
            return {"index": call.place, "function": {"arguments": owed}} if owed else None
        call.place, self.next_place = self.next_place, self.next_place + 1
        function = {**chat.function_of(call.head), "arguments": owed}
        return {**call.head, "index": call.place, "function": function}

    def plain(self, delta: chat.Message) -> chat.Message:
        """A delta of the provider's as the agent can take it; the same object if it is right."""
        given = chat.tool_calls(delta)
        if self.is_finished or not given:
            return delta
        seen = [self._plain_call(fragment) for fragment in given]
        if all(new is old for new, old in zip(seen, given, strict=True)):
            return delta
        left = [fragment for fragment in seen if fragment is not None]
        rest = {name: value for name, value in delta.items() if name != "tool_calls"}
        return {**rest, "tool_calls": left} if left else rest

    def _plain_call(self, fragment: chat.ToolCall) -> chat.ToolCall | None:
        call = self._call_of(fragment)
        if call.is_apart:
            return None
        if call.place is None:
            call.place, self.next_place = self.next_place, self.next_place + 1
        is_right = call.place == chat.index_of(fragment)
        return fragment if is_right else {**fragment, "index": call.place}


class ChatSalvage:
    """Keeps account of one stream: what came, and what of it the agent has got.

    Args:
        origin_of: tells what derived ids keep of an id.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._choices: dict[Any, _Choice] = {}
        self._like: chat.Body = {"object": "chat.completion.chunk"}

    def see(self, came: chat.Body, made: list[chat.Body] | None) -> None:
        """A chunk came, and these went out for it; None: the chunk itself."""
        if made is None:
            if _has_only_text(came):  # as almost every chunk
                return
            made = [came]
        self._like = came
        for index, choice in chat.choices(came):
            self._choice(index).came(chat.part_of(choice))
        for chunk in made:
            for index, choice in chat.choices(chunk):
                account = self._choice(index)
                account.gave(chat.part_of(choice))
                account.is_finished |= bool(choice.get("finish_reason"))

    def held(self, piece: chat.Piece) -> bool:
        """A piece of a call's arguments came, and nothing went out; False: no such call came."""
        index, place, text = piece
        choice = self._choices.get(index)
        call = None if choice is None else choice.calls.get(place)
        if call is None:
            return False
        if not call.is_apart:
            call.owed.came(text)
        return True

    def _choice(self, index: Any) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self._origin_of)
        return choice

    def chunk(self, chunk: chat.Body) -> list[chat.Body] | None:
        """The chunks for one that is not translated, behind what is owed; None: as it came."""
        owed = self._owed([index for index, _ in chat.choices(chunk)])
        listed = chunk.get("choices")
        new, changed = [], False
        for index, choice in chat.choices(chunk):
            part = chat.part_of(choice)
            plain = self._choice(index).plain(part)
            if plain is not part:
                choice, changed = {**choice, "delta": plain}, True
            self._choice(index).is_finished |= bool(choice.get("finish_reason"))
            new.append(choice)
        if not owed and not changed:
            return None
        return [*owed, {**chunk, "choices": new} if changed and listed else chunk]

    def end(self) -> list[chat.Body]:
        """What is owed at the end of the stream."""
        return self._owed(list(self._choices))

    def _owed(self, indexes: list[Any]) -> list[chat.Body]:
        head = {name: self._like[name] for name in self._like if name not in ("choices", "usage")}
        return [
            {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
            for index in indexes
            for delta in self._choice(index).rest()
        ]


def _has_only_text(chunk: chat.Body) -> bool:
    return not any(
        choice.get("finish_reason") or chat.part_of(choice).get("tool_calls")
        for _, choice in chat.choices(chunk)
    )

"""Completes a stream after an error in its translation: hands out what the agent has not received.

    the provider has sent                 the agent has received        what it receives then
    text "Let me look."                   "Let me"                      " look."
    multi_read of a, b and c, in part     read a                        nothing more of it
    edit of d, of which nothing went out  –                             the whole call

- Text that was held back goes out.
- A call that the agent received as the model wrote it continues.
- A call of which nothing went out is handed out as the model wrote it.
- A multi-call of which some items went out ends with these items. Folding reports the others to the
  model as not run.

Nothing goes out after a choice's finish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import OriginOf


class _Owed:
    """Text that the provider has sent and the agent has not received."""

    __slots__ = ("_at", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        # How much of the first part went out: text that was held back goes out piece by piece.
        self._at = 0

    def came(self, text: object) -> None:
        """Record a text that the provider has sent."""
        if isinstance(text, str) and text:
            self._parts.append(text)

    def gave(self, text: object) -> None:
        """Record a text that the agent has received. Missing text before it was dropped on purpose.

        The repair drops text, such as the markup of a leaked call.
        """
        if not self._parts or not isinstance(text, str) or not text:
            return
        if len(self._parts) > 1:
            self._parts, self._at = [self.take()], 0
        # Text may go out in other pieces than it came. If it is not found, the repair has replaced
        # what came, so nothing of that is missing.
        found = self._parts[0].find(text, self._at)
        self._at = found + len(text)
        if found < 0 or self._at == len(self._parts[0]):
            self._parts, self._at = [], 0

    def take(self) -> str:
        """The missing text, which counts as sent from now on."""
        text = "".join(self._parts)[self._at :]
        self._parts, self._at = [], 0
        return text


@dataclass(slots=True, repr=False)
class _Call:
    """A call of the model.

    Attributes:
        head: its first fragment.
        owed: the part of its arguments that the agent has not received.
        place: its index in the agent view; None if the agent has not received the call itself.
        is_apart: whether it was expanded: calls of its items went out in its place.
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
    calls: dict[object, _Call] = field(default_factory=dict)  # in order of arrival
    # By the part of the provider's id that derived ids hold.
    by_id: dict[str, _Call] = field(default_factory=dict)
    placed: dict[int, _Call] = field(default_factory=dict)  # by the index in the agent view
    next_place: int = 0
    is_finished: bool = False

    def came(self, delta: chat.Message) -> None:
        """Record a delta that the provider has sent."""
        for name in chat.TEXTS:
            self.text.came(delta.get(name))
        for fragment in chat.tool_calls(delta):
            call = self._call_of(fragment)
            if not call.is_apart:
                call.owed.came(chat.function_of(fragment).get("arguments"))

    def _key_of(self, fragment: chat.ToolCall) -> object:
        """What identifies a call of the provider's: its index, else its id, else the order."""
        index, own = chat.index_of(fragment), fragment.get("id")
        if index is not None:
            return index
        return str(own) if own else next(reversed(self.calls), None)

    def _origin(self, fragment: chat.ToolCall) -> tuple[str, bool]:
        """What `origin_of` returns for a call's id; an empty text if it has no id."""
        call_id = fragment.get("id")
        return self.origin_of(call_id) if isinstance(call_id, str) else ("", False)

    def _call_of(self, fragment: chat.ToolCall) -> _Call:
        """The call that a fragment of the provider's belongs to; a new one if it is the first."""
        key = self._key_of(fragment)
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = _Call(fragment)
            if own := self._origin(fragment)[0]:
                self.by_id.setdefault(own, call)
        return call

    def gave(self, delta: chat.Message) -> None:
        """Record a delta that the agent has received."""
        for name in chat.TEXTS:
            self.text.gave(delta.get(name))
        for fragment in chat.tool_calls(delta):
            self._gave_call(fragment)

    def _gave_call(self, fragment: chat.ToolCall) -> None:
        """Record a fragment of a call that the agent has received."""
        place = chat.index_of(fragment)
        place = self.next_place if place is None else place
        self.next_place = max(self.next_place, place + 1)
        call = self._known(fragment, place)
        if call is not None:
            call.place = place
            self.placed.setdefault(place, call)
            call.owed.gave(chat.function_of(fragment).get("arguments"))

    def _known(self, fragment: chat.ToolCall, place: int) -> _Call | None:
        """The model's call that a fragment belongs to; None if it belongs to a call of an item."""
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
        """The call that got this id from batchwrap: the first without an id that was not sent."""
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
        """What is missing, as deltas with at most one call each."""
        if self.is_finished:
            return []
        text = self.text.take()
        deltas: list[chat.Message] = [{"content": text}] if text else []
        for call in self.calls.values():
            fragment = None if call.is_apart else self._rest_of(call)
            deltas += [] if fragment is None else [{"tool_calls": [fragment]}]
        return deltas

    def _rest_of(self, call: _Call) -> chat.ToolCall | None:
        """What is missing of a call: the rest of its arguments, or all of it; None if nothing."""
        owed = call.owed.take()
        if call.place is not None:
            return {"index": call.place, "function": {"arguments": owed}} if owed else None
        call.place, self.next_place = self.next_place, self.next_place + 1
        function = {**chat.function_of(call.head), "arguments": owed}
        return {**call.head, "index": call.place, "function": function}

    def plain(self, delta: chat.Message) -> chat.Message:
        """A delta of the provider's with the indices of the agent view, without expanded calls.

        Returns:
            The same object if nothing changes.
        """
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
        """A provider's fragment with its index in the agent view; None if its call was expanded."""
        call = self._call_of(fragment)
        if call.is_apart:
            return None
        if call.place is None:
            call.place, self.next_place = self.next_place, self.next_place + 1
        is_right = call.place == chat.index_of(fragment)
        return fragment if is_right else {**fragment, "index": call.place}


class ChatSalvage:
    """Records one stream: what the provider has sent, and what the agent has received.

    Args:
        origin_of: returns the part of a provider's id that derived ids hold.
    """

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._choices: dict[Any, _Choice] = {}
        self._like: chat.Body = {"object": "chat.completion.chunk"}

    def see(self, came: chat.Body, made: list[chat.Body] | None) -> None:
        """Record a chunk and the chunks that went out for it; None for the chunk itself."""
        if made is None:
            if _has_only_text(came):  # nearly every chunk
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
        """Record a piece of arguments for which nothing went out; False if its call is unknown."""
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
        """What is missing, and then this untranslated chunk; None if it goes out unchanged."""
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
        """The chunks that are missing at the end of the stream."""
        return self._owed(list(self._choices))

    def _owed(self, indexes: list[Any]) -> list[chat.Body]:
        head = {name: self._like[name] for name in self._like if name not in ("choices", "usage")}
        return [
            {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
            for index in indexes
            for delta in self._choice(index).rest()
        ]


def _has_only_text(chunk: chat.Body) -> bool:
    """Whether a chunk holds neither calls nor a finish: text that goes out is not missing."""
    return not any(
        choice.get("finish_reason") or chat.part_of(choice).get("tool_calls")
        for _, choice in chat.choices(chunk)
    )

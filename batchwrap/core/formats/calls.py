"""Tool calls, whatever the API: whole ones, their streamed parts, and what the parts make.

A call is more than id, name and arguments. Providers add fields of their own (Gemini's
`extra_content` with a signature), and a custom call has a raw input in place of arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.growing import Growing
from batchwrap.core.json_scanner import JsonScanner

FUNCTION = "function"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Call:
    """One tool call.

    Attributes:
        call_id: its id; empty where it has none.
        name: what it calls; empty where it names nothing.
        arguments: JSON text; the raw input of a call that is no function's.
        form: ``"function"``, or what else it is.
        extras: its fields beside those that every call has.
        inner: the same of the object that holds its name and arguments.
        is_whole: whether it names what it calls, and has arguments.
        source: the same in the form of the API, as it came; None: it was made here.
    """

    call_id: str
    name: str
    arguments: str
    form: str = FUNCTION
    extras: Mapping[str, Any] = field(default_factory=dict)
    inner: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = True
    source: Any = None

    @property
    def function(self) -> str:
        """The function that it calls; empty where it calls something else."""
        return self.name if self.form == FUNCTION else ""

    @property
    def canonical(self) -> list[str]:
        """Name and arguments, written in one way; of what is no function's, the raw input."""
        if self.form == FUNCTION:
            return [self.name, canonical_json(self.arguments)]
        return [self.form, self.name, self.arguments]

    def is_same(self, other: Call) -> bool:
        """Whether the other one asks for the same, whatever their ids are."""
        if self.form == other.form and self.name == other.name:
            return self.arguments == other.arguments or self.canonical == other.canonical
        return False


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Fragment:
    """A part of a call, as one event of a stream brings it. A whole call is a single one.

    Attributes:
        index: which call of its message it belongs to; None: it does not say so.
        call_id: the call's id; empty where this part does not tell it.
        name: what it calls; None where this part does not tell it.
        text: a piece of the arguments, or of the raw input; None: there is none.
        form: as in `Call`; empty where this part does not tell it.
        extras: fields beside those that every call has.
        inner: the same of the object that holds its name and arguments.
        is_typed: whether it says in a field of its own what form it has.
        source: the same in the form of the API, as it came; None: it was made here.
        origin: the id of the model's call that it was made of; empty where that is not told.
    """

    index: int | None
    call_id: str = ""
    name: str | None = None
    text: str | None = None
    form: str = FUNCTION
    extras: Mapping[str, Any] = field(default_factory=dict)
    inner: Mapping[str, Any] = field(default_factory=dict)
    is_typed: bool = True
    source: Any = None
    origin: str = ""

    @property
    def function(self) -> str | None:
        """The function that it names; None where it names none."""
        return self.name if self.form == FUNCTION else None


class Written:
    """A call while the model writes it: puts its fragments together.

    Args:
        first: its first fragment, which has the id and the name.
    """

    __slots__ = (
        "_call",
        "_extras",
        "_form",
        "_has_text",
        "_inner",
        "_is_typed",
        "_json",
        "_name",
        "_text",
        "call_id",
    )

    def __init__(self, first: Fragment) -> None:
        self.call_id = first.call_id
        self._form = first.form or FUNCTION
        self._name = first.name
        self._has_text = first.text is not None
        self._text = Growing(first.text or "")
        self._extras = dict(first.extras)
        self._inner = dict(first.inner)
        self._is_typed = first.is_typed
        self._json: JsonScanner | None = None
        self._call: Call | None = None

    def take(self, part: Fragment) -> str:
        """Take in one more fragment; returns the text that it adds."""
        self._call = None
        self._extras.update(part.extras)
        self.call_id = self.call_id or part.call_id
        if part.form not in ("", self._form):
            return ""
        self._name = self._name or part.name
        self._inner.update(part.inner)
        if not part.text:
            return ""
        self.add(part.text)
        return part.text

    def add(self, text: str) -> None:
        """Add a piece of its arguments, or of its raw input."""
        self._call = None
        self._has_text = True
        self._text.add(text)
        if self._json is not None:
            self._json.feed(text)

    def add_extras(self, extras: Mapping[str, Any]) -> None:
        """Add fields that it has beside those that every call has."""
        self._call = None
        self._extras.update(extras)

    @property
    def call(self) -> Call:
        """The call as far as it is written."""
        if self._call is None:
            is_whole = isinstance(self._name, str) and self._has_text
            self._call = Call(
                self.call_id,
                self._name or "",
                self.text,
                self._form,
                dict(self._extras),
                dict(self._inner),
                is_whole,
            )
        return self._call

    def handed_out(self, index: int | None, extras: Mapping[str, Any] | None = None) -> Fragment:
        """The call as the agent gets it, whole, under an index."""
        return Fragment(
            index,
            self.call_id,
            self._name,
            self.text if self._has_text else None,
            self._form,
            {**self._extras, **(extras or {})},
            dict(self._inner),
            self._is_typed,
        )

    @property
    def is_call(self) -> bool:
        """Whether it names what it calls."""
        return isinstance(self._name, str)

    def name(self, call_id: str) -> None:
        """Give it an id, if it has none that another message could refer to."""
        self._call = None
        self.call_id = self.call_id or call_id

    @property
    def text(self) -> str:
        """Its arguments, or its raw input, as far as they are written."""
        return self._text.text

    def correct(self, text: str) -> None:
        """Replace its arguments, where what came of them is no JSON."""
        if self._has_text and text != self.text:
            self._call = None
            self._text = Growing(text)

    @property
    def is_complete(self) -> bool:
        """Whether its arguments are a complete JSON value, so that another call may follow.

        Nobody can tell that of a raw input. Once asked, it is followed piece by piece: nothing
        is looked at twice.
        """
        if self._json is None:
            self._json = JsonScanner()
            self._json.feed(self.text)
        return self._form == FUNCTION and self._json.is_closed

    @property
    def extras(self) -> Mapping[str, Any]:
        """Its fields beside those that every call has."""
        return self._extras


def in_places(
    listed: list[Any], own: Sequence[tuple[Any, object]], made: Sequence[tuple[Any, str]]
) -> list[Any]:
    """A content with other calls, each where the one stood that it came from.

    What does not tell its origin stands behind what comes before it.

    Args:
        listed: the content.
        own: the calls in it, each with its id.
        made: what stands there instead, each with the id of the call that it was made of, or
            an empty text; a call that stays is the same object.

    Returns:
        The content itself where all of them stay.
    """
    if len(own) == len(made) and all(a[0] is b[0] for a, b in zip(own, made, strict=True)):
        return listed
    known, waiting, new = {id(call): one for call, one in own}, deque(made), list[Any]()
    for part in listed:
        if id(part) not in known:
            new.append(part)
            continue
        while waiting and (
            waiting[0][0] is part
            or (id(waiting[0][0]) not in known and waiting[0][1] in ("", known[id(part)]))
        ):
            new.append(waiting.popleft()[0])
    return [*new, *(call for call, _ in waiting)]


def canonical_json(text: str) -> str:
    """JSON with its keys in order and without spaces; what is no JSON stays as it is."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):  # no JSON, or too deep to be written
        return text

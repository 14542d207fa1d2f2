"""Tool calls in a form that is the same for all APIs: complete, as stream fragments, in progress.

A call has more than an id, a name and arguments. Providers add fields of their own (Gemini's
`extra_content` holds a signature), and a custom call has a raw input in place of JSON arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.growing import Growing
from batchwrap.core.json_scanner import JsonScanner

FUNCTION = "function"
CUSTOM = "custom"  # has a raw input; every other form has arguments
# A call that a program of the model's makes, where the provider runs it: its result goes back to
# the program, which expects what the tool gives, and nothing else.
PROGRAM = "program"


def is_of_program(fields: Mapping[str, Any]) -> bool:
    """Whether the `caller` of a call, or of a result, is a program; else it is the model."""
    caller = fields.get("caller")
    return isinstance(caller, dict) and caller.get("type") not in (None, "direct")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Call:
    """One complete tool call.

    Attributes:
        call_id: its id; empty if it has none.
        name: the name of the tool; empty if it has none.
        arguments: JSON text; the raw input of a custom call.
        form: ``"function"``, ``"custom"``, or the API's word for another type of call.
        extras: the fields of the call that `Call` has no attribute for.
        inner: the same for the object inside the call that holds its name and arguments.
        is_whole: whether both a name and arguments are present.
        source: the call as the API sent it; None if batchwrap made it.
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
        """The name of the function; empty if it is not a function call."""
        return self.name if self.form == FUNCTION else ""

    @property
    def canonical(self) -> list[str]:
        """Name and arguments in canonical form, in which equal calls are equal.

        A raw input is not JSON, so it is compared as text.
        """
        if self.form == CUSTOM:
            return [self.form, self.name, self.arguments]
        of = [] if self.form == FUNCTION else [self.form]
        return [*of, self.name, canonical_json(self.arguments)]

    def is_same(self, other: Call) -> bool:
        """Whether another call has the same tool and arguments; ids are not compared."""
        if self.form == other.form and self.name == other.name:
            return self.arguments == other.arguments or self.canonical == other.canonical
        return False


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Fragment:
    """The part of a call that one event of a stream holds. A complete call is a single fragment.

    Attributes:
        index: which call of its message it belongs to; None if it does not say.
        call_id: the call's id; empty if this fragment does not hold it.
        name: the name of the tool; None if this fragment does not hold it.
        text: a piece of the arguments or of the raw input; None if there is none.
        form: as in `Call`; empty if this fragment does not show it.
        extras: as in `Call`.
        inner: as in `Call`.
        is_typed: whether the fragment has a field that names its form.
        source: the fragment as the API sent it; None if batchwrap made it.
        origin: the id of the model's call that it was made from; empty if that is unknown.
        is_plain: whether nothing is lost without its fields beside those that every call has.
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
    is_plain: bool = False

    @property
    def function(self) -> str | None:
        """The name of the function; None if this fragment names none."""
        return self.name if self.form == FUNCTION else None


class Written:
    """A call that the model is writing: joins the fragments of one call.

    Args:
        first: its first fragment, which holds the id and the name.
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
        """Add a fragment; returns the text that it adds to the arguments."""
        self._call = None
        self._extras.update(part.extras)
        self.call_id = self.call_id or part.call_id
        if part.form not in ("", self._form):  # it cannot continue arguments of another type
            return ""
        self._name = self._name or part.name
        self._inner.update(part.inner)
        if not part.text:
            return ""
        self.add(part.text)
        return part.text

    def add(self, text: str) -> None:
        """Add a piece of the arguments or of the raw input."""
        self._call = None
        self._has_text = True
        self._text.add(text)
        if self._json is not None:
            self._json.feed(text)

    def add_extras(self, extras: Mapping[str, Any]) -> None:
        """Add fields to `extras`."""
        self._call = None
        self._extras.update(extras)

    @property
    def call(self) -> Call:
        """The call as received so far."""
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
        """The complete call as one fragment for the agent.

        Args:
            index: its index in the agent's view.
            extras: further fields for it.
        """
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
        """Whether its name has been received."""
        return isinstance(self._name, str)

    def name(self, call_id: str) -> None:
        """Give the call an id, if it has none: results refer to a call by its id."""
        self._call = None
        self.call_id = self.call_id or call_id

    @property
    def text(self) -> str:
        """The arguments, or the raw input, as received so far."""
        return self._text.text

    def correct(self, text: str) -> None:
        """Replace the arguments, if the ones that were received are not valid JSON."""
        if self._has_text and text != self.text:
            self._call = None
            self._text = Growing(text)

    @property
    def is_complete(self) -> bool:
        """Whether its arguments are a complete JSON value, so that another call may follow.

        Always False for a raw input, whose end is not marked. The first use starts a scanner,
        which then reads each new piece once.
        """
        if self._json is None:
            self._json = JsonScanner()
            self._json.feed(self.text)
        return self._form != CUSTOM and self._json.is_closed

    @property
    def extras(self) -> Mapping[str, Any]:
        """The fields of the call that `Call` has no attribute for."""
        return self._extras


def in_places(
    listed: list[Any], own: Sequence[tuple[Any, object]], made: Sequence[tuple[Any, str]]
) -> list[Any]:
    """Replaces the calls in a content, each at the place of the call that it was made from.

    A call without an origin follows the call before it.

    Args:
        listed: the content.
        own: the calls in it, each with its id.
        made: the calls that replace them, each with the id of the call that it was made from, or
            an empty text. A call that stays is the same object.

    Returns:
        A new content; the same object if all calls stay.
    """
    if len(own) == len(made) and all(a[0] is b[0] for a, b in zip(own, made, strict=True)):
        return listed
    known, waiting, new = {id(call): one for call, one in own}, deque(made), list[Any]()
    for part in listed:
        if id(part) not in known:
            new.append(part)
            continue
        # A call that stays takes its own place. A new one takes the place of its origin; without an
        # origin it follows the call before it.
        while waiting and (
            waiting[0][0] is part
            or (id(waiting[0][0]) not in known and waiting[0][1] in ("", known[id(part)]))
        ):
            new.append(waiting.popleft()[0])
    return [*new, *(call for call, _ in waiting)]


def beside(
    listed: Iterable[Any],
    id_of: Callable[[Any], object],
    calls: Iterable[Any],
    places: Iterable[object],
) -> list[Any]:
    """A turn with other calls, in their order, each where the one stands that its place names.

    Args:
        listed: the parts of the turn.
        id_of: tells the id of a call; None for a part that is none.
        calls: what stands there instead.
        places: for each the id of the call that it stands for; None: it follows the one before.
    """
    waiting, passed, made = deque(zip(calls, places, strict=True)), set[object]([None]), []
    for part in listed:
        call_id = id_of(part)
        if call_id is None:
            made.append(part)
            continue
        passed.add(call_id)
        while waiting and waiting[0][1] in passed:
            made.append(waiting.popleft()[0])
    return [*made, *(call for call, _ in waiting)]


def canonical_json(text: str) -> str:
    """JSON with sorted keys and without spaces; a text that is not valid JSON is unchanged."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):  # not JSON, or nested too deeply for orjson
        return text

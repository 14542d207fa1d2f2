"""Reads and writes the calls of chat completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.calls import CUSTOM, FUNCTION, Call, Fragment
from batchwrap.core.parse import rendered

# The types of a call, and the field in each that arrives in pieces.
_FORMS = {FUNCTION: "arguments", CUSTOM: "input"}
_OWN = frozenset({"index", "id", "type", *_FORMS})
_INNER = frozenset({"name", *_FORMS.values()})
_NOTHING: Mapping[str, Any] = {}
# The number of fields of a usual call, and of the object with its name and arguments.
_PLAIN_FIELDS, _INNER_FIELDS = 3, 2
# The fields of a call that can be rebuilt from a `Call`.
_PLAIN = frozenset({"id", "type", "index", FUNCTION})


def read_calls(message: chat.Message) -> list[Call]:
    """The calls of an assistant message, without anything that is not an object."""
    return [read_call(call) for call in chat.tool_calls(message)]


def read_call(raw: chat.ToolCall) -> Call:
    """Reads one call of a message."""
    if (usual := _usual(raw)) is not None:
        return usual
    given, form = _held(raw)
    call_id, name, text = raw.get("id"), given.get("name"), _text(given.get(_FORMS[form]))
    return Call(
        call_id if isinstance(call_id, str) else "",
        name if isinstance(name, str) else "",
        text or "",
        form,
        _extras(raw, form),
        _inner(given, form),
        isinstance(name, str) and text is not None,
        raw,
    )


def _usual(raw: chat.ToolCall) -> Call | None:
    """A call in the usual form, with an id, a name and arguments only; None for any other."""
    call_id, given = raw.get("id"), raw.get(FUNCTION)
    if len(raw) != _PLAIN_FIELDS or type(given) is not dict or raw.get("type") != FUNCTION:
        return None
    name, text = given.get("name"), given.get("arguments")
    if len(given) != _INNER_FIELDS or not (type(call_id) is type(name) is type(text) is str):
        return None
    return Call(call_id, name, text, FUNCTION, _NOTHING, _NOTHING, True, raw)


def read_fragment(raw: chat.ToolCall, index: int | None = None) -> Fragment:
    """Reads a fragment of a streamed message, or a call of a complete message.

    Args:
        raw: the fragment or call.
        index: the position of a call in a complete message, where calls have no index.
    """
    given, form = _held(raw)
    call_id, name = raw.get("id"), given.get("name")
    return Fragment(
        chat.index_of(raw) if index is None else index,
        call_id if isinstance(call_id, str) else "",
        name if isinstance(name, str) else None,
        _text(given.get(_FORMS[form])),
        form if isinstance(raw.get(form), dict) else "",
        _extras(raw, form),
        _inner(given, form),
        bool(raw.get("type")),
        raw,
    )


def write_call(call: Call) -> chat.ToolCall:
    """The call as a message holds it. A call that came from the API is the same object."""
    if call.source is not None:
        raw: chat.ToolCall = call.source
        return raw
    held = {"name": call.name, _FORMS[call.form]: call.arguments}
    held = {name: text for name, text in held.items() if text or call.is_whole}
    return {"id": call.call_id, "type": call.form, call.form: {**call.inner, **held}, **call.extras}


def write_fragment(part: Fragment, *, numbered: bool = True) -> chat.ToolCall:
    """The fragment as a chunk holds it.

    Args:
        part: the fragment.
        numbered: whether to write its index; calls in complete messages have none.
    """
    raw: chat.ToolCall | None = part.source
    if raw is not None:
        index = raw.get("index") if numbered else None
        if index == part.index or (not numbered and "index" not in raw):
            return raw
        rest = raw if numbered else {k: value for k, value in raw.items() if k != "index"}
        return {**rest, "index": part.index} if numbered else rest
    made: chat.ToolCall = {"index": part.index} if numbered else {}
    if part.call_id:
        made["id"] = part.call_id
    form = part.form or FUNCTION
    if part.is_typed and part.form:
        made["type"] = form
    held = {"name": part.name, _FORMS[form]: part.text}
    held = {name: value for name, value in held.items() if value is not None}
    if held or part.inner:
        made[form] = {**part.inner, **held}
    return {**made, **part.extras}


def is_plain(call: chat.ToolCall) -> bool:
    """Whether a call is a function call without other fields, so that it can be rebuilt."""
    function = call.get(FUNCTION)
    return (
        call.get("type") in (None, FUNCTION)
        and isinstance(function, dict)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
        and holds_only(call, _PLAIN)
        and holds_only(function, _INNER)
    )


def holds_only(value: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether all other fields are empty; SDKs send unset fields as null."""
    return not any(held for name, held in value.items() if name not in names)


def _held(raw: chat.ToolCall) -> tuple[Mapping[str, Any], str]:
    """The object in a call that holds the name and the arguments, and the type of the call."""
    for form in _FORMS:
        given = raw.get(form)
        if isinstance(given, dict):
            return given, form
    return _NOTHING, FUNCTION


def _text(value: object) -> str | None:
    """Arguments as text. Some servers send them as an object."""
    return value if value is None or isinstance(value, str) else rendered(value).decode()


def _extras(raw: chat.ToolCall, form: str) -> Mapping[str, Any]:
    """The fields of a call that `Call` has no attribute for.

    An id that is not a text, and a type that does not match the call, are among them, so that they
    go through unchanged.
    """
    call_id, kind = raw.get("id"), raw.get("type")
    is_odd = call_id is not None and not isinstance(call_id, str)
    is_usual = not is_odd and kind in (None, "", form)
    if is_usual and raw.keys() <= _OWN:
        return _NOTHING
    extras = {n: value for n, value in raw.items() if n not in _OWN and value is not None}
    if is_odd:
        extras["id"] = call_id
    if kind not in (None, "", form):
        extras["type"] = kind
    return extras


def _inner(given: Mapping[str, Any], form: str) -> Mapping[str, Any]:
    """The same for the object with the name and the arguments.

    A name or arguments that are not a text are among them, so that they go through unchanged.
    """
    key = _FORMS[form]
    if len(given) == 2 and type(given.get("name")) is str and type(given.get(key)) is str:
        return _NOTHING  # nearly all calls
    return {
        name: value
        for name, value in given.items()
        if value is not None and not (name in ("name", key) and isinstance(value, str))
    }

"""Reads and writes the calls of the Responses API: items that results name by `call_id`.

An item has an `id` of its own besides, which clients keep, change or drop. So a call is identified
by its `call_id` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from batchwrap.core.formats.calls import CUSTOM as CUSTOM_FORM
from batchwrap.core.formats.calls import FUNCTION, PROGRAM, Call, Fragment, is_of_program
from batchwrap.core.formats.responses import CALL, CUSTOM, CUSTOM_OUTPUT, OUTPUT, Item

_TEXT = {CALL: "arguments", CUSTOM: "input"}
_OWN = frozenset({"type", "call_id", "name", *_TEXT.values()})
# OpenAI refuses the item of a function call if its id begins in any other way.
# https://github.com/Wei-Shaw/sub2api/issues/3785
_ITEM_IDS = {CALL: "fc_", CUSTOM: "ctc_"}
_COMPLETED, _IN_PROGRESS = "completed", "in_progress"
_DIGEST_BYTES = 16
_MADE_LENGTHS = {len(begins) + 2 * _DIGEST_BYTES for begins in _ITEM_IDS.values()}
_PLAIN = frozenset({"type", "id", "call_id", "name", "arguments", "status"})


def is_call(item: Mapping[str, Any]) -> bool:
    """Whether an item is a call that the client runs."""
    return item.get("type") in _TEXT


def read_call(item: Item) -> Call:
    """Reads one call of the input. A tool of a namespace is not a function of the agent."""
    kind = str(item.get("type"))
    name, text = item.get("name"), item.get(_TEXT[kind])
    return Call(
        str(item.get("call_id") or ""),
        name if isinstance(name, str) else "",
        text if isinstance(text, str) else "",
        _form(item),
        _extras(item) if not _has_made_id(item) else _extras({**item, "id": None}),
        is_whole=isinstance(name, str) and isinstance(text, str),
        source=item,
    )


def read_fragment(item: Item, index: int | None, source: Any = None) -> Fragment:
    """Reads a complete call of an answer, or the start of a streamed one, without arguments."""
    name, text = item.get("name"), item.get(_TEXT[str(item.get("type"))])
    return Fragment(
        index,
        str(item.get("call_id") or ""),
        name if isinstance(name, str) else None,
        text if isinstance(text, str) else "",
        _form(item),
        _extras(item),
        source=item if source is None else source,
        is_plain=is_plain(item),
    )


def write_call(call: Call) -> Item:
    """The call as the input holds it. A call that came from the API is the same object."""
    if call.source is not None:
        item: Item = call.source
        return item
    return {**call.extras, **_named(call.form, call.call_id, call.name, call.arguments)}


def write_fragment(part: Fragment) -> Item:
    """The complete call as an answer holds it, with an item id."""
    named = _named(part.form, part.call_id, part.name or "", part.text or "")
    return {"id": item_id(named), "status": _COMPLETED, **part.extras, **named}


def item_id(call: Item) -> str:
    """The id of the item for a call that batchwrap makes."""
    digest = blake2b(call["call_id"].encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES)
    return f"{_ITEM_IDS[call['type']]}{digest.hexdigest()}"


def _has_made_id(item: Item) -> bool:
    """Whether an item has an id that the provider has never seen."""
    own = item.get("id")
    return isinstance(own, str) and len(own) in _MADE_LENGTHS and own == item_id(item)


def text_of(call: Item) -> str:
    """The arguments of a call, or its raw input."""
    text = call.get(text_field(call))
    return text if isinstance(text, str) else ""


def text_field(call: Item) -> str:
    """The field of a call with its arguments, or its raw input."""
    return _TEXT[str(call.get("type"))]


def output_type(call: Call) -> str:
    """The type of the item that answers a call."""
    return CUSTOM_OUTPUT if call.form == CUSTOM_FORM else OUTPUT


def is_plain(item: Mapping[str, Any]) -> bool:
    """Whether a call is a function call without other fields, so that it can be rebuilt."""
    return item.get("type") == CALL and not any(v for k, v in item.items() if k not in _PLAIN)


def _named(form: str, call_id: str, name: str, text: str) -> Item:
    kind = CUSTOM if form == CUSTOM_FORM else CALL
    return {"type": kind, "call_id": call_id, "name": name, _TEXT[kind]: text}


def _form(item: Mapping[str, Any]) -> str:
    """The type of a call: a custom call, one of a namespace's tool, or a function call."""
    if item.get("type") == CUSTOM:
        return CUSTOM_FORM
    if is_of_program(item):
        return PROGRAM
    return "namespace" if item.get("namespace") else FUNCTION


def _extras(item: Mapping[str, Any]) -> Mapping[str, Any]:
    extras = {name: it for name, it in item.items() if name not in _OWN and it is not None}
    # A call is read when it begins, and written anew when it is complete.
    return {**extras, "status": _COMPLETED} if extras.get("status") == _IN_PROGRESS else extras

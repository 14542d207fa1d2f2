"""Calls of the Responses API, read and written: items that are joined by their `call_id`."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from batchwrap.core.formats.calls import FUNCTION, Call, Fragment
from batchwrap.core.formats.responses import CALL, CUSTOM, Item

_TEXT = {CALL: "arguments", CUSTOM: "input"}
_OWN = frozenset({"type", "call_id", "name", *_TEXT.values()})
# An item's own id begins so; OpenAI refuses others.
_ITEM_ID = "fc_"
_PLAIN = frozenset({"type", "id", "call_id", "name", "arguments", "status"})


def is_call(item: Mapping[str, Any]) -> bool:
    """Whether an item is a call that the client runs."""
    return item.get("type") in _TEXT


def read_call(item: Item) -> Call:
    """One call of the input. A tool of a namespace is none of the agent's functions."""
    kind = str(item.get("type"))
    name, text = item.get("name"), item.get(_TEXT[kind])
    return Call(
        str(item.get("call_id") or ""),
        name if isinstance(name, str) else "",
        text if isinstance(text, str) else "",
        _form(item),
        _extras(item),
        is_whole=isinstance(name, str) and isinstance(text, str),
        source=item,
    )


def read_fragment(item: Item, index: int | None, source: Any = None) -> Fragment:
    """A whole call of an answer, or the beginning of a streamed one, which has no arguments yet."""
    name, text = item.get("name"), item.get(_TEXT[str(item.get("type"))])
    return Fragment(
        index,
        str(item.get("call_id") or ""),
        name if isinstance(name, str) else None,
        text if isinstance(text, str) else "",
        _form(item),
        _extras(item),
        source=item if source is None else source,
    )


def write_call(call: Call) -> Item:
    """The call as it stands in the input; as it came, where it did."""
    if call.source is not None:
        item: Item = call.source
        return item
    return {**call.extras, "type": CALL, **_named(call.call_id, call.name, call.arguments)}


def write_fragment(part: Fragment) -> Item:
    """A whole call as it stands in an answer, with an item id of its own."""
    extras = {"id": item_id(part.call_id), "status": "completed", **part.extras}
    return {**extras, "type": CALL, **_named(part.call_id, part.name or "", part.text or "")}


def item_id(call_id: str) -> str:
    """The id of the item of a call that is made here."""
    digest = blake2b(call_id.encode(errors="surrogatepass"), digest_size=16)
    return f"{_ITEM_ID}{digest.hexdigest()}"


def is_plain(item: Mapping[str, Any]) -> bool:
    """Whether nothing is lost if a call is written anew: it is a function's and holds no more."""
    return item.get("type") == CALL and not any(v for k, v in item.items() if k not in _PLAIN)


def _named(call_id: str, name: str, text: str) -> Item:
    return {"call_id": call_id, "name": name, "arguments": text}


def _form(item: Mapping[str, Any]) -> str:
    if item.get("type") == CUSTOM:
        return "custom"
    return "namespace" if item.get("namespace") else FUNCTION


def _extras(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in item.items() if name not in _OWN and value is not None}

"""OpenAI's Responses API: what its JSON looks like.

A turn of the model is a run of items: reasoning, messages, calls. The helpers here read them
without trusting them; items and fields that we do not know pass through untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchwrap.core.formats.account_state import names_any

Item = dict[str, Any]
Body = dict[str, Any]

# What makes a request continue something that the provider keeps.
_STATE = ("previous_response_id", "conversation", "prompt", "background")
_EMBEDDED = (str, int, list, type(None))  # texts, and tokens
_OWN = ("tools", "instructions", "max_output_tokens", "store", "reasoning", *_STATE)
_REFERENCE = "item_reference"
_ENCRYPTED = "reasoning.encrypted_content"
_KEPT = frozenset(
    {"encrypted_content", "file_id", "file_ids", "vector_store_ids", "container", "container_id"}
)
CALL, OUTPUT = "function_call", "function_call_output"
CUSTOM, CUSTOM_OUTPUT = "custom_tool_call", "custom_tool_call_output"
OUTPUTS = (OUTPUT, CUSTOM_OUTPUT)
# An event of a stream that belongs to one item has one of these.
_OF_ITEM = frozenset({"output_index", "item_id", "item"})


def is_understood(body: object, known: int = 0) -> bool:
    """Whether a request has the shape that batchwrap translates; so many items are known to."""
    if not isinstance(body, dict):
        return False
    given, tools = body.get("input"), body.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(map(_is_dict, tools))):
        return False
    if isinstance(given, str):
        return True
    return isinstance(given, list) and bool(given) and all(map(_is_item, given[known:]))


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _is_item(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind == CALL:
        names = ("call_id", "name", "arguments")
        return all(isinstance(item.get(name), str) for name in names)
    if kind in OUTPUTS or kind == CUSTOM:
        return isinstance(item.get("call_id"), str)
    return isinstance(kind, str) or isinstance(item.get("role"), str)


def is_of_model(item: Mapping[str, Any]) -> bool:
    """Whether an item is a part of a turn of the model."""
    kind = item.get("type")
    if kind in (None, "message"):
        return item.get("role") == "assistant"
    return kind == "reasoning" or (isinstance(kind, str) and kind.endswith("_call"))


def is_spoken(body: Mapping[str, Any]) -> bool:
    """Whether a request is one of this API: embeddings have an input, too."""
    given = body.get("input")
    if isinstance(given, list):
        return bool(given) and not any(isinstance(one, _EMBEDDED) for one in given)
    return isinstance(given, str) and any(body.get(name) is not None for name in _OWN)


def is_kept(body: Mapping[str, Any]) -> bool:
    """Whether a request or its answer is tied to what the provider keeps for one account.

    By default it keeps every response, which a later request may name. Reasoning that is encrypted
    is read only by the organization that it was made for
    (https://github.com/openai/codex/issues/13724).
    """
    if is_state(body) or body.get("store") is not False:
        return True
    include = body.get("include")
    if isinstance(include, list) and _ENCRYPTED in include:
        return True
    given = body.get("input")
    if any(item.get("type") == _REFERENCE for item in items_of(given)):
        return True
    return names_any([given, body.get("tools")], _KEPT, beside=("parameters",))


def is_state(body: Mapping[str, Any]) -> bool:
    """Whether a request continues what the provider keeps."""
    return any(body.get(name) for name in _STATE)


def is_whole(body: Mapping[str, Any]) -> bool:
    """Whether it is certain that the agent sends the whole conversation with each request.

    A first request does not tell whether the next one will only name its answer
    (`previous_response_id`), which would then hold calls that the provider never saw.
    """
    if is_state(body):
        return False
    return body.get("store") is False or any(map(is_of_model, items_of(body.get("input"))))


def is_of_item(event: Mapping[str, Any]) -> bool:
    """Whether an event of a stream belongs to one item of the answer."""
    return not _OF_ITEM.isdisjoint(event)


def index_of(event: Mapping[str, Any]) -> int | None:
    """The index of an event's item; None where it is missing, or is no number."""
    index = event.get("output_index")
    return index if isinstance(index, int) else None


def items_of(listed: object) -> Iterator[Item]:
    """The items of a list."""
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            yield item

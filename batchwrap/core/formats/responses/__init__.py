"""OpenAI's Responses API: helpers that read its JSON.

A turn of the model is a run of items: reasoning, messages, calls. The helpers check every type
before they use a value. Unknown items and fields pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchwrap.core.formats.account_state import names_any

Item = dict[str, Any]
Body = dict[str, Any]

# The fields that refer to something that the provider stores.
_STATE = ("previous_response_id", "conversation", "prompt", "background")
_EMBEDDED = (str, int, list, type(None))  # the input of an embeddings request: texts, or tokens
_OWN = ("tools", "instructions", "max_output_tokens", "store", "reasoning", *_STATE)
_REFERENCE = "item_reference"
_ENCRYPTED = "reasoning.encrypted_content"
_KEPT = frozenset(
    {"encrypted_content", "file_id", "file_ids", "vector_store_ids", "container", "container_id"}
)
CALL, OUTPUT = "function_call", "function_call_output"
CUSTOM, CUSTOM_OUTPUT = "custom_tool_call", "custom_tool_call_output"
OUTPUTS = (OUTPUT, CUSTOM_OUTPUT)
# How the types of items end with which an agent answers.
_ANSWERS = ("_output", "_response")
# An event that belongs to one item of an answer has one of these fields.
_OF_ITEM = frozenset({"output_index", "item_id", "item"})


def is_understood(body: object, known: int = 0) -> bool:
    """Whether a request has the shape that batchwrap translates.

    Args:
        body: the request.
        known: how many of its first items are known to have that shape.
    """
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
    """Whether an item can be read. Calls and outputs need ids; any other type passes."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind == CALL:
        names = ("call_id", "name", "arguments")
        return all(isinstance(item.get(name), str) for name in names)
    if kind in OUTPUTS or kind == CUSTOM:
        return isinstance(item.get("call_id"), str)
    return isinstance(kind, str) or isinstance(item.get("role"), str)


def is_said(item: Mapping[str, Any]) -> bool:
    """Whether an item is a message, whoever says it."""
    return item.get("type") in (None, "message")


def is_of_agent(item: Mapping[str, Any]) -> bool:
    """Whether an item is surely none of the model's: a message, or the answer to one of these."""
    if is_said(item):
        return item.get("role") != "assistant"
    return str(item.get("type")).endswith(_ANSWERS)


def is_of_model(item: Mapping[str, Any]) -> bool:
    """Whether an item is surely part of a turn of the model: a message, reasoning, or a call."""
    kind = item.get("type")
    if is_said(item):
        return item.get("role") == "assistant"
    return kind == "reasoning" or (isinstance(kind, str) and kind.endswith("_call"))


def is_spoken(body: Mapping[str, Any]) -> bool:
    """Whether a request belongs to this API. Embeddings have an `input`, too, but no messages."""
    given = body.get("input")
    if isinstance(given, list):
        return bool(given) and not any(isinstance(one, _EMBEDDED) for one in given)
    return isinstance(given, str) and any(body.get(name) is not None for name in _OWN)


def is_kept(body: Mapping[str, Any]) -> bool:
    """Whether a request or its answer refers to something that the provider stores for one account.

    By default the provider stores every response, which a later request may name. Encrypted
    reasoning can be read only in the organization that it was made for
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
    """Whether a request refers to something that the provider stores."""
    return any(body.get(name) for name in _STATE)


def is_whole(body: Mapping[str, Any]) -> bool:
    """Whether it is certain that the agent sends the whole conversation with each request.

    After a first request the next one may only name its answer (`previous_response_id`). If that
    answer was translated, the results would name calls that the provider never made. So a
    conversation is translated only if the request turns storing off, or repeats earlier turns.
    """
    if is_state(body):
        return False
    return body.get("store") is False or any(map(is_of_model, items_of(body.get("input"))))


def is_of_item(event: Mapping[str, Any]) -> bool:
    """Whether an event of a stream belongs to one item of the answer."""
    return not _OF_ITEM.isdisjoint(event)


def index_of(event: Mapping[str, Any]) -> int | None:
    """The index of an event's item; None if it is missing or not a number."""
    index = event.get("output_index")
    return index if isinstance(index, int) else None


def items_of(listed: object) -> Iterator[Item]:
    """The objects in a list; none if it is not a list."""
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            yield item

"""The rules of OpenAI's server for the input of a response that batching can violate.

They are those that clients are known to have met, with the wording of the server's errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MOST_ID = 64
_OUTPUTS = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
}


def fault_in(body: dict[str, Any]) -> str | None:
    """The error of a request; None if it is valid."""
    return next(_faults(body), None)


def _faults(body: dict[str, Any]) -> Iterator[str]:
    given = body.get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    open_ids: dict[str, str] = {}
    seen: set[str] = set()
    for place, item in enumerate(items):
        kind, call_id = str(item.get("type")), str(item.get("call_id"))
        if kind in _OUTPUTS.values():
            if not 0 < len(call_id) <= _MOST_ID:
                yield f"Invalid 'input[{place}].call_id': string too long."
            if call_id in seen:
                yield f"Duplicate call_id {call_id}."
            if kind == "function_call" and not str(item.get("id", "fc")).startswith("fc"):
                yield f"Invalid 'input[{place}].id': Expected an ID that begins with 'fc'."
            seen.add(call_id)
            open_ids[call_id] = kind
        elif kind in _OUTPUTS:
            if open_ids.pop(call_id, None) != _OUTPUTS[kind] and not body.get(
                "previous_response_id"
            ):
                yield f"No tool call found for function call output with call_id {call_id}."
        elif kind == "reasoning" and not _goes_on(items[place + 1 : place + 2]):
            named = f"Item '{item.get('id')}' of type 'reasoning'"
            yield f"{named} was provided without its required following item."
    for call_id in open_ids:
        yield f"No tool output found for function call {call_id}."


def _goes_on(following: list[dict[str, Any]]) -> bool:
    """Whether the model's turn continues after its reasoning."""
    return any(
        item.get("role") == "assistant" or str(item.get("type")).endswith(("_call", "reasoning"))
        for item in following
    )

"""A request to any of the three APIs as the chat completion that would say the same.

So that one scripted model answers all of them. It shares no code with what translates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

Item = dict[str, Any]

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_ELSEWHERE = ("system", "instructions", "input")
_OUTPUTS = frozenset(f"{kind}_output" for kind in _CALLS)


def as_chat(request: Item) -> Item:
    """The request with the fields `messages` and `tools` that a chat completion has.

    One of the Responses API is known by its `input`; in one of the Messages API, whatever chat
    completions have, too, stays as it is. So a chat completion comes back as it went in.
    """
    if "messages" in request:
        messages = [made for one in request["messages"] for made in _of_blocks(one)]
        system = request.get("system")
    else:
        messages = list(_of_items(_items(request.get("input"))))
        system = request.get("instructions")
    first = [{"role": "system", "content": system}] if system else []
    chat = {name: value for name, value in request.items() if name not in _ELSEWHERE}
    chat["messages"] = [*first, *messages]
    if request.get("tools"):
        chat["tools"] = [_tool(tool) for tool in request["tools"]]
    choice = request.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "none":
        chat["tool_choice"] = "none"
    return chat


def _tool(tool: Item) -> Item:
    """A function of any of the APIs; others stay as they are."""
    schema = tool.get("input_schema") or tool.get("parameters")
    if "name" not in tool or not isinstance(schema, dict):
        return tool
    told = {"name": tool["name"], "description": tool.get("description"), "parameters": schema}
    return {"type": "function", "function": told}


def _of_blocks(message: Item) -> Iterator[Item]:
    """What a message of the Messages API says: results, then all else with the calls."""
    blocks = [one for one in message.get("content") or () if isinstance(one, dict)]
    results = [one for one in blocks if one.get("type") == "tool_result"]
    calls = [one for one in blocks if one.get("type") == "tool_use"]
    if not results and not calls:
        yield message
        return
    for one in results:
        yield _result(one["tool_use_id"], one.get("content"))
    others = [one for one in blocks if one not in results and one not in calls]
    if calls or others:
        made = [_call(one["id"], one["name"], one["input"]) for one in calls]
        called = {"tool_calls": made} if made else {}
        yield {"role": message["role"], "content": others, **called}


def _items(given: object) -> list[Item]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _of_items(items: Iterable[Item]) -> Iterator[Item]:
    """What the items of the Responses API say; a turn of the model is a run of them."""
    turn: Item | None = None
    for item in items:
        kind = str(item.get("type"))
        if kind in _CALLS or item.get("role") == "assistant":
            turn = turn or {"role": "assistant", "content": []}
            if kind in _CALLS:
                made = _call(item["call_id"], item["name"], item[_CALLS[kind]])
                turn["tool_calls"] = [*turn.get("tool_calls", ()), made]
            else:
                turn["content"] = [*turn["content"], *_parts(item.get("content"))]
            continue
        if kind == "reasoning":
            continue
        if turn is not None:
            yield turn
            turn = None
        if kind in _OUTPUTS:
            yield _result(item["call_id"], item.get("output"))
        elif "role" in item:
            yield item
    if turn is not None:
        yield turn


def _parts(content: object) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _call(call_id: str, name: str, given: object) -> Item:
    text = given if isinstance(given, str) else orjson.dumps(given).decode()
    function = {"name": name, "arguments": text}
    return {"id": call_id, "type": "function", "function": function}


def _result(call_id: str, content: object) -> Item:
    return {"role": "tool", "tool_call_id": call_id, "content": content}

"""Converts answers between forms: parts in a list, the chunks of a stream, one completion.

Some endpoints answer in another form than the request asked for.
https://github.com/vybestack/llxprt-code/commit/eebd158819be25817ed6740097e5c53d19984d14
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from batchwrap.core.formats import chat, sse
from batchwrap.core.parse import glued, parsed_exactly

_OF_CHUNKS = ("object", "choices", "usage")


def chunks_in(content: bytes) -> list[chat.Body]:
    """The chunks of a stream that arrived as one body; empty if the body is no stream."""
    splitter = sse.Splitter()
    events = [*splitter.feed(content), splitter.rest()]
    return list(_chunks(events))


def _chunks(events: Sequence[bytes]) -> Iterator[chat.Body]:
    for data in map(sse.data_of, events):
        for part in glued(data) or [data]:
            if part == sse.DONE:
                return
            try:
                chunk = parsed_exactly(part)
            except ValueError:
                continue
            if isinstance(chunk, dict):
                yield chunk


def parts_in(value: object) -> list[chat.Body]:
    """The completions in a list that are parts of one completion; empty if they are not."""
    parts = value if isinstance(value, list) else []
    if not parts or not all(isinstance(part, dict) and "choices" in part for part in parts):
        return []
    # Different ids mean several answers, which must not be joined to one.
    ids = {str(part["id"]) for part in parts if part.get("id")}
    return parts if len(ids) <= 1 else []


def joined(parts: Sequence[chat.Body]) -> chat.Body:
    """One completion made of parts, or of the chunks of a stream, after their repair."""
    choices: dict[Any, dict[str, Any]] = {}
    made: chat.Body = {}
    for part in parts:
        made |= {key: value for key, value in part.items() if key not in _OF_CHUNKS}
        if part.get("usage"):
            made["usage"] = part["usage"]
        for index, choice in chat.choices(part):
            _join(choices.setdefault(index, _empty(index)), choice)
    for choice in choices.values():
        calls = choice["message"].get("tool_calls")
        if calls:
            # Only streamed calls have an index.
            bare = [{k: v for k, v in call.items() if k != "index"} for call in calls]
            choice["message"]["tool_calls"] = bare
    return {**made, "object": "chat.completion", "choices": list(choices.values())}


def _empty(index: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": None}
    return {"index": index, "message": message, "finish_reason": None}


def _join(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    message, part = whole["message"], chat.part_of(choice)
    for key, value in part.items():
        if key in chat.TEXTS and isinstance(value, str):
            message[key] = _text(message.get(key)) + value
        elif key == "tool_calls":
            _join_calls(message.setdefault("tool_calls", []), chat.tool_calls(part))
        elif value is not None:
            message[key] = value
    own = ("delta", "message", "index", "usage")
    whole |= {key: value for key, value in choice.items() if value is not None and key not in own}


def _join_calls(calls: list[chat.ToolCall], given: Sequence[chat.ToolCall]) -> None:
    for call in given:
        index = chat.index_of(call)
        known = next((c for c in calls if index is not None and c.get("index") == index), None)
        if known is None:
            calls.append({**call, "function": dict(chat.function_of(call))})
            continue
        text = _text(chat.function_of(call).get("arguments"))
        known["function"]["arguments"] = _text(known["function"].get("arguments")) + text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_chunks(completion: chat.Body, *, with_usage: bool) -> list[chat.Body]:
    """A completion as the chunks of a stream; usage is included only if it was asked for."""
    head = {key: value for key, value in completion.items() if key not in _OF_CHUNKS}
    head["object"] = "chat.completion.chunk"
    out: list[chat.Body] = []
    for index, choice in chat.choices(completion):
        message = chat.part_of(choice)
        calls = [{"index": place, **call} for place, call in enumerate(chat.tool_calls(message))]
        delta = {**message, "tool_calls": calls} if calls else dict(message)
        if not calls:
            delta.pop("tool_calls", None)
        rest = {key: value for key, value in choice.items() if key not in ("message", "index")}
        said = {"index": index, "delta": delta, "finish_reason": None}
        out.append({**head, "choices": [said]})
        out.append({**head, "choices": [{"index": index, "delta": {}, **rest}]})
    if with_usage and completion.get("usage"):
        out.append({**head, "choices": [], "usage": completion["usage"]})
    return out

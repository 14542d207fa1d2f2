"""Brings chunks and choices into the shape of the API. What has that shape stays the same object.

Some gateways send whole messages in place of deltas, content in parts, or one choice that is not
in a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.growing import Growing

Choice = dict[str, Any]


def streamed(choice: Choice, said: Growing, *, has_called: bool) -> Choice:
    """A choice of a chunk, with a delta.

    Args:
        choice: as it arrived.
        said: the text of the deltas before it.
        has_called: whether a call arrived before it.
    """
    delta = choice.get("delta")
    if isinstance(delta, dict):
        mended = _part(delta)
        return choice if mended is delta else {**choice, "delta": mended}
    message = choice.get("message")
    if not isinstance(message, dict):
        return {**choice, "delta": {}} if delta is None and message is None else choice
    part = dict(_part(message))
    content = part.get("content")
    # The sizes are compared first: joining the text for each chunk would be quadratic.
    same_size = isinstance(content, str) and len(content) == len(said) > 0
    if same_size and content == said.text:
        del part["content"]  # it repeats the text that the deltas before it have brought
        if has_called:
            part.pop("tool_calls", None)
    rest = {key: value for key, value in choice.items() if key != "message"}
    return {**rest, "delta": part}


def plain(choice: Choice) -> Choice:
    """A choice of a completion, with a message."""
    message, delta = choice.get("message"), choice.get("delta")
    if message is None and isinstance(delta, dict):
        rest = {key: value for key, value in choice.items() if key != "delta"}
        return {**rest, "message": _part(delta)}
    if not isinstance(message, dict):
        return choice
    mended = _part(message)
    return choice if mended is message else {**choice, "message": mended}


def _part(part: chat.Message) -> chat.Message:
    """A message or delta whose content is a string and whose reasoning is given once."""
    content = part.get("content")
    if isinstance(content, list | dict):
        split = _joined(content if isinstance(content, list) else [content])
        if split is not None:
            text, thoughts = split
            part = {**part, "content": text}
            if thoughts:
                part["reasoning_content"] = (part.get("reasoning_content") or "") + thoughts
    told = part.get("reasoning_content")
    if isinstance(told, str) and told and part.get("reasoning") == told:
        part = {key: value for key, value in part.items() if key != "reasoning"}
    return part


def _joined(parts: Sequence[Any]) -> tuple[str, str] | None:
    """(text, reasoning) of content in parts; None if any part is of another kind."""
    text, thoughts = "", ""
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "output_text") and isinstance(part.get("text"), str):
            text += part["text"]
        elif kind in ("thinking", "reasoning"):
            inner = part.get("thinking", part.get("text"))
            thoughts += inner if isinstance(inner, str) else "".join(chat.texts(inner))
        else:
            return None
    return text, thoughts


def has_text(delta: chat.Message) -> bool:
    """Whether a delta has a text of any kind."""
    return any(isinstance(delta.get(key), str) and delta[key] for key in chat.TEXTS)


def without_texts(choice: Choice) -> Choice:
    """The choice without its texts and its role, which have gone out already."""
    delta = chat.part_of(choice)
    rest = {key: value for key, value in delta.items() if key not in (*chat.TEXTS, "role")}
    return {**choice, "delta": rest}


def opens(choice: Choice) -> bool:
    """Whether a choice begins a call."""
    return any(chat.function_of(call).get("name") for call in chat.tool_calls(chat.part_of(choice)))


def opening(choice: Choice) -> Choice:
    """The choice without the arguments of its calls."""
    delta = chat.part_of(choice)
    calls = [
        {**call, "function": {**chat.function_of(call), "arguments": ""}}
        for call in chat.tool_calls(delta)
    ]
    return {**choice, "delta": {**delta, "tool_calls": calls}}


def is_relevant(choice: Choice) -> bool:
    """Whether a choice holds anything that must be handed on."""
    return bool(choice.get("finish_reason")) or any(
        value is not None for value in chat.part_of(choice).values()
    )


def with_choices(chunk: chat.Body) -> chat.Body | None:
    """The chunk with a list of choices; None if it holds nothing at all, as a ping does."""
    listed = chunk.get("choices")
    if isinstance(listed, dict):
        return {**chunk, "choices": [listed]}
    if listed is not None:
        return chunk
    if not chunk or (chunk.get("type") in ("ping", "keepalive", "heartbeat") and not listed):
        return None
    return {**chunk, "choices": []}


def usage_inside(chunk: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage that a choice reports in place of the chunk."""
    listed = chunk.get("choices")
    for choice in listed if isinstance(listed, list) else ():
        usage = choice.get("usage") if isinstance(choice, dict) else None
        if isinstance(usage, dict) and usage:
            return usage
    return None

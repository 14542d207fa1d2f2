"""Converts Anthropic's messages with content blocks to chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.log_messages import (
    assistant,
    call,
    count_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage


def has_blocks(message: chat.Message) -> bool:
    """Whether a message has blocks that chat completions do not have."""
    return any(
        block.get("type") in ("tool_use", "tool_result", "thinking")
        for block in dicts_in(message.get("content"))
    )


def as_chat(message: chat.Message) -> Iterator[tuple[chat.Message, bool]]:
    """The chat messages for a message of blocks, each with whether it is a failed result.

    Results come first, since they answer the calls of the message before.
    """
    content = message.get("content")
    blocks = dicts_in(content)
    if message.get("role") == "assistant":
        calls = [
            call(block.get("id"), block.get("name"), block.get("input"))
            for block in blocks
            if block.get("type") == "tool_use"
        ]
        yield assistant(_text(content, "text"), calls, _text(content, "thinking")), False
        return
    for block in blocks:
        if block.get("type") == "tool_result":
            said = result(block.get("tool_use_id"), block.get("content"))
            yield said, block.get("is_error") is True
    others = [block for block in blocks if block.get("type") != "tool_result"]
    if others or isinstance(content, str):
        yield {"role": message.get("role"), "content": others or content}, False


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """The usage, in which Anthropic counts the prompt in three parts; None if there is none."""
    if not isinstance(usage.get("output_tokens"), int):
        return None
    cached = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    prompt = count_of(usage.get("input_tokens")) + cached + written
    return usage_from(prompt, count_of(usage.get("output_tokens")), cached)


def _text(content: object, kind: str) -> str:
    """The texts of all blocks of a kind; a content that is a text is a block of text."""
    if isinstance(content, str):
        return content if kind == "text" else ""
    return "\n".join(text_of(block.get(kind)) for block in dicts_in(content)).strip()

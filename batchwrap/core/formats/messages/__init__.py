"""Anthropic's Messages API: helpers that read its JSON.

They check every type before they use a value, since an agent or a provider may send anything.
Unknown fields and blocks pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchwrap.core.formats.account_state import names_any

Block = dict[str, Any]
Body = dict[str, Any]

_OWN_BLOCKS = frozenset({"thinking", "redacted_thinking", "tool_use", "tool_result"})
# The fields that refer to something that the provider stores. Only a thread holds the conversation.
_THREAD = "thread"
_STATE = (_THREAD, "container")
_FILES = frozenset({"file_id"})
_RUNS_CODE = "code_execution"


def is_understood(body: object, known: int = 0) -> bool:
    """Whether a request has the shape that batchwrap translates.

    Args:
        body: the request.
        known: how many of its first messages are known to have that shape.
    """
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not isinstance(body, dict):
        return False
    tools = body.get("tools")
    listed = tools is None or (isinstance(tools, list) and all(isinstance(t, dict) for t in tools))
    return listed and all(_is_message(message) for message in messages[known:])


def _is_message(message: object) -> bool:
    """Whether a message can be read: its role, and a text or valid blocks."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(map(_is_block, content))


def _is_block(block: object) -> bool:
    """Whether a block can be read. Calls and results need ids; any other type passes."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    if block["type"] == "tool_use":
        return isinstance(block.get("id"), str) and isinstance(block.get("input"), dict)
    return block["type"] != "tool_result" or isinstance(block.get("tool_use_id"), str)


def is_spoken(body: Mapping[str, Any]) -> bool:
    """Whether a request with `messages` belongs to this API, and not to chat completions."""
    if body.get("system") is not None:
        return True
    if any(isinstance(tool.get("input_schema"), dict) for tool in blocks_of(body.get("tools"))):
        return True
    return any(
        block.get("type") in _OWN_BLOCKS
        for message in blocks_of(body.get("messages"))
        for block in blocks_of(message.get("content"))
    )


def is_kept(body: Mapping[str, Any]) -> bool:
    """Whether a request or its answer refers to something that the provider stores for one account.

    That is a thread, a file, or a container, which code execution creates as well.
    """
    if any(body.get(name) for name in _STATE):
        return True
    kinds = [tool.get("type") for tool in blocks_of(body.get("tools"))]
    runs_code = any(isinstance(kind, str) and kind.startswith(_RUNS_CODE) for kind in kinds)
    return runs_code or names_any(body.get("messages"), _FILES, beside=("input",))


def has_thread(body: Mapping[str, Any]) -> bool:
    """Whether the provider keeps the conversation that a request belongs to."""
    return bool(body.get(_THREAD))


def begins_thread(body: Mapping[str, Any], helper: str) -> bool:
    """Whether the SDK's tool runner begins a thread. It also works without one (`no_threads`).

    Args:
        body: the request.
        helper: the value of the header `x-stainless-helper`.
    """
    thread = body.get("thread")
    return (
        "BetaToolRunner" in helper and isinstance(thread, dict) and thread.get("type") == "create"
    )


def no_threads() -> Body:
    """The error of Anthropic's server for requests that threads do not support.

    The SDK's tool runner then continues without threads and sends the whole history in each request
    (`lib/threads` of anthropic 2.14), which batchwrap can translate.
    """
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    told = "batchwrap rewrites the conversation, so it must be sent whole."
    error = {"type": "invalid_request_error", "message": told, "details": details}
    return {"type": "error", "error": error}


def index_of(event: Mapping[str, Any]) -> int | None:
    """The index of an event's block; None if it is missing or not a number."""
    index = event.get("index")
    return index if isinstance(index, int) else None


def blocks_of(content: object) -> Iterator[Block]:
    """The blocks of a content; none if it is a text."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield block


def text_block(text: str) -> Block:
    """A block that holds a text."""
    return {"type": "text", "text": text}

"""The rules of Anthropic's server for conversations that batching can violate.

They are those that clients are known to have met, with the wording of the server's errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import orjson

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_MARKS = 4


# Thinking is signed for all that stands before it, in whatever form it is written.
_THINKING = ("thinking", "redacted_thinking")
_BOUND = (
    "Invalid `signature` in `thinking` block. The block is bound to a different conversation. "
    "Remove the block, or set `thinking.block_binding.prefix_mismatch_behavior` to "
    '"drop_block".'
)


def signed(body: dict[str, Any], thinking: str, before: Sequence[Any] = ()) -> str:
    """The signature of what a model thinks.

    Args:
        body: the request that it answers.
        thinking: the text.
        before: what the answer holds already.
    """
    said = _said(body.get("messages"))
    if before:
        said.append(["assistant", list(before)])
    return _signature(body, said, thinking)


def _signature(body: dict[str, Any], said: list[list[Any]], thinking: object) -> str:
    told = [_blocks_in(body.get("system")), body.get("tools") or [], said, thinking]
    written = orjson.dumps(_unmarked(told), option=orjson.OPT_SORT_KEYS)
    return blake2b(written, digest_size=24).hexdigest()


def _said(messages: object) -> list[list[Any]]:
    """(role, blocks), with the messages of one role that follow each other as one."""
    said: list[list[Any]] = []
    for message in messages if isinstance(messages, list) else ():
        blocks = _blocks_in(message.get("content"))
        if said and said[-1][0] == message.get("role"):
            said[-1][1] += blocks
        else:
            said.append([message.get("role"), blocks])
    return said


def _blocks_in(content: object) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content) if isinstance(content, list) else []


def _unmarked(value: Any) -> Any:
    """The same without its cache marks, which move."""
    if isinstance(value, dict):
        return {k: _unmarked(v) for k, v in value.items() if k != "cache_control"}
    return [_unmarked(one) for one in value] if isinstance(value, list) else value


def _unbound(body: dict[str, Any]) -> Iterator[str]:
    """Thinking that was written for another beginning."""
    thinking = body.get("thinking")
    controls = thinking.get("block_binding") if isinstance(thinking, dict) else None
    if isinstance(controls, dict) and controls.get("prefix_mismatch_behavior") == "drop_block":
        return
    said = _said(body["messages"])
    for at, (role, blocks) in enumerate(said):
        for place, block in enumerate(_blocks(blocks)):
            if role != "assistant" or block.get("type") not in _THINKING:
                continue
            before = [*said[:at], ["assistant", blocks[:place]]] if place else said[:at]
            if block.get("signature") != _signature(body, before, block.get("thinking")):
                yield f"messages.{at}.content.{place}: {_BOUND}"


def fault_in(body: dict[str, Any]) -> str | None:
    """The error of a request; None if it is valid."""
    return next(_faults(body), None)


def _faults(body: dict[str, Any]) -> Iterator[str]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: at least one message is required"
        return
    open_ids: set[str] = set()
    for at, message in enumerate(messages):
        blocks = _blocks(message.get("content"))
        if message.get("role") == "user":
            yield from _results(blocks, open_ids, f"messages.{at}")
            open_ids = set()
            continue
        if open_ids:
            yield _unanswered(open_ids, f"messages.{at}")
        open_ids = set()
        if message.get("role") == "assistant":
            ids = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
            yield from _calls(blocks, ids, f"messages.{at}")
            open_ids = set(ids)
    if open_ids:
        yield _unanswered(open_ids, "messages")
    yield from _unbound(body)
    used = {b.get("type") for m in messages for b in _blocks(m.get("content"))}
    if not body.get("tools") and used & {"tool_use", "tool_result"}:
        yield "Requests which include `tool_use` or `tool_result` blocks must define tools"
    if str(body).count("'cache_control'") > _MOST_MARKS:
        yield f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided."


def _results(blocks: list[dict[str, Any]], open_ids: set[str], place: str) -> Iterator[str]:
    """Check that all results of the previous message's calls come first, and no others."""
    kinds = [block.get("type") == "tool_result" for block in blocks]
    if kinds != sorted(kinds, reverse=True):
        yield f"{place}: tool_result blocks must stand at the beginning of this message"
    ids = [str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"]
    for one in ids:
        if one not in open_ids:
            yield f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {one}"
    if len(ids) != len(set(ids)):
        yield f"{place}: each tool_use must have a single result"
    if not open_ids <= set(ids):
        yield _unanswered(open_ids - set(ids), place)


def _calls(blocks: list[dict[str, Any]], ids: list[str], place: str) -> Iterator[str]:
    if len(ids) != len(set(ids)):
        yield f"{place}: `tool_use` ids must be unique"
    for one in ids:
        if not _ID.fullmatch(one):
            yield f"{place}: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    for block in blocks:
        if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
            yield f"{place}: tool_use.input: Input should be a valid dictionary"


def _unanswered(ids: set[str], place: str) -> str:
    listed = ", ".join(sorted(ids))
    return (
        f"{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{listed}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message."
    )


def _blocks(content: object) -> list[dict[str, Any]]:
    return (
        [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    )

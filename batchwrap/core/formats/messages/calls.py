"""Calls of the Messages API, read and written: blocks of the type `tool_use`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batchwrap.core.formats.calls import FUNCTION, Call, Fragment
from batchwrap.core.formats.messages import Block
from batchwrap.core.parse import parsed_exactly, rendered

_OWN = frozenset({"type", "id", "name", "input"})


def is_call(block: Mapping[str, Any]) -> bool:
    """Whether a block is a call that the client runs."""
    return block.get("type") == "tool_use"


def read_call(block: Block) -> Call:
    """One call of a message. The tools of a toolset are none of the agent's functions."""
    name = block.get("name")
    return Call(
        str(block.get("id") or ""),
        name if isinstance(name, str) else "",
        rendered(block.get("input")).decode(),
        "toolset" if block.get("toolset_name") else FUNCTION,
        _extras(block),
        is_whole=isinstance(name, str),
        source=block,
    )


def read_fragment(block: Block, index: int) -> Fragment:
    """A whole call of an answer, or the beginning of a streamed one, whose input is empty."""
    given = block.get("input")
    name = block.get("name")
    return Fragment(
        index,
        str(block.get("id") or ""),
        name if isinstance(name, str) else None,
        rendered(given).decode() if given else "",
        "toolset" if block.get("toolset_name") else FUNCTION,
        _extras(block),
        source=block,
    )


def write_call(call: Call) -> Block:
    """The call as it stands in a message; as it came, where it did."""
    if call.source is not None:
        block: Block = call.source
        return block
    made = {"type": "tool_use", "id": call.call_id, "name": call.name}
    return {**made, "input": _input(call.arguments), **call.extras}


def write_fragment(part: Fragment) -> Block:
    """A whole call as it stands in an answer; as it came, where it did."""
    if part.source is not None:
        block: Block = part.source
        return block
    made = {"type": "tool_use", "id": part.call_id, "name": part.name or ""}
    return {**made, "input": _input(part.text or ""), **part.extras}


def _input(text: str) -> object:
    """Arguments as the object that they must be."""
    try:
        value = parsed_exactly(text)
    except (ValueError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _extras(block: Block) -> Mapping[str, Any]:
    return {name: value for name, value in block.items() if name not in _OWN and value is not None}

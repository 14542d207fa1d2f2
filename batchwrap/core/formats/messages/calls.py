"""Reads and writes the calls of the Messages API: blocks of the type `tool_use`.

Their `input` is an object, not a text. So its spacing is lost, and calls are compared as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batchwrap.core.formats.calls import FUNCTION, PROGRAM, Call, Fragment, is_of_program
from batchwrap.core.formats.messages import Block
from batchwrap.core.parse import parsed_exactly, rendered

_OWN = frozenset({"type", "id", "name", "input"})


def is_call(block: Mapping[str, Any]) -> bool:
    """Whether a block is a call that the client runs."""
    return block.get("type") == "tool_use"


def read_call(block: Block) -> Call:
    """Reads one call of a message. Tools of a toolset are not functions of the agent."""
    name = block.get("name")
    return Call(
        str(block.get("id") or ""),
        name if isinstance(name, str) else "",
        rendered(block.get("input")).decode(),
        _form(block),
        _extras(block),
        is_whole=isinstance(name, str),
        source=block,
    )


def read_fragment(block: Block, index: int) -> Fragment:
    """Reads a complete call of an answer, or the start of a streamed one, whose input is empty."""
    given = block.get("input")
    name = block.get("name")
    return Fragment(
        index,
        str(block.get("id") or ""),
        name if isinstance(name, str) else None,
        rendered(given).decode() if given else "",
        _form(block),
        _extras(block),
        source=block,
    )


def write_call(call: Call) -> Block:
    """The call as a message holds it. A call that came from the API is the same object."""
    if call.source is not None:
        block: Block = call.source
        return block
    made = {"type": "tool_use", "id": call.call_id, "name": call.name}
    return {**made, "input": _input(call.arguments), **call.extras}


def write_fragment(part: Fragment) -> Block:
    """The complete call as an answer holds it. One that came from the API is the same object."""
    if part.source is not None:
        block: Block = part.source
        return block
    made = {"type": "tool_use", "id": part.call_id, "name": part.name or ""}
    return {**made, "input": _input(part.text or ""), **part.extras}


def _input(text: str) -> object:
    """Arguments as an object; ``{}`` if they are not the JSON text of one."""
    try:
        value = parsed_exactly(text)
    except (ValueError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _form(block: Block) -> str:
    if is_of_program(block):
        return PROGRAM
    return "toolset" if block.get("toolset_name") else FUNCTION


def _extras(block: Block) -> Mapping[str, Any]:
    return {name: value for name, value in block.items() if name not in _OWN and value is not None}

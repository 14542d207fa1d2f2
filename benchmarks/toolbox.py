"""The agent's tools, and how a recorded call becomes a call of one of them.

Each call carries its number in its arguments (``#17#``; a read has it as its offset), and
each result begins with it. So everybody can tell which recorded call he sees, from the
conversation alone.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from benchmarks.filler import FillerTokens
from benchmarks.sessions import RecordedCall

_NUMBER = re.compile(r"#(\d+)#")
_TOOL_OF = {
    "read": "read_file",
    "multi_read": "read_file",
    "edit": "edit_file",
    "multi_edit": "edit_file",
    "write": "write_file",
    "search": "grep",
}
# A call whose path was not recorded touches a file of its own.
_UNNAMED = "unnamed/file"


def _tool(name: str, about: str, *required: str, **optional: str) -> dict[str, Any]:
    properties = {
        **{parameter: {"type": "string"} for parameter in required},
        **{parameter: {"type": kind} for parameter, kind in optional.items()},
    }
    schema = {"type": "object", "properties": properties, "required": list(required)}
    function = {"name": name, "description": about, "parameters": schema}
    return {"type": "function", "function": function}


TOOLS = [
    _tool("read_file", "Read a file.", "path", offset="integer", limit="integer"),
    _tool("edit_file", "Replace a text in a file.", "path", "old_string", "new_string"),
    _tool("write_file", "Write a whole file.", "path", "content"),
    _tool("grep", "Search for a pattern.", "pattern", path="string"),
    _tool("list_dir", "List a folder.", "path"),
    _tool("bash", "Run a shell command.", "command"),
    _tool("other", "Anything else.", "payload"),
]


def tool_of(call: RecordedCall) -> str:
    """The tool that a recorded call becomes a call of."""
    return _TOOL_OF.get(call.kind, "bash" if call.kind.startswith("shell_") else "other")


def arguments_of(call: RecordedCall, tokens: FillerTokens) -> dict[str, Any]:
    """Its arguments, of about the recorded size; a read has no text to pad."""
    tool, mark = tool_of(call), f"#{call.number}#"
    path = call.path or _UNNAMED
    if tool == "read_file":
        return {"path": path, "offset": call.number}
    if tool == "edit_file":
        arguments = {"path": path, "old_string": mark, "new_string": ""}
    elif tool == "write_file":
        arguments = {"path": path, "content": mark}
    elif tool == "grep":
        arguments = {"path": call.path} if call.path else {}
        arguments["pattern"] = mark
    else:
        arguments = {"command" if tool == "bash" else "payload": mark}
    last = next(reversed(arguments))
    given = orjson.dumps(arguments).decode()
    arguments[last] = tokens.padded(arguments[last], _room(given, arguments[last], call, tokens))
    return arguments


def _room(given: str, text: str, call: RecordedCall, tokens: FillerTokens) -> int:
    return call.argument_tokens - tokens.count(given) + tokens.count(text)


def result_of(call: RecordedCall, tokens: FillerTokens) -> str:
    """Its result, of the recorded size; one that failed says so in its first word."""
    mark = f"#{call.number}#"
    return tokens.padded(f"Error: {mark}" if call.failed else mark, call.result_tokens)


def number_in(tool: str, arguments: dict[str, Any]) -> int:
    """The number of the recorded call that a call of the agent's is.

    Raises:
        ValueError: it is none.
    """
    if tool == "read_file" and isinstance(arguments.get("offset"), int):
        return int(arguments["offset"])
    [number] = numbers_in(orjson.dumps(arguments).decode())
    return number


def numbers_in(text: str) -> list[int]:
    """The numbers of recorded calls whose marks stand in a text."""
    return [int(number) for number in _NUMBER.findall(text)]


def in_order(first: RecordedCall, second: RecordedCall) -> bool:
    """Whether the first must have ended before the second may begin.

    Written apart from batchwrap's own rule: a mistake in it would cancel out otherwise.
    """
    tools = {tool_of(first), tool_of(second)}
    if tools & {"bash", "other"}:
        return True
    if not tools & {"edit_file", "write_file"}:
        return False
    return "grep" in tools or (first.path or _UNNAMED) == (second.path or _UNNAMED)

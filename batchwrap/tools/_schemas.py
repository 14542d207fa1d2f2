"""The schemas of the file tools, and the check of a model's arguments."""

from __future__ import annotations

import json
from typing import Any

_PATH = {"type": "string", "description": "The file, relative to the root of the workspace."}


def _tool(
    name: str, description: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {"path": _PATH, **properties},
                "required": ["path", *required],
                "additionalProperties": False,
            },
        },
    }


SCHEMAS = [
    _tool(
        "read_file",
        "Read a text file: all of it, or a number of lines of a long one.",
        {
            "offset": {
                "type": "integer",
                "minimum": 1,
                "description": "The first line to read, counted from 1.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "description": "How many lines to read at most.",
            },
        },
        [],
    ),
    _tool(
        "edit_file",
        "Replace a piece of text in a file. The old text must be in the file exactly as given, "
        "and only once unless replace_all is set.",
        {
            "old_string": {
                "type": "string",
                "description": "The text to replace, copied from the file with its indentation.",
            },
            "new_string": {
                "type": "string",
                "description": "The text to put in its place.",
            },
            "replace_all": {
                "type": "boolean",
                "description": "Replace every occurrence. Default: false.",
            },
        },
        ["old_string", "new_string"],
    ),
    _tool(
        "write_file",
        "Write a whole file: a new one, or in the place of an old one. Missing folders are made.",
        {"content": {"type": "string", "description": "The whole text of the file."}},
        ["content"],
    ),
]

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}
_PARAMETERS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in SCHEMAS}


class ArgumentsError(ValueError):
    """A model sent arguments that do not fit the tool.

    Attributes:
        tool: the tool's name.
    """

    def __init__(self, tool: str, problem: str) -> None:
        super().__init__(f"{tool}: {problem}")
        self.tool = tool


def check(tool: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of one of the tools, if they fit its schema.

    An optional argument that is null counts as left out; many models send it so.

    Raises:
        ArgumentsError: they are no JSON object, or an argument is missing, unknown, or of the
            wrong type.
    """
    given = _decoded(tool, arguments) if isinstance(arguments, str) else arguments
    if not isinstance(given, dict):
        raise ArgumentsError(tool, "the arguments have to be a JSON object")
    properties, required = _PARAMETERS[tool]["properties"], _PARAMETERS[tool]["required"]
    given = {key: value for key, value in given.items() if value is not None or key in required}
    if unknown := sorted(set(given) - set(properties)):
        raise ArgumentsError(tool, f"there is no argument {', '.join(unknown)}")
    if missing := [key for key in required if key not in given]:
        raise ArgumentsError(tool, f"the argument {', '.join(missing)} is missing")
    for key, value in given.items():
        wanted = properties[key]["type"]
        # Not isinstance: True is an int.
        if type(value) is not _TYPES[wanted]:
            raise ArgumentsError(tool, f"the argument {key} has to be of type {wanted}")
    return given


def _decoded(tool: str, arguments: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise ArgumentsError(tool, f"the arguments are not valid JSON: {error}") from error

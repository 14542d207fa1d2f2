"""Recognises a call whose arguments an agent has tidied up before it ran it.

Claude Code adds a parameter's default to an edit (`"replace_all": false`), and removes blanks from
the ends of lines. Its history then holds another text, but the same call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.core.formats.calls import canonical_json
from batchwrap.core.parse import parsed, rendered


def defaults_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that a tool's schema states, by the names of its parameters."""
    known = parameters.get("properties")
    listed = known.items() if isinstance(known, dict) else ()
    return {
        name: schema["default"]
        for name, schema in listed
        if isinstance(schema, dict) and "default" in schema
    }


def is_same_call(recorded: str, made: str, defaults: Mapping[str, Any]) -> bool:
    """Whether two JSON arguments of one tool are the same call, tidied up or not.

    Args:
        recorded: as they stand in an agent's history.
        made: as they were handed out.
        defaults: the tool's.
    """
    return recorded == made or _tidied(recorded, defaults) == _tidied(made, defaults)


def _tidied(arguments: str, defaults: Mapping[str, Any]) -> str:
    try:
        tidy = _without_blanks({**defaults, **parsed(arguments)})
    except (TypeError, ValueError, RecursionError):  # no object, no JSON, or too deep
        return canonical_json(arguments)
    return canonical_json(rendered(tidy).decode())


def _without_blanks(value: Any) -> Any:
    """A value of JSON, with no blanks at the ends of lines in its texts."""
    if isinstance(value, str):
        return "\n".join(line.rstrip() for line in value.split("\n"))
    if isinstance(value, dict):
        return {key: _without_blanks(inner) for key, inner in value.items()}
    return [_without_blanks(one) for one in value] if isinstance(value, list) else value

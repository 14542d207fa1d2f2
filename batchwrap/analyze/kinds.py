"""What a recorded call does, and whether batchwrap recognises its tool by itself.

Logs rarely contain the tools' schemas. So a tool is recognised by its name and the shape of its
arguments, with the rules that batchwrap uses for real requests (`core.tools.find`). Other tools are
classified here: shells, editors with a `command`, patches. The user has to declare such a tool
before batchwrap batches it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from batchwrap.analyze import shell
from batchwrap.core.formats.format import ToolSpec
from batchwrap.core.tools.find import SingleTool, find, path_in, role_of, words_of
from batchwrap.options import Batching

_KIND = {"read": "read", "edit": "edit", "write": "write", "read_only": "search"}
_SHELLS = frozenset(
    ("bash", "cmd", "command", "exec", "execute", "powershell", "run", "shell", "sh", "terminal")
)
_COMMANDS = {"view": "read", "create": "write", "str_replace": "edit", "insert": "edit"}
# The commands of SWE-agent, which address lines by number or an open file.
_NAMED = {
    "open": "read",
    "create": "write",
    "edit": "edit",
    "insert": "edit",
    "find_file": "search",
    "search_dir": "search",
    "search_file": "search",
}
_SEVERAL = frozenset({"batch", "files", "many", "multi", "multiple"})
_PATCHED = re.compile(r"^\*\*\* (?:Add|Update|Delete) File: (.+)$", re.MULTILINE)
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
_SHAPES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "read": (("path", "string"),),
    "edit": (("path", "string"), ("old_string", "string"), ("new_string", "string")),
    "write": (("path", "string"), ("content", "string")),
    "search": (("path", "string"), ("pattern", "string")),
}


@dataclass(frozen=True, slots=True)
class Deed:
    """What a call does.

    Attributes:
        kind: as in `RecordedCall.kind`.
        path: the path that it names; None if it names none.
        own: whether batchwrap recognises the tool by itself.
    """

    kind: str
    path: str | None
    own: bool


def deed_of(name: str, arguments: object, tools: Mapping[str, SingleTool] | None = None) -> Deed:
    """What a call of a tool does.

    Args:
        name: the name of the tool.
        arguments: its arguments, parsed or as JSON text.
        tools: the recognised tools of the request, by name; None if the log does not contain
            the tools.
    """
    given = _parsed(arguments)
    single = _by_shape(name, _shape_of(given)) if tools is None else tools.get(name)
    if single is not None and single.kind in _KIND:
        path = given.get(single.path) if single.path else None
        return Deed(_KIND[single.kind], path if isinstance(path, str) else None, True)
    return _declared(name, given, arguments)


@lru_cache(maxsize=1_024)
def is_own(name: str, kind: str) -> bool:
    """Whether batchwrap recognises a tool of this name and kind by itself."""
    return kind in _SHAPES and _by_shape(name, _SHAPES[kind]) is not None


def is_batch(name: str) -> bool:
    """Whether a tool's name suggests that one call does several things."""
    return not _SEVERAL.isdisjoint(words_of(name))


def _declared(name: str, given: dict[str, Any], raw: object) -> Deed:
    words = words_of(name)
    command = given.get("command", given.get("cmd", given.get("script")))
    if isinstance(command, str) and command in _COMMANDS:
        return Deed(_COMMANDS[command], path_in(given), False)
    if not _SHELLS.isdisjoint(words) and isinstance(command, (str, list)):
        # A list is an argument vector such as `bash -lc COMMAND`, whose last part is the command.
        text = command if isinstance(command, str) else " ".join(map(str, command[-1:]))
        return Deed(*shell.kind_of(text), False)
    if "patch" in words:
        patch = raw if isinstance(raw, str) and not given else given.get("input", "")
        files = _PATCHED.findall(patch) if isinstance(patch, str) else []
        return Deed("multi_edit" if len(files) > 1 else "edit", files[0] if files else None, False)
    if is_batch(name) and "read" in words:
        return Deed("multi_read", None, False)
    return Deed(_NAMED.get(name, "other"), path_in(given) if name in _NAMED else None, False)


def _parsed(arguments: object) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return {}
    return arguments if isinstance(arguments, dict) else {}


def _shape_of(given: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _TYPES.get(type(value), "object")) for name, value in given.items())


@lru_cache(maxsize=4_096)
def _by_shape(name: str, shape: tuple[tuple[str, str], ...]) -> SingleTool | None:
    """The tool that batchwrap would recognise if its parameters were those of this call.

    None if it would recognise none.
    """
    properties = {parameter: {"type": kind} for parameter, kind in shape}
    # A call does not show which parameters are required. In known tools, those with a role are.
    required = [parameter for parameter, _ in shape if role_of(parameter) != "other"]
    schema = {"type": "object", "properties": properties, "required": required}
    found = find([ToolSpec(name, schema)], Batching())
    return found[0] if found else None

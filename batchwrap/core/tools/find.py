"""Finds the agent's tools that can be batched, by their names and parameters.

A tool that is wrongly taken for a read is a defect, and a missed one is not. So a tool counts only
if its name says what it does and the roles of its parameters confirm it. Tools that choose their
operation by a command, that work on a file opened before, or that address lines by number (which an
edit shifts) are not batched unless the user declares them.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from batchwrap.core.formats.format import ToolSpec
from batchwrap.options import Batching, Tool, ToolKind

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ROLES: dict[str, frozenset[str]] = {
    role: frozenset(names.split())
    for role, names in {
        "path": """absolute_path file file_name file_path filename filepath path relative_path
            target_file""",
        "folder": """dir dir_path directory directory_path folder folder_path
            relative_workspace_path search_directory search_path target_directory""",
        "old": "before old old_str old_string old_text snippet",
        "new": "after new new_str new_string new_text",
        "content": "code_content content contents file_content file_text text",
        "pattern": """file_pattern glob_pattern pattern query regex search_string search_term""",
        "patch": "code_edit diff patch",
        "edits": "edits replacement_chunks replacements",
        "command": "cmd command commands mode operation payload script",
        "position": "insert_line line line_number replace_begin_line_number",
        "state": "cell_id cell_idx cell_type is_new_cell last_modified notebook_path",
    }.items()
}
# A parameter with one of these words selects a part of a file or of the results.
_RANGE = frozenset({"offset", "limit", "line", "lines", "start", "end", "head", "tail", "range"})
# Parameters that are for the user to read, and do not change what the tool does.
_NOTES = frozenset({"explanation", "instruction", "instructions", "summary"})
_OBJECTS = frozenset(
    [
        "a",
        "code",
        "content",
        "contents",
        "file",
        "files",
        "in",
        "into",
        "source",
        "string",
        "text",
        "to",
    ]
)
_NAMES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    # kind: (verbs with which the name begins or ends, other words that it may contain)
    "read": (frozenset({"read", "view", "cat"}), _OBJECTS - {"files"}),
    "edit": (
        frozenset({"edit", "replace", "multiedit", "delete", "search", "apply"}),
        _OBJECTS | {"multi", "replace", "snippet", "edit", "str"},
    ),
    "write": (frozenset({"write", "create", "save"}), _OBJECTS - {"files"}),
    "list": (frozenset({"list", "ls", "directory"}), _OBJECTS | {"dir", "directory", "tree"}),
    "search": (
        frozenset({"grep", "glob", "search", "find", "file"}),
        _OBJECTS | {"by", "dir", "glob", "name", "search"},
    ),
}


@dataclass(frozen=True, slots=True)
class SingleTool:
    """One of the agent's tools that can be batched.

    Attributes:
        name: its name in the request.
        kind: what it does; ``"barrier"`` if that is unknown.
        path: the parameter that names what it reads or changes; None if there is none.
        parameters: its JSON schema, as the agent sent it.
        required: the names of its required parameters.
        description: the agent's description of it.
    """

    name: str
    kind: ToolKind | Literal["barrier"]
    path: str | None
    parameters: dict[str, Any]
    required: tuple[str, ...]
    description: str = ""


def find(tools: Sequence[ToolSpec], batching: Batching) -> list[SingleTool]:
    """The tools of a request that can be batched, in order.

    Tools with the same name are left out: it would be unclear which one an item means.
    """
    names = Counter(tool.name for tool in tools)
    found = (
        _single(tool, batching.tools.get(tool.name))
        for tool in tools
        if tool.name not in batching.exclude and names[tool.name] == 1
    )
    return [single for single in found if single is not None]


def barriers(tools: Sequence[ToolSpec], singles: Mapping[str, SingleTool]) -> dict[str, SingleTool]:
    """The tools of a request that cannot be batched, by name. Each is a barrier.

    Args:
        tools: the request's tools.
        singles: the tools that can be batched, by name.
    """
    names = Counter(tool.name for tool in tools)
    return {
        tool.name: SingleTool(tool.name, "barrier", None, *_takes(tool))
        for tool in tools
        if tool.name not in singles and names[tool.name] == 1
    }


def path_in(arguments: object) -> str | None:
    """The path in a call's arguments, found by parameter names; None if there is none."""
    for name, value in arguments.items() if isinstance(arguments, dict) else ():
        if isinstance(value, str) and role_of(name) in ("path", "folder"):
            return value
    return None


def _single(spec: ToolSpec, declared: Tool | ToolKind | None) -> SingleTool | None:
    """The tool as a single tool, if the user declares it or its shape is known; else None."""
    parameters = spec.parameters
    if declared is not None and isinstance(parameters, dict | None):
        # A declared tool may have no parameters, and then may have no schema.
        parameters = {"type": "object", "properties": {}, **(parameters or {})}
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(parameters, dict) or not isinstance(properties, dict):
        return None
    required = _required(parameters)
    shape = _Shape({name: role_of(name) for name in properties}, properties, required)
    name, told = spec.name, spec.description
    if declared is not None:
        tool = declared if isinstance(declared, Tool) else Tool(declared)
        return SingleTool(name, tool.kind, tool.path or shape.path, parameters, required, told)
    kind = next(
        (kind for kind, (fits, _) in _KINDS.items() if _is_named(name, kind) and fits(shape)), None
    )
    return (
        SingleTool(name, _KINDS[kind][1], shape.path, parameters, required, told) if kind else None
    )


def _required(parameters: dict[str, Any]) -> tuple[str, ...]:
    listed = parameters.get("required")
    return tuple(n for n in listed if isinstance(n, str)) if isinstance(listed, list) else ()


def _takes(spec: ToolSpec) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The schema of a tool's parameters, made valid if it is not, and the required ones."""
    parameters = spec.parameters if isinstance(spec.parameters, dict) else {}
    if not isinstance(parameters.get("properties"), dict):
        parameters = {**parameters, "type": "object", "properties": {}}
    return parameters, _required(parameters)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The parameters of a tool, with their roles."""

    roles: dict[str, str]
    properties: dict[str, Any]
    required: tuple[str, ...]

    @property
    def path(self) -> str | None:
        """The parameter that names what the tool reads or changes; None if there is none."""
        return next((n for n, role in self.roles.items() if role in ("path", "folder")), None)

    def takes(self, role: str, kind: str = "string") -> bool:
        """Whether exactly one parameter has the role, and it is required and has the type."""
        [*named] = (name for name, its in self.roles.items() if its == role)
        if len(named) != 1 or named[0] not in self.required:
            return False
        schema = self.properties[named[0]]
        return isinstance(schema, dict) and schema.get("type") == kind

    def has(self, *roles: str) -> bool:
        """Whether any parameter has one of the roles."""
        return not set(roles).isdisjoint(self.roles.values())

    def else_harmless(self, *roles: str) -> bool:
        """Whether all other required parameters are ranges, flags or explanations."""
        return all(
            self.roles[name] in (*roles, "range", "note") or _is_flag(self.properties[name])
            for name in self.required
            if name in self.roles
        )


def _is_read(shape: _Shape) -> bool:
    writes = shape.has("old", "new", "content", "edits", "patch", "position", "state")
    return shape.takes("path") and not writes and shape.else_harmless("path")


def _is_edit(shape: _Shape) -> bool:
    replaces = shape.takes("old") and shape.takes("new")
    edits = shape.takes("edits", "array") and not shape.has("old", "new")
    patches = shape.takes("patch") and not shape.has("old", "new")
    return (
        shape.takes("path")
        and (replaces or edits or patches)
        and not shape.has("content", "position", "state")
        and shape.else_harmless("path", "old", "new", "edits", "patch")
    )


def _is_write(shape: _Shape) -> bool:
    edits = shape.has("old", "new", "edits", "patch", "position", "state")
    whole = shape.takes("path") and shape.takes("content")
    return whole and not edits and shape.else_harmless("path", "content")


def _is_list(shape: _Shape) -> bool:
    return not shape.has(*_CHANGES) and shape.else_harmless("path", "folder")


def _is_search(shape: _Shape) -> bool:
    return shape.has("pattern") and not shape.has(*_CHANGES, "command")


_CHANGES = ("old", "new", "content", "edits", "patch", "position", "state")
# The test for the parameters of each kind; the first kind whose name and parameters fit counts.
_KINDS: dict[str, tuple[Callable[[_Shape], bool], ToolKind]] = {
    "read": (_is_read, "read"),
    "edit": (_is_edit, "edit"),
    "write": (_is_write, "write"),
    "list": (_is_list, "read_only"),
    "search": (_is_search, "read_only"),
}


def _is_named(name: str, kind: str) -> bool:
    """Whether a tool's name means a kind of tool and contains no other words."""
    verbs, others = _NAMES[kind]
    words = words_of(name)
    named = bool(words) and (words[0] in verbs or words[-1] in verbs)
    return named and (verbs | others).issuperset(words)


@functools.lru_cache(maxsize=4_096)
def role_of(name: str) -> str:
    """The role of a parameter, by its name: ``"path"``, ``"old"``, …, ``"other"`` if unknown."""
    words = words_of(name)
    joined = "_".join(words)
    role = next((role for role, names in _ROLES.items() if joined in names), None)
    if role is not None:
        return role
    if not _RANGE.isdisjoint(words):
        return "range"
    return "note" if not _NOTES.isdisjoint(words) else "other"


def _is_flag(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "boolean"


def words_of(name: str) -> list[str]:
    """The words of a name in snake case, camel case or with dashes, in lower case."""
    return [word.lower() for word in _WORD.findall(name)]

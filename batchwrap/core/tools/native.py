"""Finds native multi-tools: tools of the agent that do for several files what another does for one.

They are not offered again as multi-tools. Instead, parallel single calls of the model are merged
into a call of them (`moves/gather`). A tool counts only if its name is that of the single tool
apart from words such as "many" or "files", it requires nothing but one list, and the items of that
list take the single call's arguments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batchwrap.core.formats.format import ToolSpec
from batchwrap.core.tools.find import SingleTool, role_of, words_of
from batchwrap.core.tools.items import as_text
from batchwrap.core.tools.schema import fits, required_in, resolved, types_of
from batchwrap.options import Batching

_SEVERAL = frozenset({"batch", "bulk", "files", "many", "multi", "multiple"})
_ONE = frozenset({"file", "text"})
_HARMLESS = ("note", "other", "range")  # roles that optional parameters besides the list may have
_GLOBS = re.compile(r"\b(globs?|patterns?|wildcards?)\b", re.IGNORECASE)
_NESTED = frozenset({"array", "object"})


@dataclass(frozen=True, slots=True)
class Native:
    """A native multi-tool of the agent.

    Attributes:
        name: its name in the request.
        key: the parameter that lists the items.
        single: the single tool that it corresponds to.
        most: the largest number of items in one call.
        properties: the JSON schemas of the arguments that an item may have, by name; None if an
            item is only the path.
        required: the names of the arguments that a single call must have to become an item.
    """

    name: str
    key: str
    single: SingleTool
    most: int
    properties: Mapping[str, Any] | None
    required: frozenset[str]

    def item(self, arguments: str) -> str | None:
        """The item for a single call's arguments, as JSON text; None if they do not fit."""
        try:
            given = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(given, dict) or not self.required <= given.keys():
            return None
        path = given.get(self.single.path)
        if not isinstance(path, str) or not path:
            return None
        if self.properties is None:
            return as_text(path) if len(given) == 1 else None
        schemas = self.properties
        fitting = all(name in schemas and fits(given[name], schemas[name]) for name in given)
        return arguments.strip() if fitting else None


def natives(
    tools: Sequence[ToolSpec], singles: Mapping[str, SingleTool], batching: Batching
) -> dict[str, Native]:
    """The native multi-tools of a request, by the name of their single tool.

    If several fit one single tool, the first counts.

    Args:
        tools: the request's tools.
        singles: its single tools, by name.
        batching: the tools that the user excludes or declares. With `approvals` only reads are
            merged, since a person is asked about each edit.
    """
    names = Counter(tool.name for tool in tools)
    left_alone = {*batching.exclude, *batching.tools}
    kinds = ("read",) if batching.approvals else ("read", "edit", "write")
    found: dict[str, Native] = {}
    for tool in tools:
        if tool.name in left_alone or names[tool.name] > 1:
            continue
        for single in singles.values():
            native = _pair(tool, single, batching) if single.kind in kinds else None
            if native is not None:
                found.setdefault(single.name, native)
    return found


def _pair(tool: ToolSpec, single: SingleTool, batching: Batching) -> Native | None:
    """The native multi-tool, if a tool is the one for a single tool; otherwise None."""
    listed = _list_of(tool) if _says_several(tool.name, single.name) else None
    if listed is None:
        return None
    key, schema = listed
    most = _most(schema, batching)
    if most < 2:
        return None
    items = resolved(schema.get("items"), tool.parameters)
    properties, required = None, frozenset(single.required)
    if types_of(items) == {"string"}:
        # The texts must be paths: a list of patterns or of fixed values is something else.
        told = f"{tool.description} {schema}"
        if _GLOBS.search(told) or "enum" in items or not _lists_paths(key, single):
            return None
    else:
        properties, required = _covered(items, single), required | required_in(items)
        if single.path not in properties or not required <= properties.keys():
            return None
    return Native(tool.name, key, single, most, properties, required)


def _says_several(name: str, single_name: str) -> bool:
    """Whether a name is that of a single tool with a word for several."""
    stem = _stem(name)
    return bool(stem) and stem == _stem(single_name) and not _SEVERAL.isdisjoint(words_of(name))


def _stem(name: str) -> list[str]:
    """The words of a tool's name without those for one or several."""
    return [word for word in words_of(name) if word not in _SEVERAL | _ONE]


def _list_of(tool: ToolSpec) -> tuple[str, dict[str, Any]] | None:
    """The name and schema of the list, if it is a tool's only list and only required parameter.

    None otherwise, and None if another parameter is the path: the list then holds parts of one
    file.
    """
    parameters = tool.parameters
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(properties, dict):
        return None
    lists = [name for name, schema in properties.items() if "array" in types_of(schema)]
    if len(lists) != 1 or required_in(parameters) != {lists[0]}:
        return None
    if any(role_of(name) not in _HARMLESS for name in properties if name != lists[0]):
        return None
    schema = properties[lists[0]]
    return (lists[0], schema) if types_of(schema) == {"array"} else None


def _lists_paths(key: str, single: SingleTool) -> bool:
    """Whether a list of texts holds paths, and a path is all that the single tool requires."""
    plural = key.endswith("s") and role_of(key[:-1]) == "path"
    path = single.path
    return plural and path is not None and role_of(path) == "path" and single.required == (path,)


def _most(schema: dict[str, Any], batching: Batching) -> int:
    """The largest number of items of a list, within the user's limit; 0 if two items do not fit."""
    least, most = schema.get("minItems", 0), schema.get("maxItems", batching.max_items)
    if not isinstance(least, int) or not isinstance(most, int) or least > 2:
        return 0
    return min(most, batching.max_items)


def _covered(items: dict[str, Any], single: SingleTool) -> dict[str, Any]:
    """The schemas of the arguments that items and single calls have in common, by name."""
    own, theirs = single.parameters.get("properties"), items.get("properties")
    if not isinstance(own, dict) or not isinstance(theirs, dict):
        return {}
    return {
        name: schema
        for name, schema in theirs.items()
        if name in own and (_NESTED.isdisjoint(types_of(schema)) or schema == own[name])
    }

"""Native multi-tools: the agent's own tools that do for several files what another does for one.

They are never wrapped: they are what the model's parallel single calls become. Right or not
at all: a tool counts only if its name says the same as the single tool's but for words for
several, a list is all that it needs, and the list's items take the single call's arguments.
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
_HARMLESS = ("note", "other", "range")  # roles of optional parameters beside the list
_GLOBS = re.compile(r"\b(globs?|patterns?|wildcards?)\b", re.IGNORECASE)
_NESTED = frozenset({"array", "object"})


@dataclass(frozen=True, slots=True)
class Native:
    """The agent's own multi-tool that does for several what a single tool does for one.

    Attributes:
        name: its name in the request.
        key: its parameter that lists the items.
        single: the single tool.
        most: most items in one call.
        properties: JSON schemas of the arguments that an item can have, by name; None where
            an item is the path itself.
        required: names of the arguments that a single call must have to become an item.
    """

    name: str
    key: str
    single: SingleTool
    most: int
    properties: Mapping[str, Any] | None
    required: frozenset[str]

    def item(self, arguments: str) -> str | None:
        """The item, as JSON, for the arguments of a single call; None if they do not fit."""
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
    """The native multi-tool of each single tool that has one, by the single tool's name.

    Right or not at all: the names must say the same but for words like "many" or "files",
    and the items must take the single call's own arguments. Of several, the first counts.

    Args:
        tools: the request's tools.
        singles: its single tools, by name.
        batching: what the user excludes or declares. With `approvals` only reads are
            merged: a person is asked about each edit.
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
    """The native multi-tool of a single tool, if another one is that."""
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
        told = f"{tool.description} {schema}"
        if _GLOBS.search(told) or "enum" in items or not _lists_paths(key, single):
            return None
    else:
        properties, required = _covered(items, single), required | required_in(items)
        if single.path not in properties or not required <= properties.keys():
            return None
    return Native(tool.name, key, single, most, properties, required)


def _says_several(name: str, single_name: str) -> bool:
    """Whether a name says the same as a single tool's, and that it is for several."""
    stem = _stem(name)
    return bool(stem) and stem == _stem(single_name) and not _SEVERAL.isdisjoint(words_of(name))


def _stem(name: str) -> list[str]:
    """What a tool's name says, but for one or several."""
    return [word for word in words_of(name) if word not in _SEVERAL | _ONE]


def _list_of(tool: ToolSpec) -> tuple[str, dict[str, Any]] | None:
    """Name and schema of the list, where it is all that a tool needs, and its only list.

    A parameter of its own for the path would mean that the list holds parts of one file.
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
    """Whether a list of texts holds the paths that are all the single tool needs."""
    plural = key.endswith("s") and role_of(key[:-1]) == "path"
    path = single.path
    return plural and path is not None and role_of(path) == "path" and single.required == (path,)


def _most(schema: dict[str, Any], batching: Batching) -> int:
    """Most items in a list, no more than a batch of ours would have; 0 where two do not fit."""
    least, most = schema.get("minItems", 0), schema.get("maxItems", batching.max_items)
    if not isinstance(least, int) or not isinstance(most, int) or least > 2:
        return 0
    return min(most, batching.max_items)


def _covered(items: dict[str, Any], single: SingleTool) -> dict[str, Any]:
    """The arguments that items and single calls have in common."""
    own, theirs = single.parameters.get("properties"), items.get("properties")
    if not isinstance(own, dict) or not isinstance(theirs, dict):
        return {}
    return {
        name: schema
        for name, schema in theirs.items()
        if name in own and (_NESTED.isdisjoint(types_of(schema)) or schema == own[name])
    }

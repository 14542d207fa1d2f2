"""A grammar of distortions: how models write a list of calls, other than they were asked to.

`render` writes the same calls in a form that is drawn: the list under another key, nested,
flattened, as JSON in a text; parameters under an alias; fields that all calls share outside of
the list; edits grouped by file; numbers in texts. No rendering loses anything, so each either
comes back as exactly these calls, or has a second reading and comes back as none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

Call = tuple[str, dict[str, Any]]

ALIASES: dict[str, tuple[str, ...]] = {
    "path": ("file_path", "filePath", "filename", "file", "target_file"),
    "old_string": ("old_str", "oldText", "old", "search", "original"),
    "new_string": ("new_str", "newText", "new", "replace", "replacement"),
    "content": ("contents", "text", "file_content", "body"),
    "pattern": ("query", "regex", "search_term"),
    "command": ("cmd", "commandLine"),
}
LISTS = {
    "read_file": ("files", "paths", "reads", "items", "requests", "file_paths"),
    "edit_file": ("edits", "files", "changes", "operations", "items"),
    "write_file": ("files", "writes", "items", "documents"),
    "grep": ("calls", "searches", "patterns", "queries", "files"),
    "run": ("calls", "commands", "items"),
}
MIXED_LISTS = ("calls", "tool_calls", "tool_uses", "invocations", "tools", "operations", "batch")
TOOL_KEYS = ("tool", "name", "tool_name", "recipient_name", "function", "toolName")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "params")
MULTIS = {"read_file": "multi_read", "edit_file": "multi_edit", "write_file": "multi_write"}
REQUIRED = {
    "read_file": ("path",),
    "edit_file": ("path", "old_string", "new_string"),
    "write_file": ("path", "content"),
    "grep": ("pattern",),
    "run": ("command",),
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A multi-call as a model may write it.

    Attributes:
        name: of the multi-tool.
        value: its arguments.
        distortions: what was done to them.
    """

    name: str
    value: Any
    distortions: tuple[str, ...]


class Renderer:
    """Draws renderings of calls.

    Args:
        draw: makes the choices.
        rate: how likely each distortion is.
    """

    def __init__(self, draw: random.Random, rate: float = 0.25) -> None:
        self._draw = draw
        self._rate = rate
        self._done: list[str] = []

    def render(self, calls: Sequence[Call]) -> Rendered:
        """The calls as a multi-call: of one kind where they are, else a batch."""
        self._done = []
        tools = {tool for tool, _ in calls}
        if len(tools) > 1 or self._flips("as a batch"):
            name, value = "batch", self._mixed(calls)
        else:
            [tool] = tools
            name = MULTIS.get(tool, f"multi_{tool}")
            value = self._of_one_tool(tool, [given for _, given in calls])
        return Rendered(name, value, tuple(dict.fromkeys(self._done)))

    def _flips(self, distortion: str) -> bool:
        flips = self._draw.random() < self._rate
        if flips:
            self._done.append(distortion)
        return flips

    def _of_one_tool(self, tool: str, given: list[dict[str, Any]]) -> Any:
        names = self._names(tool)
        if tool == "edit_file" and self._flips("edits grouped by file"):
            return self._listed(self._grouped(given, names), tool, {})
        shared = self._shared(given)
        own = [{k: one for k, one in item.items() if k not in shared} for item in given]
        if not all(own):
            own, shared = given, {}
        items = [self._item(tool, item, names, shared) for item in own]
        return self._listed(items, tool, {names.get(k, k): one for k, one in shared.items()})

    def _names(self, tool: str) -> dict[str, str]:
        """Other names for some of a tool's parameters."""
        names: dict[str, str] = {}
        for name in REQUIRED[tool]:
            if self._flips("a parameter renamed"):
                names[name] = self._draw.choice(ALIASES[name])
        return names

    def _shared(self, given: list[dict[str, Any]]) -> dict[str, Any]:
        """Fields that all calls have in common, to stand outside of the list."""
        first = given[0]
        common = [k for k in first if all(k in one and one[k] == first[k] for one in given)]
        if len(given) < 2 or not common or not self._flips("a shared field lifted"):
            return {}
        name = self._draw.choice(common)
        return {name: first[name]}

    def _item(
        self, tool: str, own: dict[str, Any], names: dict[str, str], shared: dict[str, Any]
    ) -> Any:
        needed = [name for name in REQUIRED[tool] if name not in shared]
        if len(needed) == 1 and own.keys() == {needed[0]} and self._flips("a text for an object"):
            return own[needed[0]]
        item = {names.get(key, key): self._number(one) for key, one in own.items()}
        if self._flips("an item as JSON in a text"):
            return json.dumps(item)
        return {tool: item} if self._flips("a tool's name around an item") else item

    def _number(self, value: Any) -> Any:
        number = type(value) is int and self._flips("a number in a text")
        return str(value) if number else value

    def _grouped(self, given: list[dict[str, Any]], names: dict[str, str]) -> list[Any]:
        """Edits under the file that they belong to."""
        path = names.get("path", "path")
        return [
            {
                path: file,
                self._draw.choice(["edits", "changes", "replacements"]): [
                    {names.get(k, k): one for k, one in item.items() if k != "path"}
                    for item in items
                ],
            }
            for file, items in groupby(given, lambda item: item["path"])
        ]

    def _listed(self, items: list[Any], tool: str, shared: dict[str, Any]) -> Any:
        key = self._draw.choice(LISTS[tool])
        return self._wrapped(items, key, shared)

    def _wrapped(self, items: list[Any], key: str, shared: dict[str, Any]) -> Any:
        listed: Any = items
        if len(items) == 1 and isinstance(items[0], dict) and self._flips("an object for a list"):
            listed = items[0]
        elif self._flips("the list as JSON in a text"):
            listed = json.dumps(items)
        if not shared and not isinstance(listed, str) and self._flips("no wrapper"):
            value = listed
        elif self._draw.random() < 0.5:
            value = {**shared, key: listed}
        else:
            value = {key: listed, **shared}
        if self._flips("wrapped once more"):
            value = {self._draw.choice([key, "input", "arguments"]): value}
        return json.dumps(value) if self._flips("all as JSON in a text") else value

    def _mixed(self, calls: Sequence[Call]) -> Any:
        items = [self._call(tool, given) for tool, given in calls]
        return self._wrapped(items, self._draw.choice(MIXED_LISTS), {})

    def _call(self, tool: str, given: dict[str, Any]) -> Any:
        names = self._names(tool)
        own = {names.get(key, key): self._number(one) for key, one in given.items()}
        if self._flips("a tool's name as key"):
            return {tool: own}
        if self._flips("a multi-tool in a batch"):
            return {"tool": MULTIS.get(tool, f"multi_{tool}"), "arguments": {"files": [own]}}
        name, key = self._draw.choice(TOOL_KEYS), self._draw.choice(ARGUMENT_KEYS)
        called = f"functions.{tool}" if self._flips("a namespace before a name") else tool
        if self._flips("flat"):
            return {name: called, **own}
        arguments = json.dumps(own) if self._flips("arguments as JSON in a text") else own
        if self._flips("as the API has it"):
            return {"id": "c", "type": "function", "function": {"name": called, key: arguments}}
        return {name: called, key: arguments}

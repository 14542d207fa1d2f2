"""Offer: adds multi-tools to a request, as a pure function of the agent's own tools.

The same tools always give the same bytes, so the provider's prompt cache stays valid. Schemas cost
tokens in every request, so items have only names and types: the descriptions stand at the single
tool, which is in the request as well.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import orjson

from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format, ToolSpec
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import MultiTool
from batchwrap.core.tools.schema import sample
from batchwrap.core.tools.script_tool import OFFERED

_ONE_TOOL = re.compile(
    r"\b(one|a single|only one) (tool|function)( call)?s?( use)? (at a time|per (message|turn|step|"
    r"response))\b|\bone tool (at a time )?per (message|turn)\b",
    re.IGNORECASE,
)
_EXAMPLE = ". E.g. {"
# If two layers of batchwrap handle a request, the second one recognises by this text what the
# first has offered: the description of the first multi-tool always has it.
_LIMITS = f". Not for dependent calls{_EXAMPLE}"
# What is not repeated in items. The agent's tool checks the bounds of a number or a text.
_NOTES = (
    *("description", "title", "examples", "default", "$comment", "$schema"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
)
_NESTED = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
_NESTED_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NESTED_MAPS = ("properties", "$defs", "definitions", "patternProperties")


def offer(
    body: Body,
    api: Format,
    runs: Mapping[str, Mapping[str, SingleTool]],
    made: Sequence[Any],
    hidden: Set[str] = frozenset(),
) -> Body:
    """A copy of the request with the multi-tools after the agent's own tools.

    Args:
        body: the request.
        api: its format.
        runs: the tools that each multi-tool runs, by the multi-tool's name.
        made: the definitions of the multi-tools.
        hidden: the names of the agent's tools to leave out, unless the request forces one.
    """
    return api.with_tools(body, made, hidden, runs)


def hidden_by(multis: Sequence[MultiTool]) -> set[str]:
    """Names of the tools that are left out where the multi-tools are offered instead of them."""
    return {name for multi in multis if not multi.is_mixed for name in multi.tools}


def is_offered(body: Body, api: Format) -> bool:
    """Whether a request already has batchwrap's tools, because another layer added them."""
    told = (tool.description for tool in api.tools(api.tool_items(body)))
    return any(_LIMITS in one or one.startswith(OFFERED) for one in told)


def wants_one_tool(entries: Sequence[Entry]) -> bool:
    """Whether the system prompt asks for one tool call at a time."""
    system = (entry for entry in entries if entry.role == "system")
    return any(_asks_for_one_tool(text) for entry in system for text in entry.texts())


@functools.lru_cache(maxsize=32)  # prompts are long, and each request repeats the same one
def _asks_for_one_tool(text: str) -> bool:
    return _ONE_TOOL.search(text) is not None


@dataclass(frozen=True, slots=True)
class Form:
    """How multi-tools are defined.

    Attributes:
        instead: whether the single tools are left out, so that items need the full descriptions.
        most: the number of items that a batch may have.
        stops: whether a sequence of commands ends at the first failure.
    """

    instead: bool
    most: int
    stops: bool


def definitions(multis: Sequence[MultiTool], form: Form) -> list[ToolSpec]:
    """The definitions of the multi-tools."""
    return [_definition(multi, form, is_first=multi is multis[0]) for multi in multis]


def _definition(multi: MultiTool, form: Form, *, is_first: bool) -> ToolSpec:
    """The definition of one multi-tool; definitions for references move to its top level."""
    full, own = form.instead, multi.single.parameters
    items = _mixed_item(multi) if multi.is_mixed else dict(own) if full else _slim(own)
    shared = {key: items.pop(key) for key in ("$defs", "definitions") if key in items}
    stops = form.stops and multi.single.kind == "sequential"
    listed = {
        "type": "array",
        "description": _order(multi, stops=stops),
        "items": items,
        "maxItems": form.most,
    }
    told = f"{multi.single.description}\n" if full and not multi.is_mixed else ""
    parameters = {
        "type": "object",
        "properties": {multi.key: listed},
        "required": [multi.key],
        **shared,
    }
    described = told + _description(multi, is_first=is_first)
    return ToolSpec(multi.name, parameters, described)


def _order(multi: MultiTool, *, stops: bool) -> str:
    """The description of the list of items. Some chat templates refuse a parameter without one."""
    if multi.single.kind == "read" and not multi.is_mixed:
        return "In any order"
    return "In order, up to the first that fails" if stops else "In order"


def _description(multi: MultiTool, *, is_first: bool) -> str:
    """What a multi-tool does, why and when to use it, and an example.

    Only the first multi-tool of a request gives the reason, which is the same for all. It names
    the exception as well, which `batch` repeats: its calls could be mistaken for steps.
    """
    paths = ("a.py", "b.py") if multi.is_mixed or len(multi.single.required) < 2 else ("a.py",)
    of = "Calls of several tools" if multi.is_mixed else f"Several {multi.single.name} calls"
    cost = "; each trip resends the whole conversation" if is_first else ""
    limits = _LIMITS if is_first or multi.is_mixed else _EXAMPLE
    return f"{of} in one round trip{cost}{limits}{example(multi, paths).removeprefix('{')}"


def example(multi: MultiTool, paths: Sequence[str]) -> str:
    """Sample arguments of a multi-call for these paths, as JSON; other texts are "…"."""
    first, *others = multi.tools.values()
    short = [min(others, key=lambda tool: len(tool.required))] if others else []
    items: list[Any] = []
    # The tool with the fewest required parameters keeps the example short.
    for path, tool in zip(paths, cycle([first, *short])):
        names = tool.required or tuple(tool.parameters["properties"])[:1]
        named = tool.path or next(iter(names), None)
        known = tool.parameters["properties"]
        item = {
            name: path if name == named else sample(known.get(name), tool.parameters)
            for name in names
        }
        items.append({"tool": tool.name, "arguments": item} if multi.is_mixed else item)
    return orjson.dumps({multi.key: items}).decode()


def _mixed_item(multi: MultiTool) -> dict[str, Any]:
    # The parameters are in the definitions of the single tools: repeating them would cost tokens in
    # every request.
    return {
        "type": "object",
        "properties": {
            "tool": {"type": "string", "enum": list(multi.tools)},
            "arguments": {"type": "object"},
        },
        "required": ["tool", "arguments"],
    }


def _slim(schema: Any) -> Any:
    """A JSON schema without descriptions, bounds and notes. Properties with such names stay."""
    if not isinstance(schema, dict):
        return schema
    slim: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "additionalProperties" and value is False:
            continue  # the single tool's own schema says so
        if key in _NESTED:
            slim[key] = _slim(value)
        elif key in _NESTED_LISTS and isinstance(value, list):
            slim[key] = [_slim(part) for part in value]
        elif key in _NESTED_MAPS and isinstance(value, dict):
            slim[key] = {name: _slim(part) for name, part in value.items()}
        elif key not in _NOTES:
            slim[key] = value
    return slim

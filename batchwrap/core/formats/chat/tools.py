"""Reads the tools of a chat completions request, and adds tools to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import ToolSpec


def read_tools(listed: object) -> list[ToolSpec]:
    """The functions among a request's tools."""
    return [
        ToolSpec(
            function["name"], function.get("parameters"), str(function.get("description") or "")
        )
        for function in chat.function_tools(listed)
    ]


def definition(tool: ToolSpec) -> chat.Body:
    """A function in the form in which requests list it."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def with_tools(
    body: chat.Body,
    added: Sequence[Any],
    hidden: Set[str],
    runs: Mapping[str, Iterable[str]],
) -> chat.Body:
    """A copy of the request with more tools after the agent's own (`Format.with_tools`)."""
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else None
    # A tool choice that names tools is refused if one of them is missing, so all of them stay.
    forced = kind in ("function", "allowed_tools")
    own = body["tools"]
    if hidden and not forced:
        own = [tool for tool in own if hidden.isdisjoint(_names(tool))]
    offered = {**body, "tools": [*own, *added]}
    if isinstance(choice, dict) and kind == "allowed_tools":
        offered["tool_choice"] = _allow(choice, runs)
    return offered


def _names(tool: object) -> list[str]:
    return [function["name"] for function in chat.function_tools([tool])]


def _allow(choice: chat.Body, runs: Mapping[str, Iterable[str]]) -> chat.Body:
    """An `allowed_tools` choice that also allows the new tools that run only allowed tools."""
    allowed = choice.get("allowed_tools")
    if not isinstance(allowed, dict) or not isinstance(allowed.get("tools"), list):
        return choice
    names = {function["name"] for function in chat.function_tools(allowed["tools"])}
    added = [
        {"type": "function", "function": {"name": name}}
        for name, run in runs.items()
        if names.issuperset(run)
    ]
    return {**choice, "allowed_tools": {**allowed, "tools": [*allowed["tools"], *added]}}

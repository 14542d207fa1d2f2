"""The tool with which a model runs a program: its name, what it offers, and how it is described.

Its description is all that a model learns of scripts: the signatures of the agent's tools, and one
example made of them. It is a pure function of the agent's tools, as all that is offered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.format import ToolSpec
from batchwrap.core.parse import parsed
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.schema import sample
from batchwrap.core.tools.script_functions import ScriptFunction, functions_of
from batchwrap.options import Scripts

_NAMES = ("run_script", "run_tool_script", "batchwrap_run_script")
_KEY = "code"
_MOST_SHOWN = 60  # characters of a value in a program of a reminder
# Where models put a program that is asked for as `code`.
_ALIASES = (_KEY, "script", "program", "python", "source")
# A layer of ours in front of another one knows by it that scripts are offered already.
OFFERED = "Runs a short Python program that calls your tools; only what it prints comes back."
_TOLD = (
    " For calls that depend on each other (search, read the hits, edit them): one round trip in"
    " place of many. Tools are async functions that return their result as text (str), or raise"
    " ToolError; asyncio.gather runs several at once. There are re, json, math, collections,"
    " itertools, datetime; no files, no network.\n"
)


@dataclass(frozen=True, slots=True)
class ScriptTool:
    """The tool that runs a program.

    Attributes:
        name: its name; never one that the agent uses itself.
        functions: what a program may call, by the names in it.
        limits: how much it may use.
    """

    name: str
    functions: Mapping[str, ScriptFunction]
    limits: Scripts

    @property
    def definition(self) -> ToolSpec:
        """The tool as a request lists it, in whatever API."""
        signatures = "\n".join(one.signature for one in self.functions.values())
        parameters = {
            "type": "object",
            "properties": {_KEY: {"type": "string", "description": "Python"}},
            "required": [_KEY],
        }
        told = f"{OFFERED}{_TOLD}{signatures}\nE.g.\n{_example(list(self.functions.values()))}"
        return ToolSpec(self.name, parameters, told)

    def program(self, calls: Sequence[Call]) -> str:
        """The beginning of a program that makes some calls; long texts in it are left out."""
        by_tool = {one.tool.name: one for one in self.functions.values()}
        lines = [
            f"r{place} = await {function.name}({_named(function, call.arguments)})"
            for place, call in enumerate(calls, start=1)
            if (function := by_tool.get(call.name)) is not None
        ]
        return "\n".join(lines)


def script_tool(
    singles: Mapping[str, SingleTool],
    others: Mapping[str, SingleTool],
    taken: set[str],
    limits: Scripts | None,
) -> ScriptTool | None:
    """The tool that runs programs over an agent's tools; None where there is nothing to run.

    Args:
        singles: the tools that can be batched, by name.
        others: the agent's other tools, by name; those that `Scripts.tools` names are offered, too.
        taken: names that the agent uses itself.
        limits: what the user allows; None: no scripts.
    """
    name = next((one for one in _NAMES if one not in taken), None)
    if limits is None or name is None:
        return None
    named = [others[one] for one in limits.tools or () if one in others]
    functions = functions_of([*singles.values(), *named])
    return ScriptTool(name, functions, limits) if functions else None


def code_of(arguments: str) -> str | None:
    """The program that a call runs; None where its arguments hold none."""
    try:
        value = parsed(arguments)
    except ValueError:
        return None
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return None
    known = [value[one] for one in _ALIASES if isinstance(value.get(one), str)]
    texts = known[:1] or [one for one in value.values() if isinstance(one, str)]
    return texts[0] if len(texts) == 1 else None


def arguments_of(code: str) -> str:
    """The arguments of the call that runs a program."""
    return json.dumps({_KEY: code}, ensure_ascii=False, separators=(",", ":"))


def _example(functions: Sequence[ScriptFunction]) -> str:
    """A program that calls the agent's own tools: read several files, change some, tell of it."""
    read = next((one for one in functions if one.tool.kind == "read"), None)
    change = next((one for one in functions if one.tool.kind in ("edit", "write")), None)
    if read is None:
        return f"print(await {_call(functions[0], None)})"
    lines = [
        'paths = ["a.py", "b.py"]',
        f"texts = await asyncio.gather(*[{_call(read, 'path')} for path in paths])",
        "for path, text in zip(paths, texts):",
        '    if "TODO" in text:',
        f"        await {_call(change, 'path')}" if change else "        print(path)",
        '        print("changed", path)' if change else "",
    ]
    return "\n".join(line for line in lines if line)


def _call(function: ScriptFunction, path: str | None) -> str:
    """A call of a tool with its required parameters; its path is a variable."""
    tool = function.tool
    given = [
        f"{one.python}={path}"
        if path and one.name == tool.path
        else f"{one.python}={_literal(sample(one.schema, tool.parameters))}"
        for one in function.parameters
        if one.is_required or (path and one.name == tool.path)
    ]
    return f"{function.name}({', '.join(given)})"


def _named(function: ScriptFunction, arguments: str) -> str:
    """The arguments of a call as a program writes them."""
    try:
        given = parsed(arguments)
    except ValueError:
        return "…"
    names = {one.name: one.python for one in function.parameters}
    pairs = given.items() if isinstance(given, dict) else ()
    return ", ".join(f"{names[key]}={_shown(value)}" for key, value in pairs if key in names)


def _shown(value: Any) -> str:
    """A value of a call; a long one is left out."""
    text = _literal(value)
    return text if len(text) <= _MOST_SHOWN else '"…"'


def _literal(value: Any) -> str:
    """A value as a program has it; texts in double quotes, as models write them."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

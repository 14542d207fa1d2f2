"""Writes the texts of reminders, with the names of the request's own tools.

A directive is a template with placeholders for tools (`batchwrap.directives`). It is given only if
the request has a tool for each of its placeholders.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson

from batchwrap.core.formats.format import ToolSpec
from batchwrap.core.reminders.turns import Single, spelled_out
from batchwrap.core.tools.multi import MultiTool
from batchwrap.directives import Directive

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Tools that write a to-do list: TodoWrite, todowrite, update_todo_list, write_todos.
_TODO = re.compile(r"(?i)^(?!.*(?:read|get)).*todo")
# Placeholders whose values are known only when the reminder is given, by kind of directive.
_LATER = {"lapse": ("tool", "multi", "call", "left"), "script": ("program",)}


@dataclass(frozen=True, slots=True, repr=False)
class Ready:
    """A directive with the names of one conversation's tools.

    Attributes:
        directive: the directive.
        text: its text; for a lapse, still with placeholders for the calls.
        is_opposed: whether the system prompt contradicts it.
    """

    directive: Directive
    text: str
    is_opposed: bool = False


def names_of(
    tools: Sequence[ToolSpec],
    multis: Collection[MultiTool],
    hidden: Collection[str] = (),
    *,
    parallel: bool = True,
    script: str | None = None,
) -> dict[str, str]:
    """The values of the placeholders in directives.

    Args:
        tools: the tools of the request, as the agent sent them.
        multis: the multi-tools on offer.
        hidden: the names of tools that the model is not shown.
        parallel: whether the model may make several calls in one answer. If not, a to-do list can
            be called along with other tools only if a multi-tool runs it.
        script: the name of the tool that runs programs; None if it is not offered.
    """
    # In order of the names, not of the request: if an agent sends its tools in another order, that
    # must not change the text of earlier reminders, which are in the cached prefix of the prompt.
    # Reads first: a model of 1.5 billion parameters often takes the first that it is told.
    multis = sorted(multis, key=_rank)
    own = sorted(tool.name for tool in tools)
    names = {name: name for name in own if name not in hidden}
    roles: dict[str, str] = {}
    for multi in multis:
        for tool in multi.tools.values():
            if tool.name in names:
                roles.setdefault("todo" if tool.kind == "bookkeeping" else tool.kind, tool.name)
        roles.setdefault("batch" if multi.is_mixed else f"multi_{multi.single.kind}", multi.name)
    for name in names if parallel else ():
        if _TODO.search(name):
            roles.setdefault("todo", name)
    if script is not None:
        roles["script"] = script
    if multis:
        roles["multi_tools"] = ", ".join(_use(multi, hidden) for multi in multis)
    return {**names, **roles}


def _rank(multi: MultiTool) -> tuple[bool, bool, str]:
    return multi.is_mixed, multi.single.kind != "read", multi.name


def _use(multi: MultiTool, hidden: Collection[str]) -> str:
    """How a reminder names a multi-tool, with the single tool that the model sees."""
    if multi.is_mixed:
        return f"{multi.name} for calls of different tools"
    name = multi.single.name
    return multi.name if name in hidden else f"{multi.name} for all {name} calls"


def prepare(
    directives: Sequence[Directive],
    names: Mapping[str, str],
    *,
    model: str = "",
    off: Collection[str] = (),
    system: Sequence[str] = (),
) -> tuple[Ready, ...]:
    """The directives that may be given in a conversation.

    Args:
        directives: the user's directives.
        names: the values of placeholders; a directive with any other placeholder is left out.
        model: the model's name.
        off: ids of directives that have switched themselves off, because models ignored them.
        system: the texts of the system prompt.
    """
    ready = []
    for one in directives:
        text = _filled(one, names)
        if one.id not in off and text is not None and _is_for(one, model):
            opposed = one.unless is not None and any(_says(one.unless, said) for said in system)
            ready.append(Ready(one, text, opposed))
    return tuple(ready)


def written(
    ready: Ready,
    lapse: Sequence[Single],
    most: int | None = None,
    program: str = "",
    left: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The text of a reminder.

    Args:
        ready: the directive.
        lapse: the single calls that could have been one batch, for a directive about a lapse.
        most: the number of items that a batch should have; None if the schema's limit holds.
        program: the beginning of a program, for a directive about a script.
        left: the arguments of the calls that are known to be left, for a directive about a lapse.
    """
    text = ready.text
    if ready.directive.kind == "script":
        text = text.replace("{program}", program)
    if ready.directive.kind == "lapse":
        multi = lapse[0].multi
        told = {"tool": multi.single.name, "multi": multi.name, "call": spelled_out(lapse)}
        told["left"] = f"{multi.name} call"
        if left:
            told["left"] += f": {multi.name}({orjson.dumps({multi.key: [*left]}).decode()})"
        text = _PLACEHOLDER.sub(lambda found: told.get(found[1], found[0]), text)
    capped = most is not None and ready.directive.kind not in ("bookkeeping", "script")
    return f"[Reminder: {text}{f' At most {most} at a time.' if capped else ''}]"


def _filled(directive: Directive, names: Mapping[str, str]) -> str | None:
    """The text with the names of tools; None if the request lacks one of them."""
    # What is known only when the reminder is given stays a placeholder until then.
    later = _LATER.get(directive.kind, ())
    known = {**names, **{name: f"{{{name}}}" for name in later}}
    if not known.keys() >= set(_PLACEHOLDER.findall(directive.text)):
        return None
    return _PLACEHOLDER.sub(lambda found: known[found[1]], directive.text)


def _is_for(directive: Directive, model: str) -> bool:
    patterns = [pattern.lower() for pattern in directive.models]
    return not patterns or any(fnmatchcase(model.lower(), pattern) for pattern in patterns)


@functools.lru_cache(maxsize=128)  # prompts are long, and each request repeats the same one
def _says(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None

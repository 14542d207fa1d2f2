"""The tool set: everything that depends on a request's list of tools alone.

It is a pure function of that list, so it is made once per list and not per request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats.format import Format, ToolSpec
from batchwrap.core.parse import parsed_exactly, rendered
from batchwrap.core.tools.find import SingleTool, barriers, find, words_of
from batchwrap.core.tools.meaning import MIXED, Toolbox
from batchwrap.core.tools.multi import MultiTool, made_up, multi_tools
from batchwrap.core.tools.native import Native, natives
from batchwrap.core.tools.offer import Form, definitions
from batchwrap.core.tools.script_tool import ScriptTool, script_tool
from batchwrap.options import Batching

_HARMLESS = ("read", "read_only")
_SEVERAL = frozenset({"batch", "bulk", "multi", "multiple", "parallel"})


@dataclass(frozen=True, slots=True)
class ToolSet:
    """The tools of a request and the multi-tools for them.

    Attributes:
        singles: the agent's tools that can be batched, by name.
        multis: the multi-tools that can be offered for them.
        known: these, and the multi-tools that models call without an offer, by name.
        natives: the agent's own multi-tools, by the name of their single tool.
        toolbox: finds the agent's tool for a name in a batch.
        script: runs programs over them; None if scripts are off.
        harmless: the names of tools, including multi-tools, that change nothing.
        runs: the tools that each multi-tool runs, by the multi-tool's name.
    """

    singles: Mapping[str, SingleTool] = field(default_factory=dict)
    multis: tuple[MultiTool, ...] = ()
    known: Mapping[str, MultiTool] = field(default_factory=dict)
    natives: Mapping[str, Native] = field(default_factory=dict)
    toolbox: Toolbox = field(default_factory=lambda: Toolbox({}, {}))
    script: ScriptTool | None = None
    harmless: Set[str] = frozenset()
    runs: Mapping[str, Mapping[str, SingleTool]] = field(default_factory=dict)
    _definitions: dict[tuple[Form, Format], list[Any]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def definitions(self, form: Form, api: Format) -> list[Any]:
        """The definitions of what is offered, in the form of an API.

        They are computed once for each form and are the same objects in all requests. If the
        receiver of a request may change it, as litellm does, the adapter gives it a copy.
        """
        made = self._definitions.get((form, api))
        if made is None:
            offered = definitions(self.multis, form)
            offered += [] if self.script is None else [self.script.definition]
            listed = [api.definition(one) for one in offered]
            made = self._definitions[form, api] = parsed_exactly(rendered(listed))
        return made

    def multi(self, name: object) -> MultiTool | None:
        """The multi-tool that a call names, even if it was not offered; None for any other tool."""
        if not isinstance(name, str):
            return None
        return self.known.get(name) or self._made_up(name)

    def _made_up(self, name: str) -> MultiTool | None:
        """The multi-tool for a name that a model has invented; None if its meaning is unclear."""
        # A name without a word for several calls is a single tool's, right or wrong.
        if self.toolbox.has(name) or _SEVERAL.isdisjoint(words_of(name)):
            return None
        target = self.toolbox.resolve(name)
        if target is MIXED:
            return self.known.get("batch")
        return MultiTool("n", {target.tool.name: target.tool}) if target is not None else None


def tool_set_of(tools: Sequence[ToolSpec], batching: Batching) -> ToolSet:
    """The tool set for a list of tools."""
    names = {tool.name for tool in tools}
    found = find(tools, batching)
    singles = {single.name: single for single in found}
    multis = multi_tools(found, names, mixed=batching.mixed, declared=batching.tools)
    others = barriers(tools, singles)
    known = {multi.name: multi for multi in (*made_up(singles, others, names), *multis)}
    own = {} if batching.coalesce == "never" else natives(tools, singles, batching)
    kinds = {name: tool.kind for name, tool in singles.items()}
    kinds |= {multi.name: multi.single.kind for multi in multis if not multi.is_mixed}
    harmless = frozenset(name for name, kind in kinds.items() if kind in _HARMLESS)
    runs = {multi.name: multi.tools for multi in multis}
    script = script_tool(singles, others, {*names, *known}, batching.scripts)
    if script is not None:
        runs[script.name] = {one.tool.name: one.tool for one in script.functions.values()}
    of_one = {name: multi.single for name, multi in known.items() if not multi.is_mixed}
    toolbox = Toolbox(singles, others, of_one)
    return ToolSet(singles, tuple(multis), known, own, toolbox, script, harmless, runs)


NO_TOOLS = ToolSet()

"""What follows from a request's list of tools. A pure function of it, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchwrap.core import chat
from batchwrap.core.views.find import SingleTool, find
from batchwrap.core.views.multi import MultiTool, made_up, multi_tools
from batchwrap.core.views.native import Native, natives
from batchwrap.options import Batching


@dataclass(frozen=True, slots=True)
class Kit:
    """The tools of a request, as batching sees them.

    Attributes:
        singles: the agent's tools that can be batched, by name.
        multis: the multi-tools that can be offered for them.
        known: these and those that models make up, by name: models go by habit.
        natives: the agent's own multi-tools, by the name of the tool that they stand for.
    """

    singles: Mapping[str, SingleTool] = field(default_factory=dict)
    multis: tuple[MultiTool, ...] = ()
    known: Mapping[str, MultiTool] = field(default_factory=dict)
    natives: Mapping[str, Native] = field(default_factory=dict)


def kit_of(tools: object, batching: Batching) -> Kit:
    """The kit for a list of tools."""
    names = {function["name"] for function in chat.function_tools(tools)}
    found = find(tools, batching)
    singles = {single.name: single for single in found}
    multis = multi_tools(found, names, mixed=batching.mixed)
    known = {multi.name: multi for multi in (*made_up(singles, names), *multis)}
    own = {} if batching.coalesce == "never" else natives(tools, singles, batching)
    return Kit(singles, tuple(multis), known, own)

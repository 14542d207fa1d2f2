"""Multi-tools: their names, and how their items stand for calls of the agent's own tools.

Each has a letter, which stands in the derived ids. So folding knows the name and the form
of a multi-call from the ids alone, even where the request offers no tools any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.items import as_text

# Letter: (name, key of the list). A name with a gap is derived from the single tool's.
_FORMS = {
    "r": ("multi_read", "files"),
    "e": ("multi_edit", "files"),
    "w": ("multi_write", "files"),
    "n": ("multi_{}", "files"),
    "c": ("multi_{}", "calls"),
    "b": ("batch", "calls"),
    "d": ("batch_calls", "calls"),  # where the agent has a `batch` of its own
    "p": ("multi_tool_use.parallel", "tool_uses"),  # OpenAI models make it up
}
_SHARED = {"read": "r", "edit": "e", "write": "w"}
MIXED = ("b", "d", "p")
# A call of its own that had to wait for others of its turn.
SINGLE = "s"
# A read that was added to the model's own.
AHEAD = "a"
# A call that a script of the model's has made.
SCRIPT = "x"


@dataclass(frozen=True, slots=True)
class MultiTool:
    """A multi-tool on offer, or one that a model makes up.

    Attributes:
        kind: its letter.
        tools: the agent's tools that run its items, by name.
    """

    kind: str
    tools: Mapping[str, SingleTool]

    @property
    def name(self) -> str:
        """Its name in the provider view."""
        return name_of(self.kind, self.single.name) or ""

    @property
    def key(self) -> str:
        """The parameter that lists the items."""
        return _FORMS[self.kind][1]

    @property
    def is_mixed(self) -> bool:
        """Whether each item names its tool."""
        return self.kind in MIXED

    @property
    def single(self) -> SingleTool:
        """The tool of the items; of a mixed one, the first of its tools."""
        return next(iter(self.tools.values()))


def name_of(kind: str, single_name: str) -> str | None:
    """The name of the multi-tool that a derived id speaks of; None for an unknown letter."""
    form = _FORMS.get(kind.lower())
    return form[0].format(single_name) if form else None


def render(kind: str, calls: Sequence[tuple[str, str]]) -> str:
    """The arguments of a multi-call for the (tool, arguments) of its items."""
    if kind in ("b", "d"):
        items = [f'{{"tool":{as_text(name)},"arguments":{given}}}' for name, given in calls]
    elif kind == "p":
        items = [
            f'{{"recipient_name":{as_text(f"functions.{name}")},"parameters":{given}}}'
            for name, given in calls
        ]
    else:
        items = [given for _, given in calls]
    return f'{{"{_FORMS[kind][1]}":[{",".join(items)}]}}'


def multi_tools(singles: Sequence[SingleTool], taken: set[str], *, mixed: bool) -> list[MultiTool]:
    """The multi-tools for an agent's tools; a name that the agent uses itself is never taken."""
    multis = []
    for single in singles:
        same_kind = [other for other in singles if other.kind == single.kind]
        shared = _SHARED.get(single.kind)
        if shared and len(same_kind) == 1 and _FORMS[shared][0] not in taken:
            multis.append(MultiTool(shared, {single.name: single}))
        elif shared:
            multis.append(MultiTool("n", {single.name: single}))
        elif single.kind == "sequential":
            multis.append(MultiTool("c", {single.name: single}))
    if mixed and len(singles) > 1:
        kind = "d" if "batch" in taken else "b"
        multis.append(MultiTool(kind, {single.name: single for single in singles}))
    return [multi for multi in multis if multi.name not in taken]


def made_up(
    singles: Mapping[str, SingleTool], barriers: Mapping[str, SingleTool], taken: set[str]
) -> list[MultiTool]:
    """Multi-tools that models call although nobody offers them.

    Args:
        singles: the tools that can be batched, by name.
        barriers: the agent's other tools, by name. Each of their calls runs alone.
        taken: names that the agent uses itself.
    """
    tools = {**singles, **barriers}
    made = [MultiTool("n", {name: tool}) for name, tool in tools.items()]
    made += [MultiTool(kind, singles or barriers) for kind in ("b", "p") if tools]
    return [multi for multi in made if multi.name not in taken]

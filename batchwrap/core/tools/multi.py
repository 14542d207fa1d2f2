"""Multi-tools: their names, their parameters, and how items represent calls of the agent's tools.

Each kind has a letter, which derived ids hold (`moves/ids`). So folding knows the name and the form
of a multi-call from the ids alone, even if a later request offers no tools.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.items import as_text

# Letter: (name, parameter that lists the items). `{}` in a name stands for the single tool's name.
_FORMS = {
    "r": ("multi_read", "files"),
    "e": ("multi_edit", "files"),
    "w": ("multi_write", "files"),
    "n": ("multi_{}", "files"),
    "c": ("multi_{}", "calls"),
    "b": ("batch", "calls"),
    "d": ("batch_calls", "calls"),  # if the agent has a tool named `batch`
    "p": ("multi_tool_use.parallel", "tool_uses"),  # OpenAI's models call it without an offer
}
_SHARED = {"read": "r", "edit": "e", "write": "w"}
MIXED = ("b", "d", "p")
# Letters for calls that are not items: a single call of the model that had to wait,
SINGLE = "s"
# and a read that read-ahead added.
AHEAD = "a"
# A call that a script of the model's has made.
SCRIPT = "x"


@dataclass(frozen=True, slots=True)
class MultiTool:
    """A multi-tool that is offered, or that models call without an offer.

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
        """The tool that runs the items; of a mixed multi-tool, the first one."""
        return next(iter(self.tools.values()))


def name_of(kind: str, single_name: str) -> str | None:
    """The name of a multi-tool by the letter in a derived id; None for an unknown letter."""
    form = _FORMS.get(kind.lower())
    return form[0].format(single_name) if form else None


def render(kind: str, calls: Sequence[tuple[str, str]]) -> str:
    """The arguments of a multi-call as JSON text.

    Args:
        kind: the letter of the multi-tool.
        calls: (tool, arguments as JSON text) of each item.
    """
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


def multi_tools(
    singles: Sequence[SingleTool],
    taken: set[str],
    *,
    mixed: bool,
    declared: Container[str] = (),
) -> list[MultiTool]:
    """The multi-tools that are offered for an agent's tools.

    Args:
        singles: the tools that can be batched.
        taken: the names of the agent's tools, which no multi-tool gets.
        mixed: whether to offer `batch`.
        declared: the names of the tools that the user has declared.
    """
    multis = []
    for single in singles:
        same_kind = [other for other in singles if other.kind == single.kind]
        # With several tools of one kind each gets a multi-tool of its own name (`multi_view_file`).
        shared = _SHARED.get(single.kind)
        if shared and len(same_kind) == 1 and _FORMS[shared][0] not in taken:
            multis.append(MultiTool(shared, {single.name: single}))
        elif shared:
            multis.append(MultiTool("n", {single.name: single}))
        elif single.kind == "sequential":
            multis.append(MultiTool("c", {single.name: single}))
    # A tool that was declared for nothing else gets a `batch` even if it is the only one.
    is_wanted = any(one.kind == "read_only" and one.name in declared for one in singles)
    if mixed and (is_wanted or len(singles) > 1):
        kind = "d" if "batch" in taken else "b"
        multis.append(MultiTool(kind, {single.name: single for single in singles}))
    return [multi for multi in multis if multi.name not in taken]


def made_up(
    singles: Mapping[str, SingleTool], barriers: Mapping[str, SingleTool], taken: set[str]
) -> list[MultiTool]:
    """Multi-tools that models call although they are not offered.

    Args:
        singles: the tools that can be batched, by name.
        barriers: the agent's other tools, by name. Each of their calls runs alone.
        taken: the names of the agent's tools.
    """
    tools = {**singles, **barriers}
    made = [MultiTool("n", {name: tool}) for name, tool in tools.items()]
    made += [MultiTool(kind, singles or barriers) for kind in ("b", "p") if tools]
    return [multi for multi in made if multi.name not in taken]

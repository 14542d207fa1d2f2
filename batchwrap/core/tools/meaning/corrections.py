"""Explains to the model why a call was not understood, with a correct example."""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.tools.meaning.search import Misread, Part
from batchwrap.core.tools.meaning.toolbox import Toolbox

# At most this many of the tools that a batch can run are listed.
_MOST_NAMES = 12
# At most this many items are explained: the others usually have the same faults.
_MOST_FAULTS = 3
_MOST_NAME = 80


def why_not(part: Misread, toolbox: Toolbox) -> str:
    """Why an item was not run, and what to do instead."""
    if part.unknown is None:
        return part.why
    names = [form.tool.name for form in toolbox][:_MOST_NAMES]
    unknown = part.unknown[:_MOST_NAME]
    return f"there is no tool `{unknown}` to put in a batch; use one of {', '.join(names)} instead"


def problem(name: str, parts: Sequence[Part], toolbox: Toolbox, right: str) -> str:
    """Why nothing of a multi-call was run, with a correct example.

    Args:
        name: the name of the multi-tool.
        parts: the parts that were read from its arguments.
        toolbox: the agent's tools.
        right: arguments that would be understood.
    """
    faults = [
        f"item {place}: {why_not(part, toolbox)}" if len(parts) > 1 else why_not(part, toolbox)
        for place, part in enumerate(parts, start=1)
        if isinstance(part, Misread)
    ]
    said = "; ".join(faults[:_MOST_FAULTS]) or "it lists no calls"
    return f"Nothing was run: `{name}` was not understood ({said}). A correct example: {right}"

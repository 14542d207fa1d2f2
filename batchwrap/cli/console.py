"""The consoles to which the commands print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, least_width: int | None = None, stderr: bool = False) -> Console:
    """Make a console that sends control codes only to a terminal, whatever the environment says.

    Args:
        least_width: the smallest line width, in characters, if the output is not a terminal.
        stderr: whether it prints to stderr, as progress does.
    """
    from rich.console import Console

    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr)
    # Variables such as FORCE_COLOR would put control codes into files and pipes.
    made = Console(stderr=stderr, force_terminal=False)
    made.width = max(made.width, least_width or 0)
    return made

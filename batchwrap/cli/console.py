"""Where the commands print to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, least_width: int | None = None, stderr: bool = False) -> Console:
    """A console that sends control codes to a terminal only, whatever the environment says.

    Args:
        least_width: characters that a line may have where the output is no terminal.
        stderr: whether it prints there, as progress does.
    """
    from rich.console import Console

    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr)
    made = Console(stderr=stderr, force_terminal=False)
    made.width = max(made.width, least_width or 0)
    return made

"""The consoles to which the commands print."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Make a console that sends control codes only to a terminal, whatever the environment says.

    Args:
        stderr: whether it prints to stderr, as progress does.
    """
    from rich.console import Console

    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr)
    # Variables such as FORCE_COLOR would put control codes into files and pipes.
    return Console(stderr=stderr, force_terminal=False)


def print_text(screen: Console, text: str) -> None:
    """Print a text as it is: wrapped at words on a terminal, in one line to a file or a pipe."""
    screen.print(text, markup=False, highlight=False, soft_wrap=not screen.is_terminal)


def waiting_for(what: str) -> AbstractContextManager[object]:
    """Show on stderr what the command is busy with; nothing if that is not a terminal.

    Whatever may take longer than 0.3 s before the first output stands inside of it, above all
    imports: the first ones after an installation take several seconds.
    """
    return console(stderr=True).status(f"{what} …")

"""Where the commands print to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """A console that sends control codes to a terminal only, whatever the environment says."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(force_terminal=False)

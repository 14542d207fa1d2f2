"""Testing an agent with batchwrap: a scripted provider, a manual clock, the calls of messages.

The provider is a real HTTP server on the loopback (`batchwrap.lab`), so that the agent runs with
its own SDK and nothing is patched. `docs/testing.md` shows all of it.
"""

from typing import TYPE_CHECKING, Any

from batchwrap import lab
from batchwrap.lab import Call, Entry, FileReader, Habit, Model, RateLimit, Raw, Reply, Script
from batchwrap.testing.clock import ManualClock
from batchwrap.testing.message_calls import calls_in

if TYPE_CHECKING:
    from batchwrap.lab import Lab

__all__ = [
    "Call",
    "Entry",
    "FileReader",
    "Habit",
    "Lab",
    "ManualClock",
    "Model",
    "RateLimit",
    "Raw",
    "Reply",
    "Script",
    "calls_in",
]


def __getattr__(name: str) -> Any:
    # The server behind it is an extra of its own.
    if name != "Lab":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lab.Lab

"""Tools for testing an agent: a scripted provider, a manual clock, a recorder, `calls_in`.

The provider is a real HTTP server on the loopback (`batchwrap.lab`), so the agent runs with its own
SDK, and nothing is patched. `docs/testing.md` shows how.
"""

from typing import TYPE_CHECKING, Any

from batchwrap import lab
from batchwrap.lab import Call, Entry, FileReader, Habit, Model, RateLimit, Raw, Reply, Script
from batchwrap.testing.clock import ManualClock
from batchwrap.testing.message_calls import calls_in
from batchwrap.testing.recorder import Recorder

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
    "Recorder",
    "Reply",
    "Script",
    "calls_in",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, since its server needs the extra `lab`.
    if name != "Lab":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lab.Lab

"""A simulated LLM provider: a real HTTP server with scripted models and real limits.

It serves tests of agents without a key or a network, and batchwrap's own tests, demo and
benchmarks. The server needs ``pip install "batchwrap[lab]"``; models and limits do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchwrap.errors import MissingExtraError
from batchwrap.lab.journal import Entry
from batchwrap.lab.rate_limits import RateLimit
from batchwrap.lab.scripted import FileReader, Habit, Script
from batchwrap.lab.simulated_model import Call, Model, Raw, Reply

if TYPE_CHECKING:
    from batchwrap.lab.lab_server import Lab

__all__ = [
    "Call",
    "Entry",
    "FileReader",
    "Habit",
    "Lab",
    "Model",
    "RateLimit",
    "Raw",
    "Reply",
    "Script",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, since only the server needs starlette and uvicorn.
    if name != "Lab":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from batchwrap.lab.lab_server import Lab
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn", "h11"):
            raise
        raise MissingExtraError(package, "lab") from missing
    return Lab

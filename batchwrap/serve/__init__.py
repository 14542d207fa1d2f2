"""The same engine as an OpenAI-compatible endpoint, for agents that are not written in Python.

``batchwrap serve`` on the command line; `Server` in a program, or `Workers` for several processes.
It needs ``pip install "batchwrap[serve]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchwrap.errors import MissingExtraError
from batchwrap.serve.settings import Settings

if TYPE_CHECKING:
    from batchwrap.serve.server import Server
    from batchwrap.serve.workers import Workers

__all__ = ["Server", "Settings", "Workers"]

_NEEDED = ("h11", "httpx2", "prometheus_client", "starlette", "uvicorn")


def __getattr__(name: str) -> Any:
    # The server's libraries are imported only here, so settings can be checked without them.
    if name not in ("Server", "Workers"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from batchwrap.serve.server import Server
        from batchwrap.serve.workers import Workers
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        raise MissingExtraError(package, "serve") from missing
    return Server if name == "Server" else Workers

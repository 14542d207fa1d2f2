"""File tools for agents: confined to a folder and atomic; they keep encoding and line ends."""

from __future__ import annotations

from batchwrap.tools._errors import (
    MatchError,
    NotFoundError,
    PathError,
    TextError,
    WorkspaceError,
)
from batchwrap.tools.workspace import Workspace

__all__ = ["MatchError", "NotFoundError", "PathError", "TextError", "Workspace", "WorkspaceError"]

"""The errors of a workspace. Each one names the path as it was given."""

from __future__ import annotations

from batchwrap.errors import BatchwrapError

_LONGEST_SHOWN = 300


class WorkspaceError(BatchwrapError, ValueError):
    """A file tool was asked for something that it does not do.

    Attributes:
        path: the offending path, as it was given.
    """

    def __init__(self, path: str, problem: str) -> None:
        shown = path if len(path) <= _LONGEST_SHOWN else f"{path[:_LONGEST_SHOWN]}…"
        # As a literal, since a path may contain newlines, NUL or unprintable characters.
        super().__init__(f"{shown!r}: {problem}")
        self.path = path


class PathError(WorkspaceError):
    """The path leads outside, is not a file, or access is not allowed."""


class NotFoundError(PathError):
    """There is no such file."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "there is no such file")


class TextError(WorkspaceError):
    """The file is not text, or its encoding cannot hold the new text."""


class MatchError(WorkspaceError):
    """An edit does not fit the file exactly once.

    Attributes:
        count: how often `old_string` was found.
    """

    def __init__(self, path: str, problem: str, count: int) -> None:
        super().__init__(path, problem)
        self.count = count

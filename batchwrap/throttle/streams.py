"""Streamed answers that hold a place among the running requests, also if nobody reads them.

An answer holds its place until it is read to its end, closed, or dropped. A program that reads the
first chunks and keeps the variable holds the place for that time. It cannot be distinguished from a
slow reader, so the place is not taken away. But if another request waits for it, a warning names
the line of the program.

An async stream that was left with `break` and dropped is part of a reference cycle. Python's
garbage collector frees it, but runs only when objects are made, and none are made while all
requests wait. So if a request waits for the place of an idle stream, the collector is run, once for
each stream.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
import time
from pathlib import Path

_log = logging.getLogger("batchwrap")
# A stream that was not read for this time, while others wait for its place, may be garbage.
DROPPED_S = 1.0
# If it is not garbage, the program is warned after this time.
IDLE_S = 5.0
_MAX_FRAMES = 100

_OURS = str(Path(__file__).parents[1])
# The folders of Python and of installed packages; code elsewhere is the user's program.
_THEIRS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")})
_PACKAGES = ("site-packages", "dist-packages")


class OpenStream:
    """A streamed answer that is not complete.

    Attributes:
        line: the line of the user's program that asked for it; empty if it is unknown.
        idle_since_s: when the last chunk was handed out; None while the next one is awaited.
    """

    __slots__ = ("_is_checked", "_is_reported", "idle_since_s", "line")

    def __init__(self, line: str) -> None:
        self.line = line
        self.idle_since_s: float | None = time.monotonic()
        self._is_checked = self._is_reported = False

    def __enter__(self) -> None:
        """Record that the next chunk is awaited."""
        self.idle_since_s = None

    def __exit__(self, *_: object) -> None:
        """Record that the chunk was handed out."""
        self.idle_since_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since it was last read; 0 while the next chunk is awaited."""
        since_s = self.idle_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def may_be_garbage(self) -> bool:
        """Whether it has been idle long enough to be garbage; true only once."""
        if self._is_checked or self.idle_s < DROPPED_S:
            return False
        self._is_checked = True
        return True

    def warn(self, limit: object) -> None:
        """Warn once that the stream is not read while another request waits for this limit."""
        idle_s = self.idle_s
        if self._is_reported or idle_s < IDLE_S:
            return
        self._is_reported = True
        _log.warning(
            "a streamed answer%s has not been read for %.0f s, and other requests wait for its"
            " place (%s): read it to its end, close it, or drop it",
            f", asked for at {self.line}," if self.line else "",
            idle_s,
            limit,
        )


def line_of_caller() -> str:
    """The innermost line of the user's own program as ``file:number``; empty if none is found."""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        name = frame.f_code.co_filename
        if not _is_foreign(name):
            return f"{name}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def _is_foreign(name: str) -> bool:
    if name.startswith((_OURS, "<frozen", *_THEIRS)):
        return True
    return any(part in name for part in _PACKAGES)

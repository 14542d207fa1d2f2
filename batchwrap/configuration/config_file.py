"""`batchwrap.toml`: where it is found, and on which line a key stands."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchwrap.errors import ConfigError
from batchwrap.toml_text import MAX_BYTES, parsed

NAME = "batchwrap.toml"
_QUOTES = ('"""', "'''")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file at one time; a file that has changed since is another one.

    Attributes:
        path: where it is.
        is_named: whether somebody has named it; otherwise it was found.
        mtime_ns: when it was changed.
        size: its size in bytes.
    """

    path: Path
    is_named: bool
    mtime_ns: int
    size: int


def found_file() -> FileState | None:
    """The nearest `batchwrap.toml` in the working folder and the folders above it."""
    try:
        folder = Path.cwd()
    except OSError:  # the folder has been removed
        return None
    for one in (folder, *folder.parents):
        if (state := _state(one / NAME, is_named=False)) is not None:
            return state
    return None


def named_file(path: str | os.PathLike[str], by: str) -> FileState:
    """A file that was named.

    Args:
        path: the file.
        by: the name of the option or the variable, for errors.

    Raises:
        ConfigError: there is no such file.
    """
    try:
        state = _state(Path(path).expanduser(), is_named=True)
    except RuntimeError as error:  # `~name`, and nobody has that name
        raise ConfigError(by, f"there is no file {os.fspath(path)!r} ({error})") from error
    if state is None:
        raise ConfigError(by, f"there is no file {os.fspath(path)!r}")
    return state


def _state(path: Path, *, is_named: bool) -> FileState | None:
    try:
        there = path.stat()
    except (OSError, ValueError):
        return None
    # Opening a pipe of that name would wait for a writer.
    if not stat.S_ISREG(there.st_mode):
        return None
    return FileState(path, is_named, there.st_mtime_ns, there.st_size)


def read(file: FileState) -> tuple[dict[str, Any], str]:
    """The content of a file, parsed and as text.

    Raises:
        ConfigError: it is too large, is not TOML, or cannot be read.
    """
    if file.size > MAX_BYTES:
        raise ConfigError(str(file.path), f"is larger than {MAX_BYTES:,} bytes")
    try:
        text = file.path.read_text(encoding="utf-8-sig")  # editors may begin it with a mark
        return parsed(text), text
    except OSError as error:
        raise ConfigError(str(file.path), error.strerror or "cannot be read") from error
    except ValueError as error:
        raise ConfigError(str(file.path), f"is not TOML: {error}") from error


def lines_of(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of each key and of each table's head, counted from 1.

    A key within a value of several lines, or of an inline table, has the line where that begins.

    >>> lines_of('[throttle]\\nmax_wait_s = 9')
    {('throttle',): 1, ('throttle', 'max_wait_s'): 2}
    """
    found: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in _outside_texts(text):
        if line.startswith("["):
            table = _path(line)
            if line.startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                found.setdefault(table, number)
                table = (*table, counts[table])
            found.setdefault(table, number)
        elif "=" in line:
            path = (*table, *_path(f"{line.partition('=')[0]}= 0"))
            for length in range(len(table) + 1, len(path) + 1):  # `a.b = 1` makes `a`, too
                found.setdefault(path[:length], number)
    return found


def _outside_texts(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not inside of a text of several lines."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not inside:
            yield number, line.strip()
        for quotes in _QUOTES if not inside else (inside,):
            if line.count(quotes) % 2:
                inside = "" if inside else quotes
                break


def _path(line: str) -> tuple[str, ...]:
    """The keys of one line that is TOML by itself; empty if it is not, as inside of a list."""
    try:
        value: Any = parsed(line)
    except ValueError:
        return ()
    path: list[str] = []
    while isinstance(value, Mapping) or (isinstance(value, list) and value):
        if isinstance(value, list):
            value = value[0]
            continue
        if not value:
            break
        (name,) = value
        path.append(name)
        value = value[name]
    return tuple(path)

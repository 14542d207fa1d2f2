"""The file tools that an agent calls: read, edit, write, on real files under one folder."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from batchwrap.tools import _confined, _text
from batchwrap.tools._errors import (
    MatchError,
    NotFoundError,
    PathError,
    TextError,
    WorkspaceError,
)
from batchwrap.tools._schemas import SCHEMAS, ArgumentsError, check

_CHUNK = 65_536  # bytes of a file that are read at a time


class Workspace:
    """Reads, edits and writes text files under one folder, and nothing outside it.

    Paths are relative to the root, or absolute and inside it; results name them relative to
    the root, with forward slashes and symbolic links resolved. A path with ``..``, a link that
    leads outside, a directory or a device is refused. A file is replaced as a whole or not at
    all. Files are UTF-8, or UTF-16 with a byte order mark, and stay what they are; tools see
    every line end as ``\\n``, and files keep their own. Edits of one file do not overtake each
    other, whatever number of objects and threads they come from; nor do those of other processes
    with the same root, except on Windows and on disks that cannot lock a folder.

    Args:
        root: an existing folder.

    Attributes:
        root: the folder, absolute and with symbolic links resolved.

    Raises:
        PathError: the root is not a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     workspace = Workspace(folder)
        ...     _ = workspace.write_file("src/hello.py", "print('hello')\\n")
        ...     workspace.edit_file("src/hello.py", "hello", "good morning")
        'Replaced 1 occurrence in src/hello.py'
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.realpath(root))
        if not self.root.is_dir():
            raise PathError(os.fspath(root), "the root of a workspace is an existing folder")
        self._tools: Mapping[str, Callable[..., str]] = {
            "read_file": self.read_file,
            "edit_file": self.edit_file,
            "write_file": self.write_file,
        }

    def read_file(self, path: str, offset: int | None = None, limit: int | None = None) -> str:
        """Read a file, or some of its lines.

        Args:
            path: the file.
            offset: the first line, counted from 1.
            limit: how many lines at most.

        Returns:
            The text, nothing added; pieces of a file put together are the file.

        Raises:
            NotFoundError: there is no such file.
            PathError: the path is refused.
            TextError: the file is not text, as far as it is read.
            WorkspaceError: the file has no such lines.
        """
        target = _confined.locate(self.root, path)
        if offset is None and limit is None:
            return self._load(target).content
        first = 1 if offset is None else offset
        if first < 1 or (limit is not None and limit < 1):
            raise WorkspaceError(path, "offset and limit are 1 or more")
        with _readable(target), _confined.reading(self.root, target) as file:
            part = _text.part(iter(lambda: file.read(_CHUNK), b""), first, limit)
        if isinstance(part, int):
            raise WorkspaceError(path, f"has {part} lines; offset {first} is past its end")
        return part

    def edit_file(
        self, path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> str:
        r"""Replace a text in a file by another.

        Args:
            path: the file.
            old_string: what to replace, to the letter; ``\n`` stands for every line end.
            new_string: what to put in its place; takes the line ends of the file.
            replace_all: replace every occurrence; otherwise there has to be exactly one.

        Returns:
            A line that says how many occurrences were replaced.

        Raises:
            NotFoundError: there is no such file.
            PathError: the path is refused, or the file is read-only.
            MatchError: `old_string` is not in the file, or several times.
            TextError: the file is not text, or its encoding cannot hold `new_string`.
            WorkspaceError: `old_string` is empty or the same as `new_string`.
        """
        target = _confined.locate(self.root, path)
        old, new = _text.plain(old_string), _text.plain(new_string)
        if not old:
            raise WorkspaceError(path, "old_string is empty; write_file makes new files")
        if old == new:
            raise WorkspaceError(path, "old_string and new_string are the same")
        with _confined.alone(self.root, target):
            text = self._load(target)
            count = text.content.count(old)
            if count == 0:
                raise MatchError(
                    path, "old_string was not found; read the file and copy it exactly", 0
                )
            if count > 1 and not replace_all:
                raise MatchError(
                    path,
                    f"old_string was found {count} times; add lines around it until it is "
                    "unique, or set replace_all",
                    count,
                )
            self._store(target, _text.substitute(text, old, new))
        return f"Replaced {count} occurrence{'s' * (count > 1)} in {target}"

    def write_file(self, path: str, content: str) -> str:
        r"""Write a whole file, new or in the place of an old one.

        Missing folders are made. An old file keeps its mode, its encoding and, unless the
        content has ``\r\n`` of its own, its line ends; a new one is UTF-8.

        Args:
            path: the file.
            content: all of its text.

        Returns:
            A line that says what was written.

        Raises:
            PathError: the path is refused, or may not be written.
            TextError: the old file is not text, or its encoding cannot hold the content.
        """
        target = _confined.locate(self.root, path)
        with _confined.alone(self.root, target):
            try:
                old = self._load(target)
            except NotFoundError:
                old = _text.Text()
            created = self._store(target, _text.rewrite(content, old))
        lines = len(_lines(content))
        return f"{'Created' if created else 'Wrote'} {target} ({lines} line{'s' * (lines != 1)})"

    def list_files(self, pattern: str = "**/*") -> list[str]:
        """The files under the root whose path fits a pattern, sorted.

        ``*``, ``?`` and ``[…]`` stand for parts of one name, ``**`` for any number of folders;
        names with a leading dot are no exception. Linked folders are not entered; a link to a
        file is listed if the file is inside.

        Args:
            pattern: relative to the root.

        Returns:
            Paths relative to the root, with forward slashes.

        Raises:
            PathError: the pattern is absolute or has ``..`` in it.
        """
        wanted = pattern.replace(os.sep, "/").split("/")
        if ".." in wanted or Path(pattern).is_absolute():
            raise PathError(pattern, "a pattern is relative to the workspace, without '..'")
        return sorted(path for path in self._walk() if _fits(path.split("/"), wanted))

    def schemas(self) -> list[dict[str, Any]]:
        """The tools in the form of OpenAI's `tools`; every call gives a fresh copy."""
        schemas: list[dict[str, Any]] = json.loads(json.dumps(SCHEMAS))
        return schemas

    def call(self, name: str, arguments: str | dict[str, Any]) -> str:
        """Run a model's tool call.

        Args:
            name: the tool.
            arguments: as JSON, the way models send them, or decoded.

        Returns:
            The tool's text. A mistake of the model's (a tool or file that is not there, bad
            JSON, no match) is a text that begins with ``Error:``, to be handed back to it.

        Raises:
            OSError: the disk is full or broken.
        """
        tool = self._tools.get(name)
        if tool is None:
            return f"Error: there is no tool {name!r}; there are {', '.join(self._tools)}"
        try:
            return tool(**check(name, arguments))
        except (ArgumentsError, WorkspaceError) as error:
            return f"Error: {error}"

    def _load(self, target: _confined.Target) -> _text.Text:
        with _readable(target), _confined.reading(self.root, target) as file:
            return _text.decode(file.read())

    def _store(self, target: _confined.Target, text: _text.Text) -> bool:
        try:
            data = _text.encode(text)
        except ValueError as error:
            raise TextError(target.given, f"cannot hold the new text ({error})") from error
        return _confined.replace_bytes(self.root, target, data)

    def _walk(self) -> Iterator[str]:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                real = Path(os.path.realpath(path))
                if (
                    not name.startswith(_confined.TEMP_PREFIX)
                    and real.is_relative_to(self.root)
                    and real.is_file()
                ):
                    yield path.relative_to(self.root).as_posix()


def _lines(content: str) -> list[str]:
    """Lines with their ends. Not `splitlines`, which also cuts at form feeds and the like."""
    *lines, last = content.split("\n")
    return [f"{line}\n" for line in lines] + [last] * bool(last)


@contextlib.contextmanager
def _readable(target: _confined.Target) -> Iterator[None]:
    try:
        yield
    except WorkspaceError:
        raise
    except ValueError as error:
        problem = f"is not text in UTF-8 or marked UTF-16 ({error})"
        raise TextError(target.given, problem) from error


def _fits(names: list[str], pattern: list[str]) -> bool:
    """Whether a path fits a pattern; in one walk, as ``**`` may stand in it any number of times."""
    places = _with_next({0}, pattern)  # where in the pattern the next name may stand
    for name in names:
        found = set()
        for place in places - {len(pattern)}:
            if pattern[place] == "**":
                found.add(place)
            elif fnmatchcase(name, pattern[place]):
                found.add(place + 1)
        places = _with_next(found, pattern)
    return len(pattern) in places


def _with_next(places: set[int], pattern: list[str]) -> set[int]:
    """These places, and those behind a ``**`` that stands for no folder at all."""
    found = set(places)
    for place in range(min(places, default=0), len(pattern)):
        if place in found and pattern[place] == "**":
            found.add(place + 1)
    return found

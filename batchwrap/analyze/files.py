"""Reads files into records: JSON lines one by one, JSON documents as a whole, gzipped or not.

The content of a file decides which it is. A file that cannot be read, or a line that is not JSON,
is reported as a problem and skipped.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

STDIN = "-"
Record = dict[str, Any]
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
# A line is held in memory. The longest lines of real logs contain images, of about 10 MB.
_LONGEST_LINE = 256 * 2**20
# How many lines are tried as the end of a document. Each try parses all of it again, so after these
# only the end of the file counts.
_MOST_TRIES = 20


class Unreadable(Exception):
    """A file is skipped; the message says why."""


@dataclass(slots=True)
class LogFile:
    """One file, or the standard input.

    Args:
        path: the file; None for the standard input.
        read: called with the number of bytes that were read, before decompression.

    Attributes:
        broken: the number of lines that were not JSON, or of incomplete documents, all skipped.
        first_broken: the number of the first such line, from 1; 0 for a document.
    """

    path: Path | None
    read: Callable[[int], object] = field(default=lambda _: None, repr=False)
    broken: int = 0
    first_broken: int = 0

    @property
    def name(self) -> str:
        """The name of the file in reports."""
        return STDIN if self.path is None else str(self.path)

    def records(self) -> Iterator[Record]:
        """The JSON objects of the file, one by one.

        A list of messages becomes one object with ``messages``. Of any other list, each item that
        is an object becomes a record.

        Raises:
            Unreadable: the file cannot be read, or is not JSON.
        """
        try:
            with _opened(self.path, self.read) as lines:
                for value in self._values(lines):
                    yield from _objects(value)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"cannot be read: {error}") from error

    def _values(self, lines: IO[bytes]) -> Iterator[Any]:
        first = _next_line(lines).removeprefix(_BOM)
        if b"\0" in first[:4096]:
            raise Unreadable("is not text")
        if not first:
            raise Unreadable("is empty")
        second = _next_line(lines)
        rest = iter(lambda: _next_line(lines), b"")
        # If neither of the first two lines is JSON, the lines belong to a document. Two are read,
        # since the first line of JSON lines may be broken.
        if _loads(first) is None and not isinstance(_loads(second), dict):
            yield from self._documents(chain((first, second), rest))
            return
        for number, line in enumerate(chain((first, second), rest), start=1):
            yield from self._line(line, number)

    def _line(self, line: bytes, number: int) -> Iterator[Any]:
        if not line.strip():
            return
        value = _loads(line)
        if value is None:
            self.broken += 1
            self.first_broken = self.first_broken or number
        else:
            yield value

    def _documents(self, lines: Iterable[bytes]) -> Iterator[Any]:
        """The values of documents that follow each other and have several lines each."""
        text, tries, found = bytearray(), 0, False
        for line in lines:
            text += line
            # A document's last line begins with its closing bracket, however it is indented.
            if (
                line.startswith((b"}", b"]"))
                and text.startswith((b"{", b"["))
                and tries < _MOST_TRIES
            ):
                value = _loads(text)
                tries += value is None
                if value is not None:
                    yield value
                    found = True
                    text.clear()
        if not text.strip():
            return
        try:
            yield orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if not found:
                raise Unreadable(f"is neither JSON nor JSON lines: {error}") from error
            self.broken += 1


def sources(paths: Sequence[str], read: Callable[[int], object] = lambda _: None) -> list[LogFile]:
    """The files at some paths, including those in folders; ``-`` is the standard input."""
    found: dict[str, LogFile] = {}
    for given in paths:
        path = Path(given)
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in [None] if given == STDIN else inside:
            source = LogFile(file, read)
            found.setdefault(source.name, source)
    return list(found.values())


class _Counted(io.RawIOBase):
    """A file that reports how many bytes were read."""

    def __init__(self, file: IO[bytes], read: Callable[[int], object]) -> None:
        self._file, self._read = file, read

    def readable(self) -> bool:
        """True: `io.BufferedReader` requires it."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        some = self._file.read(len(buffer))
        buffer[: len(some)] = some
        self._read(len(some))
        return len(some)

    def close(self) -> None:
        """Close the file below, unless it is the standard input, which is not ours."""
        if self._file is not sys.stdin.buffer:
            self._file.close()
        super().close()


def _opened(path: Path | None, read: Callable[[int], object]) -> IO[bytes]:
    file = sys.stdin.buffer if path is None else path.open("rb")
    plain = io.BufferedReader(_Counted(file, read), 2**16)
    return gzip.GzipFile(fileobj=plain) if plain.peek(2)[:2] == _GZIP else plain  # type: ignore[return-value]


def _next_line(lines: IO[bytes]) -> bytes:
    line = lines.readline(_LONGEST_LINE)
    if len(line) == _LONGEST_LINE:
        raise Unreadable(f"has a line of more than {_LONGEST_LINE // 2**20} MB")
    return line


def _loads(text: bytes | bytearray) -> Any:
    """The object or list in a text; None for anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, (dict, list)) else None


def _objects(value: Any) -> Iterator[Record]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        items = [item for item in value if isinstance(item, dict)]
        if items and all(isinstance(item.get("role"), str) for item in items):
            yield {"messages": items}
        else:
            yield from items

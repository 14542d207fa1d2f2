"""Reads files into records: JSON lines one by one, JSON documents as a whole, gzipped or not.

The content of a file decides which it is. A file that cannot be read, or a line that is not JSON,
is reported as a problem and skipped.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

from batchwrap.analyze.opened_files import binary_format, is_zip, opened, zipped_samples

STDIN = "-"
Record = dict[str, Any]
_BOM = b"\xef\xbb\xbf"
# A line is held in memory. The longest lines of real logs contain images, of about 10 MB.
_LONGEST_LINE = 256 * 2**20
# The same for a document of several lines, and for the values in a text: a small file can be
# unpacked to 256 MB of ``{},{},{}``, which would take 7 GB as objects.
_LARGEST_DOCUMENT = 2**30
_MOST_VALUES = 10_000_000
# How many lines are tried as the end of a document. Each try parses all of it again, so after these
# only the end of the file counts.
_MOST_TRIES = 20
# Both files of a task of Cline's have the same conversation, and the second one has it in full.
_SEEN, _HISTORY = "ui_messages.json", "api_conversation_history.json"
# OpenHands writes each event of a conversation to a file of its own, in a folder of this name.
_EVENTS, _EVENT = "events", re.compile(r"(?:event-)?(\d+)(?:-[\w-]+)?\.json")


# What a file raises that is not readable, or is damaged where it is unpacked.
_DAMAGE = (OSError, EOFError, zlib.error)


class Unreadable(Exception):
    """A file is skipped; the message says why."""


@dataclass(slots=True)
class LogFile:
    """One file, or the standard input, or the files of one conversation.

    Args:
        path: the file, or the folder of the parts; None for the standard input.
        read: called with the number of bytes that were read, before decompression.
        parts: the files in the folder, each with a part of the conversation.

    Attributes:
        broken: the number of lines that were not JSON, of incomplete documents, or of parts that
            cannot be read, all skipped.
        first_broken: the place of the first one; empty for the last document of a file.
    """

    path: Path | None
    read: Callable[[int], object] = field(default=lambda _: None, repr=False)
    parts: tuple[Path, ...] = ()
    broken: int = 0
    first_broken: str = ""

    @property
    def name(self) -> str:
        """The name of the file in reports."""
        return STDIN if self.path is None else str(self.path)

    def records(self) -> Iterator[Record]:
        """The JSON objects of the file, one by one.

        A list of messages becomes one object with ``messages``, and a list of the Responses API's
        items one with ``input``. Of any other list, each item that is an object becomes a record.

        Raises:
            Unreadable: the file cannot be read, or is not JSON.
        """
        try:
            for value in self._parts_values() if self.parts else self._file_values(self.path):
                yield from _objects(value)
        except _DAMAGE as error:
            raise Unreadable(f"cannot be read: {error}") from error

    @property
    def problem(self) -> str:
        """What was skipped of the file, in words; empty if nothing was."""
        if not self.broken:
            return ""
        if not self.first_broken:
            return "its last document breaks off"
        kind = self.first_broken.partition(" ")[0]
        if self.broken == 1:
            return f"{self.first_broken} {'cannot be read' if kind == 'file' else 'is no JSON'}"
        lacks = "cannot be read" if kind == "file" else "are no JSON"
        return f"{self.broken} {kind}s {lacks}, the first is {self.first_broken}"

    def _parts_values(self) -> Iterator[Any]:
        for part in self.parts:
            try:
                yield from self._file_values(part)
            except (Unreadable, *_DAMAGE):
                self._skip(f"file {part.name}")

    def _file_values(self, path: Path | None) -> Iterator[Any]:
        if path is not None and is_zip(path):
            for name, text in zipped_samples(path, self.read, _LONGEST_LINE):
                yield from self._value(text, f"document {name}")
            return
        if path is not None and path.is_dir():
            raise Unreadable("has no files")
        with opened(path, self.read) as lines:
            yield from self._values(lines)

    def _values(self, lines: IO[bytes]) -> Iterator[Any]:
        first = _next_line(lines).removeprefix(_BOM)
        if (binary := binary_format(first)) is not None:
            raise Unreadable(binary)
        if not first:
            raise Unreadable("is empty")
        second = _next_line(lines)
        rest = iter(lambda: _next_line(lines), b"")
        # If neither of the first two lines is JSON, the lines belong to a document. Two are read,
        # since the first line of JSON lines may be broken.
        if _loads(first) is None and not isinstance(_loads(second), dict) and not _mended(first):
            yield from self._documents(chain((first, second), rest))
            return
        for number, line in enumerate(chain((first, second), rest), start=1):
            yield from self._value(line, f"line {number}")

    def _value(self, text: bytes, place: str) -> Iterator[Any]:
        if not text.strip():
            return
        value = _loads(text) or _mended(text)
        if value is None:
            self._skip(place)
        else:
            yield value

    def _skip(self, place: str) -> None:
        self.broken += 1
        self.first_broken = self.first_broken or place

    def _documents(self, lines: Iterable[bytes]) -> Iterator[Any]:
        """The values of documents that follow each other and have several lines each."""
        text, tries, found = bytearray(), 0, False
        for line in lines:
            text += line
            if len(text) > _LARGEST_DOCUMENT:
                raise Unreadable(f"has a document of more than {_LARGEST_DOCUMENT // 2**20} MB")
            # A document's last line begins with its closing bracket, however it is indented.
            if (
                line.startswith((b"}", b"]"))
                and text.startswith((b"{", b"["))
                and tries < _MOST_TRIES
            ):
                value = _loads(text) or _mended(text)
                tries += value is None
                if value is not None:
                    yield value
                    found = True
                    text.clear()
        if not text.strip():
            return
        _check(text)
        try:
            yield orjson.loads(text)
        except orjson.JSONDecodeError as error:
            value = _mended(text)
            if value is not None:
                yield value
            elif not found:
                raise Unreadable(f"is neither JSON nor JSON lines: {error}") from error
            else:
                self.broken += 1


def sources(paths: Sequence[str], read: Callable[[int], object] = lambda _: None) -> list[LogFile]:
    """The files at some paths, including those in folders; ``-`` is the standard input.

    A folder without files is a source that cannot be read.
    """
    found: dict[str, LogFile] = {}
    for given in paths:
        path = Path(given)
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else []
        itself = LogFile(None if given == STDIN else path)
        for source in _sources_in(inside) if inside else [itself]:
            source.read = read
            found.setdefault(source.name, source)
    return list(found.values())


def _sources_in(files: Sequence[Path]) -> Iterator[LogFile]:
    """The sources of a folder's files. The files of one conversation are one source."""
    events: dict[Path, list[tuple[int, Path]]] = {}
    all_of_them = set(files)
    for file in files:
        numbered = _EVENT.fullmatch(file.name) if file.parent.name == _EVENTS else None
        if numbered is not None:
            events.setdefault(file.parent, []).append((int(numbered[1]), file))
        elif file.name != _SEEN or file.with_name(_HISTORY) not in all_of_them:
            yield LogFile(file)
    for folder, listed in events.items():
        yield LogFile(folder, parts=tuple(file for _, file in sorted(listed)))


def _next_line(lines: IO[bytes]) -> bytes:
    line = lines.readline(_LONGEST_LINE)
    if len(line) >= _LONGEST_LINE:  # more in UTF-16, where a character may be several bytes
        raise Unreadable(f"has a line of more than {_LONGEST_LINE // 2**20} MB")
    return line


def _check(text: bytes | bytearray) -> None:
    """Refuse a text that would take too much memory as objects."""
    if len(text) > _MOST_VALUES and text.count(b",") >= _MOST_VALUES:
        raise Unreadable(f"has a document of more than {_MOST_VALUES:,} values")


def _loads(text: bytes | bytearray) -> Any:
    """The object or list in a text; None for anything else."""
    _check(text)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, (dict, list)) else None


def _mended(text: bytes | bytearray) -> Any:
    """The object or list in a text that JavaScript wrote or a program cut; None if it is no JSON.

    Strings may contain halves of surrogate pairs and bytes that are no UTF-8. Numbers may be NaN.
    """
    try:
        value = json.loads(text.decode("utf-8", "replace"), parse_constant=lambda _: None)
        # A half of a pair would break whatever encodes the text later.
        whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return None
    return _loads(whole)


def _objects(value: Any) -> Iterator[Record]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        items = [item for item in value if isinstance(item, dict)]
        if items and all(isinstance(item.get("role"), str) for item in items):
            yield {"messages": items}
        elif any(item.get("type") == "function_call" for item in items):
            yield {"input": items}
        else:
            yield from items

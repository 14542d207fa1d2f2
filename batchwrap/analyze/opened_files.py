"""Opens files as lines of UTF-8: gzipped or not, in UTF-16 or UTF-8; and zip archives."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# The beginnings of files that agents keep sessions in, and that are no text.
_BINARIES = {
    b"SQLite format 3\0": "is an SQLite database, which is not read; export its sessions"
    " (opencode export, for one)",
    b"PAR1": "is a Parquet file, which is not read; export it as JSON lines",
    _ZIP: "is a zip archive, which is read only from a path",
}
_SAMPLES = "samples/"
_DAMAGED = "a zip archive that breaks off or is damaged"


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


class _Recoded(io.BufferedIOBase):
    """The lines of a file in UTF-16, such as PowerShell writes, as UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-16", errors="replace", newline="\n")

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, of at most so many characters."""
        return self._text.readline(-1 if size is None else size).encode("utf-8", "replace")

    def close(self) -> None:
        """Close the file below."""
        self._text.close()
        super().close()


def opened(path: Path | None, read: Callable[[int], object]) -> IO[bytes]:
    """A file whose ``readline`` returns UTF-8, unpacked if it was gzipped.

    Args:
        path: the file; None for the standard input.
        read: called with the number of bytes that were read.
    """
    file = sys.stdin.buffer if path is None else path.open("rb")
    plain: Any = io.BufferedReader(_Counted(file, read), 2**16)
    if plain.peek(2)[:2] == _GZIP:
        plain = gzip.GzipFile(fileobj=plain)
    lines: Any = _Recoded(plain) if plain.peek(2)[:2] in _UTF_16 else plain
    return cast(IO[bytes], lines)


def binary_format(line: bytes) -> str | None:
    """What a file is that begins with this line, if that is no text; None for a text."""
    known = (said for begin, said in _BINARIES.items() if line.startswith(begin))
    return next(known, "is not text" if b"\0" in line[:4096] else None)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive. A pipe is none, since what is read of it is gone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def zipped_samples(
    path: Path, read: Callable[[int], object], longest: int
) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the samples in a log of Inspect AI, which is a zip archive.

    Args:
        path: the archive.
        read: called with the number of bytes that were read.
        longest: the most bytes of a sample that are read.

    Raises:
        OSError: the archive cannot be read, contains no sample, or one that is longer.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            samples = [one for one in archive.infolist() if one.filename.startswith(_SAMPLES)]
            if not samples:
                raise OSError("a zip archive without samples of Inspect AI")
            for sample in samples:
                if sample.file_size > longest:
                    raise OSError(f"{sample.filename} has more than {longest // 2**20} MB")
                yield sample.filename, _content(archive, sample)
                read(sample.compress_size)
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise OSError(f"{_DAMAGED} ({error})") from error
    except (NotImplementedError, RuntimeError) as error:
        hint = "convert it with `inspect log convert --to json`"
        raise OSError(f"{error}; {hint}") from error


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a file in an archive."""
    with archive.open(member) as content:
        try:
            return content.read()
        except Exception as error:  # each method of compression has errors of its own
            raise OSError(f"{_DAMAGED} ({error})") from error

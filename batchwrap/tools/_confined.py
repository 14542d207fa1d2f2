"""Reads and writes the bytes of files under one folder, confined to it and atomically.

A path is resolved first, including symbolic links, and refused unless it is under the root. Then,
on POSIX systems, the resolved path is opened folder by folder, each relative to the one before and
without following links. So if a folder is replaced by a link between the check and the use, the
call fails instead of leaving the root.

A file is replaced as a whole: a temporary file beside it is flushed to disk and then renamed over
it. If the process is killed in between, the old file remains and, at worst, a file with the prefix
`TEMP_PREFIX`.

Mode and owner are copied to the new file; hard links and extended attributes are not.

An edit reads a file and writes it, and holds `alone` meanwhile: a lock of this process for the
file, through whatever object or root it is reached, and a lock of the root for all processes with
the same root. On a disk that cannot lock a folder, and on Windows, there is only the first lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batchwrap.tools._errors import NotFoundError, PathError

if sys.platform != "win32":
    import fcntl

TEMP_PREFIX = ".batchwrap-tmp-"

# Files share these locks by their path, so there are never more, however many files there are.
_LOCKS = [threading.Lock() for _ in range(64)]
if hasattr(os, "register_at_fork"):  # another thread's lock would stay held in a child for good
    os.register_at_fork(
        after_in_child=lambda: _LOCKS.__setitem__(slice(None), [threading.Lock() for _ in _LOCKS])
    )

# Linux allows this many bytes; resolving a path takes time in the square of its length.
_LONGEST_PATH = 4096
_RELATIVE = {os.access, os.mkdir, os.open, os.rename, os.stat, os.unlink} <= os.supports_dir_fd
_EFFECTIVE = os.access in os.supports_effective_ids
# Not every system has every flag. O_NONBLOCK: opening a pipe must not wait for its other end.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFELY

# Errors that are caused by the choice of the path, unlike a full or broken disk.
_PROBLEMS = {
    errno.EACCES: "permission denied",
    errno.EINVAL: "is no valid path, or has just been changed",  # a link that vanished meanwhile
    errno.EISDIR: "is a directory; name a file",
    errno.ELOOP: "is a symbolic link that leads nowhere, or has just been changed",
    errno.ENAMETOOLONG: "is too long",
    errno.ENOTDIR: "a file is in the place of one of its folders",
    errno.EPERM: "permission denied",
    errno.EROFS: "is on a read-only disk",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A file's place under the root, after all links.

    Attributes:
        given: the path as it was given, for messages.
        parts: folder names and the file name, from the root.
    """

    given: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join(self.parts)


def locate(root: Path, path: str) -> Target:
    """Find the file under the root that a path names.

    Args:
        root: the folder, resolved.
        path: relative to it, or absolute.

    Raises:
        PathError: it is empty, malformed, or leads outside.
    """
    _refuse_malformed(path)
    with _named(path):
        real = Path(os.path.realpath(root / path))
    if not real.is_relative_to(root):
        raise PathError(path, "is outside the workspace")
    parts = real.relative_to(root).parts
    if not parts:
        raise PathError(path, "is the workspace itself; name a file in it")
    return Target(path, parts)


@contextlib.contextmanager
def alone(root: Path, target: Target) -> Iterator[None]:
    """Hold the locks of a file, against other threads and against processes with this root."""
    key = os.path.normcase(root.joinpath(*target.parts))
    with _LOCKS[hash(key) % len(_LOCKS)], _named(target.given), _locked(root):
        yield


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    fd = os.open(root, _FOLDER)
    try:
        with contextlib.suppress(OSError):  # a disk that cannot lock a folder
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        # Closing alone would not unlock it if a child that was forked meanwhile has the descriptor.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


@contextlib.contextmanager
def reading(root: Path, target: Target) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Raises:
        NotFoundError: there is no such file.
        PathError: it is no regular file, or it may not be read.
        OSError: the disk is broken.
    """
    with (
        _named(target.given),
        _folder_of(root, target) as folder,
        open(folder.at(target.parts[-1]), "rb", opener=folder.open) as file,
    ):
        _refuse_special(target, os.fstat(file.fileno()))
        yield file


def replace_bytes(root: Path, target: Target, data: bytes) -> bool:
    """Write a whole file, and create missing folders.

    Returns:
        Whether the file is new.

    Raises:
        PathError: the path is taken by something else, or may not be written.
        OSError: the disk is full or broken; the old file is as it was.
    """
    name = target.parts[-1]
    with _named(target.given), _folder_of(root, target, create=True) as folder:
        old = folder.status(name)
        if old is not None:
            _refuse_special(target, old)
            # Renaming over a file needs no right to write it; editing one does.
            if not folder.writable(name):
                raise PathError(target.given, "is read-only")
        temp = TEMP_PREFIX + secrets.token_hex(8)
        try:
            _write_durably(folder, temp, data, old)
            folder.rename(temp, name)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.unlink(temp)
            raise
    return old is None


@dataclass(frozen=True, slots=True)
class _Folder:
    """An open folder; by descriptor where the system can, else by path."""

    path: Path
    fd: int | None

    def at(self, name: str) -> str:
        return name if self.fd is not None else str(self.path / name)

    def open(self, at: str, flags: int) -> int:
        return os.open(at, flags | _SAFELY, 0o666, dir_fd=self.fd)

    def status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def writable(self, name: str) -> bool:
        return os.access(self.at(name), os.W_OK, dir_fd=self.fd, effective_ids=_EFFECTIVE)

    def rename(self, name: str, to: str) -> None:
        os.replace(self.at(name), self.at(to), src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        os.unlink(self.at(name), dir_fd=self.fd)

    def enter(self, name: str, *, create: bool) -> _Folder:
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.at(name), dir_fd=self.fd)
        fd = None if self.fd is None else os.open(name, _FOLDER, dir_fd=self.fd)
        return _Folder(self.path / name, fd)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


@contextlib.contextmanager
def _folder_of(root: Path, target: Target, *, create: bool = False) -> Iterator[_Folder]:
    with contextlib.ExitStack() as opened:
        folder = _Folder(root, os.open(root, _FOLDER) if _RELATIVE else None)
        opened.callback(folder.close)
        for name in target.parts[:-1]:
            folder = folder.enter(name, create=create)
            opened.callback(folder.close)
        yield folder


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(path) from error
    except OSError as error:
        problem = _PROBLEMS.get(error.errno or 0)
        if problem is None:
            raise
        raise PathError(path, problem) from error


def _write_durably(folder: _Folder, name: str, data: bytes, old: os.stat_result | None) -> None:
    with open(folder.at(name), "xb", opener=folder.open) as file:
        if old is not None:
            _copy_owner_and_mode(file.fileno(), old)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy_owner_and_mode(fd: int, old: os.stat_result) -> None:
    if sys.platform == "win32":  # has neither an owner to keep nor more than one mode bit
        return
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(fd, old.st_uid, old.st_gid)
    # Without the set-user-id bits, which a system clears as well when a file is written.
    os.fchmod(fd, old.st_mode & 0o777)


def _refuse_malformed(path: str) -> None:
    if not path.strip():
        raise PathError(path, "is empty; name a file")
    if len(path) > _LONGEST_PATH:
        raise PathError(path, f"is too long, with {len(path)} characters")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in path):
        raise PathError(path, "holds a NUL character or half of a surrogate pair")
    names = path.replace(os.sep, "/").split("/")
    if ".." in names:
        raise PathError(path, "has '..' in it; name the file from the root of the workspace")
    if not names[-1]:
        raise PathError(path, "is a directory; name a file")


def _refuse_special(target: Target, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PathError(target.given, _PROBLEMS[errno.EISDIR])
    if not stat.S_ISREG(status.st_mode):
        raise PathError(target.given, "is not a regular file")

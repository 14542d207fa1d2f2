"""Whatever goes wrong, a file is the old one or the new one, and nothing is left beside it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchwrap.tools import PathError, TextError, Workspace
from batchwrap.tools._confined import TEMP_PREFIX

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX modes and limits")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the right of root to write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Writing more bytes than this to a file fails, as on a disk with no room left."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_that_cannot_be_encoded_leaves_the_file_whole(tmp_path: Path, encoding: str) -> None:
    """Half of a surrogate pair fits no encoding: nothing is written, and nothing is left over."""
    file = tmp_path / "a.txt"
    file.write_text("old\n" * 1000, encoding=encoding)
    before = file.read_bytes()
    workspace = Workspace(tmp_path)
    uses: list[Callable[[], str]] = [
        lambda: workspace.write_file("a.txt", "new\n" * 5000 + "\ud800"),
        lambda: workspace.edit_file("a.txt", "old", "\udfff", replace_all=True),
        lambda: workspace.write_file("new/folder/b.txt", "\ud800"),
    ]
    for use in uses:
        with pytest.raises(TextError):
            use()
    assert file.read_bytes() == before
    assert names(tmp_path) == ["a.txt"]


@posix
def test_a_full_disk_leaves_the_file_whole(tmp_path: Path) -> None:
    """A write that fails half way is an OSError; the old file is as it was, alone in its folder."""
    workspace = Workspace(tmp_path)
    workspace.write_file("a.txt", "old\n")
    for path in ("a.txt", "b.txt"):
        with disk_full_at(10_000), pytest.raises(OSError, match="too large"):
            workspace.write_file(path, "new\n" * 100_000)
    assert names(tmp_path) == ["a.txt"]
    assert workspace.read_file("a.txt") == "old\n"


@posix
def test_a_read_only_folder_is_refused(open_folder: Path) -> None:
    """Where no file can be made none is touched, and the error names the path."""
    (open_folder / "a.txt").write_text("old")
    open_folder.chmod(0o555)
    workspace = Workspace(open_folder)
    with unprivileged():
        for path in ("a.txt", "b.txt", "sub/c.txt"):
            with pytest.raises(PathError, match=path):
                workspace.write_file(path, "new")
    assert names(open_folder) == ["a.txt"]
    assert (open_folder / "a.txt").read_text() == "old"


@posix
def test_a_read_only_file_is_refused(open_folder: Path) -> None:
    """That its folder could be written does not mean that the file may be replaced."""
    open_folder.chmod(0o777)
    file = open_folder / "a.txt"
    file.write_text("old")
    file.chmod(0o444)
    with unprivileged(), pytest.raises(PathError, match="read-only"):
        Workspace(open_folder).edit_file("a.txt", "old", "new")
    assert file.read_text() == "old"
    assert names(open_folder) == ["a.txt"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_the_mode_of_a_file_is_kept(tmp_path: Path, mode: int) -> None:
    """A script stays executable and a private file private."""
    file = tmp_path / "run.sh"
    file.write_text("echo old\n")
    file.chmod(mode)
    Workspace(tmp_path).edit_file("run.sh", "old", "new")
    Workspace(tmp_path).write_file("run.sh", "echo newer\n")
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")
def test_the_owner_of_a_file_is_kept(tmp_path: Path) -> None:
    """An agent that runs as root does not take over the files that it edits."""
    file = tmp_path / "a.txt"
    file.write_text("old")
    os.chown(file, 65534, 65534)
    Workspace(tmp_path).edit_file("a.txt", "old", "new")
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)


@posix
def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    """The mask of the process decides, as for any other program."""
    Workspace(tmp_path).write_file("sub/a.txt", "new")
    (tmp_path / "b.txt").write_text("new")
    assert (tmp_path / "sub/a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


WRITER = """
import sys
from batchwrap.tools import Workspace
workspace = Workspace(sys.argv[1])
for version in range(1_000_000):
    workspace.write_file("a.txt", chr(97 + version % 26) * 300_000 + "\\n")
    print(version, flush=True)
"""


@pytest.mark.parametrize("versions", [1, 2, 3, 5, 8])
def test_a_killed_writer_leaves_a_complete_version(tmp_path: Path, versions: int) -> None:
    """Killed anywhere in a loop of writes, the file is one of the versions from end to end."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(versions):
            assert writer.stdout.readline()
        writer.kill()
        writer.communicate()
    content = (tmp_path / "a.txt").read_text()
    assert len(content) == 300_001
    assert len(set(content)) == 2
    left = set(names(tmp_path)) - {"a.txt"}
    assert len(left) <= 1
    assert all(name.startswith(TEMP_PREFIX) for name in left)
    assert Workspace(tmp_path).list_files() == ["a.txt"]


def test_edits_from_many_threads_are_all_kept(tmp_path: Path) -> None:
    """Edits of one file at the same time do not overwrite each other."""
    workspace = Workspace(tmp_path)
    marks = [f"<{number:02d}>" for number in range(24)]
    workspace.write_file("a.txt", "\n".join(marks))
    threads = [
        threading.Thread(target=workspace.edit_file, args=("a.txt", mark, mark.strip("<>")))
        for mark in marks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert workspace.read_file("a.txt") == "\n".join(mark.strip("<>") for mark in marks)

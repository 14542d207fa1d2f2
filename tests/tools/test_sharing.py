"""Several users of one workspace, large files, and patterns that are made to cost."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.tools import TextError, Workspace, WorkspaceError
from batchwrap.tools.workspace import _fits

MARKS = [f"<{number:03d}>" for number in range(200)]


def edit_all(workspace: Workspace, path: str, marks: Sequence[str]) -> None:
    """Take the brackets away from each mark."""
    for mark in marks:
        workspace.edit_file(path, mark, mark.strip("<>"))


@pytest.mark.parametrize("roots", [(".", "."), (".", "sub")], ids=["one root", "one in the other"])
def test_two_objects_lose_no_edit(tmp_path: Path, roots: tuple[str, str]) -> None:
    """Edits through two objects do not overwrite each other, whichever root they have."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("\n".join(MARKS))
    threads = [
        threading.Thread(
            target=edit_all,
            args=(Workspace(tmp_path / root), str(tmp_path / "sub" / "a.txt"), MARKS[place::4]),
        )
        for place, root in enumerate(roots * 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "<" not in (tmp_path / "sub" / "a.txt").read_text()


EDITS = """
import sys
from batchwrap.tools import Workspace
print("ready", flush=True)
sys.stdin.readline()
workspace = Workspace(sys.argv[1])
for mark in sys.argv[2:]:
    workspace.edit_file("a.txt", mark, mark.strip("<>"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
def test_two_processes_lose_no_edit(tmp_path: Path) -> None:
    """The same for processes that have one root."""
    (tmp_path / "a.txt").write_text("\n".join(MARKS))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", EDITS, str(tmp_path), *MARKS[place::2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for place in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        process.communicate(b"go\n")
    assert [process.returncode for process in started] == [0, 0]
    assert "<" not in (tmp_path / "a.txt").read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_edit(tmp_path: Path) -> None:
    """A lock that another thread holds while a process forks is not held in the child for good."""
    workspace = Workspace(tmp_path)
    workspace.write_file("a.txt", "x")
    script = (
        "import os, sys, threading\n"
        "from batchwrap.tools import Workspace, _confined\n"
        "workspace = Workspace(sys.argv[1])\n"
        "for lock in _confined._LOCKS: lock.acquire()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    workspace.edit_file('a.txt', 'x', 'y')\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    assert workspace.read_file("a.txt") == "y"


@pytest.mark.skipif(sys.platform == "win32", reason="needs files with holes")
def test_a_part_of_a_file_that_is_larger_than_memory(tmp_path: Path) -> None:
    """Reading some lines reads no more of a file than they take."""
    file = tmp_path / "large.txt"
    file.write_text("".join(f"line {number}\n" for number in range(1, 50_001)))
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)  # a hole: NUL characters, if anybody reads them
    workspace = Workspace(tmp_path)
    assert workspace.read_file("large.txt", limit=2) == "line 1\nline 2\n"
    assert workspace.read_file("large.txt", offset=40_000, limit=1) == "line 40000\n"
    with pytest.raises(TextError, match="NUL"):
        workspace.read_file("large.txt", offset=50_000, limit=3)


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
PIECES = st.lists(st.text(CHARACTERS, max_size=4) | st.sampled_from(["\n", "\r\n", "\r"]))


@given(PIECES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.data())
def test_a_part_is_a_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], encoding: str, data: st.DataObject
) -> None:
    """Some lines, however many, are the same as these lines of the whole text."""
    workspace = Workspace(tmp_path_factory.getbasetemp())
    (workspace.root / "part.txt").write_bytes("".join(pieces).encode(encoding))
    whole = workspace.read_file("part.txt")
    *full, last = whole.split("\n")
    lines = [f"{line}\n" for line in full] + [last] * bool(last)
    first = data.draw(st.integers(1, len(lines) + 2))
    limit = data.draw(st.none() | st.integers(1, len(lines) + 2))
    if first > max(len(lines), 1):
        with pytest.raises(WorkspaceError, match=f"has {len(lines)} lines"):
            workspace.read_file("part.txt", first, limit)
    else:
        part = "".join(lines[first - 1 :][:limit])
        assert workspace.read_file("part.txt", first, limit) == part


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_lies_across_two_chunks(tmp_path: Path, size: int, encoding: str) -> None:
    """A character or a line end that a chunk cuts in two is whole in the text."""
    text = "é" * (size // 2) + "\r\né\r\nlast"
    (tmp_path / "a.txt").write_bytes(codecs.encode("x" + text, encoding))
    workspace = Workspace(tmp_path)
    assert workspace.read_file("a.txt", 2) == "é\nlast"
    assert workspace.read_file("a.txt", 1, 2) == "x" + "é" * (size // 2) + "\né\n"


def test_stars_without_number(tmp_path: Path) -> None:
    """A pattern costs its length times the path's, however many ``**`` it has."""
    workspace = Workspace(tmp_path)
    path = "/".join(["d"] * 60)
    workspace.write_file(f"{path}/a.py", "")
    assert workspace.list_files("**/" * 40 + "a.py") == [f"{path}/a.py"]
    assert workspace.list_files("**/d/" * 30 + "b.py") == []


def by_definition(names: list[str], pattern: list[str]) -> bool:
    """Whether a path fits a pattern, as plainly as it can be said."""
    if not pattern or not names:
        return not names and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return by_definition(names, pattern[1:]) or by_definition(names[1:], pattern)
    return fnmatchcase(names[0], pattern[0]) and by_definition(names[1:], pattern[1:])


NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=5)
PATTERNS = st.lists(st.sampled_from(["**", "*", "a", "?", "b*", "[ab]"]), max_size=5)


@given(NAMES, PATTERNS)
def test_a_pattern_means_what_it_meant(names: list[str], pattern: list[str]) -> None:
    """The walk decides as the definition does."""
    assert _fits(names, pattern) is by_definition(names, pattern)

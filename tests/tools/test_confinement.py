"""No path makes a workspace touch anything outside its root."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.tools import NotFoundError, PathError, Workspace, WorkspaceError

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX links and pipes")

SECRET = "the secret\n"


def build(base: Path) -> tuple[Path, Path]:
    """A root with links of every kind, and a folder beside it that they lead to."""
    root, outside = base / "root", base / "outside"
    (root / "sub").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("inside\n")
    (root / "sub" / "b.txt").write_text("inside\n")
    (outside / "secret.txt").write_text(SECRET)
    (root / "inner").symlink_to("sub")
    (root / "inner.txt").symlink_to("sub/b.txt")
    (root / "out").symlink_to(outside)
    (root / "out.txt").symlink_to(outside / "secret.txt")
    (root / "new.txt").symlink_to(outside / "new.txt")
    (root / "sub" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    return root, outside


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Everything under a folder: when it was changed, and a file's bytes."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def places(tmp_path: Path) -> tuple[Workspace, Path]:
    root, outside = build(tmp_path)
    return Workspace(root), outside


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Workspace, Path]]:
    with tempfile.TemporaryDirectory() as base:
        root, outside = build(Path(base).resolve())
        yield Workspace(root), outside


FAIR = ["", "a.txt", "b.txt", "sub", "inner", "x", "root", "outside", "secret.txt", "deep"]
FOUL = [".", "..", "...", "~", "out", "out.txt", "new.txt", "up", "loop", "\0", "\ud800", " ", "C:"]
NAMES = st.sampled_from(FAIR) | st.sampled_from(FOUL)
BASES = st.sampled_from(["", "/", "//", "./", "{root}/", "{outside}/", "{root}/../", "\\\\?\\"])
PATHS = st.builds(
    lambda base, names: base + "/".join(names), BASES, st.lists(NAMES, max_size=5)
) | st.text().filter(lambda text: not text.startswith("/"))


@posix
@given(PATHS, PATHS)
def test_no_path_whatsoever_leads_outside(
    shared: tuple[Workspace, Path], path: str, pattern: str
) -> None:
    """Reading shows nothing from outside, and writing changes nothing there."""
    workspace, outside = shared
    path = path.replace("{root}", str(workspace.root)).replace("{outside}", str(outside))
    before = snapshot(outside)
    for arguments in (
        ("read_file", {"path": path}),
        ("edit_file", {"path": path, "old_string": "secret", "new_string": "known"}),
        ("write_file", {"path": path, "content": "inside\n"}),
    ):
        assert "secret\n" not in workspace.call(*arguments)
    try:
        listed = workspace.list_files(pattern)
    except PathError:
        listed = []
    assert all((workspace.root / name).resolve().is_relative_to(workspace.root) for name in listed)
    assert snapshot(outside) == before
    assert {entry.name for entry in outside.parent.iterdir()} == {"root", "outside"}


@posix
@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "sub/../../outside/secret.txt",
        "sub/../a.txt",
        "out/secret.txt",
        "out/deep/new.txt",
        "out.txt",
        "new.txt",
        "sub/up/outside/secret.txt",
        "{outside}/secret.txt",
        "/etc/passwd",
        "loop",
        "loop/a.txt",
        "a.txt/b.txt",
        "a.txt/",
        "sub",
        ".",
        "./",
        "{root}",
        "",
        "  ",
        "a\0.txt",
        "a\ud800.txt",
        "x" * 300,
        "x/" * 3000 + "x",
    ],
)
def test_a_wrong_path_is_refused_by_name(places: tuple[Workspace, Path], path: str) -> None:
    """Each kind of wrong path is an error that carries it, for reading, editing and writing."""
    workspace, outside = places
    path = path.replace("{root}", str(workspace.root)).replace("{outside}", str(outside))
    before = snapshot(outside)
    uses: list[Callable[[], str]] = [
        lambda: workspace.read_file(path),
        lambda: workspace.edit_file(path, "secret", "known"),
        lambda: workspace.write_file(path, "new"),
    ]
    for use in uses:
        with pytest.raises(PathError) as caught:
            use()
        assert caught.value.path == path
        assert repr(path)[:50] in str(caught.value)
    assert snapshot(outside) == before


@posix
def test_links_and_absolute_paths_that_stay_inside_are_followed(
    places: tuple[Workspace, Path],
) -> None:
    """A link is no hindrance as such; results name the file that it leads to."""
    workspace, _ = places
    assert workspace.read_file("inner/b.txt") == "inside\n"
    assert workspace.read_file(str(workspace.root / "a.txt")) == "inside\n"
    assert workspace.edit_file("inner.txt", "inside", "edited").endswith("in sub/b.txt")
    assert (workspace.root / "inner.txt").is_symlink()
    assert workspace.read_file("sub/b.txt") == "edited\n"


@posix
def test_the_root_may_be_reached_by_a_link(tmp_path: Path) -> None:
    """A root given as a link takes absolute paths that go through the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    workspace = Workspace(tmp_path / "link")
    assert workspace.write_file(str(tmp_path / "link" / "a.txt"), "a") == "Created a.txt (1 line)"
    assert (tmp_path / "real" / "a.txt").read_text() == "a"


def test_a_root_is_an_existing_folder(tmp_path: Path) -> None:
    """A missing root, or a file as root, is refused at once."""
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(PathError) as caught:
            Workspace(root)
        assert caught.value.path == str(root)


@posix
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    """A pipe with nobody at its other end does not block the agent."""
    os.mkfifo(tmp_path / "pipe")
    workspace = Workspace(tmp_path)
    with pytest.raises(PathError, match="pipe"):
        workspace.read_file("pipe")
    with pytest.raises(PathError, match="pipe"):
        workspace.write_file("pipe", "x")


@posix
def test_a_folder_swapped_for_a_link_does_not_lead_outside(tmp_path: Path) -> None:
    """Somebody who swaps folder and link all the time gains nothing: the call fails or stays in."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    folder = root / "folder"
    folder.mkdir(parents=True)
    outside.mkdir()
    (outside / "a.txt").write_text(SECRET)
    over = threading.Event()

    def swap() -> None:
        for number in count():
            if over.is_set():
                return
            folder.rename(root / f"old{number}")
            # The writer makes the folder as well, where it finds none.
            with suppress(FileExistsError):
                folder.symlink_to(outside)
                folder.unlink()
                folder.mkdir()

    swapper = threading.Thread(target=swap)
    swapper.start()
    workspace, written = Workspace(root), 0
    try:
        for _ in range(600):
            try:
                workspace.write_file("folder/a.txt", "inside\n")
                written += 1
                assert workspace.read_file("folder/a.txt") == "inside\n"
            except WorkspaceError:
                continue
    finally:
        over.set()
        swapper.join()
    assert written
    assert [path.name for path in outside.iterdir()] == ["a.txt"]
    assert (outside / "a.txt").read_text() == SECRET


@posix
def test_listing_shows_what_is_inside_only(places: tuple[Workspace, Path]) -> None:
    """Links that lead outside or nowhere are not listed, and linked folders are not entered."""
    workspace, _ = places
    assert workspace.list_files() == ["a.txt", "inner.txt", "sub/b.txt"]
    assert workspace.list_files("out/*") == []


@pytest.mark.parametrize("pattern", ["../*", "sub/../../*", "/etc/*"])
def test_a_pattern_that_leads_outside_is_refused(tmp_path: Path, pattern: str) -> None:
    """Patterns are held to the root as paths are."""
    with pytest.raises(PathError) as caught:
        Workspace(tmp_path).list_files(pattern)
    assert caught.value.path == pattern


def test_a_missing_file_is_told_apart(tmp_path: Path) -> None:
    """A file that is not there has an error of its own."""
    with pytest.raises(NotFoundError, match=r"missing/a\.txt"):
        Workspace(tmp_path).read_file("missing/a.txt")

"""What processes publish for each other: whole files, which nobody else reads, or none."""

from __future__ import annotations

import stat
from pathlib import Path

import anyio
import pytest

from batchwrap.serve import peers
from batchwrap.serve.peers import Peers, Publication
from tests.serve.publishing import SECRET, publish

LINES = Publication("lines", lambda ended, own: ended + own)
OTHER = Publication("other", lambda ended, own: own or ended)
FULL = Path("/dev/full")  # a disk without room for anything
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")


def a_process(folder: Path, name: str, content: bytes = b"") -> Peers:
    """A process that has published something of both kinds."""
    made = Peers(folder, name, SECRET)
    if content:
        publish(made, {LINES: lambda: content, OTHER: content.upper})
    return made


def test_others(tmp_path: Path) -> None:
    """A process reads what the others have published, each kind for itself, and not its own."""
    one, two = a_process(tmp_path, "1", b"one\n"), a_process(tmp_path, "2", b"two\n")
    assert one.others(LINES) == [b"two\n"]
    assert two.others(OTHER) == [b"ONE\n"]
    assert a_process(tmp_path, "3").others(LINES) == [b"one\n", b"two\n"]


def test_ends(tmp_path: Path) -> None:
    """What stays of those that have ended is last, and each of them counts once."""
    own = a_process(tmp_path, "0", b"zero\n")
    for name in ("1", "2"):
        gone = a_process(tmp_path, name, b"gone\n")
        assert gone.end([LINES, OTHER])
        publish(gone, {LINES: lambda: b"late\n"})  # its file may be read by one that has listed it
        assert gone.end([LINES, OTHER])
    assert a_process(tmp_path, "3").others(LINES) == [b"zero\n", b"gone\ngone\n"]
    assert own.others(OTHER) == [b"GONE\n"]


def test_nobody_else_reads(tmp_path: Path) -> None:
    """The files are their user's, whatever the folder allows."""
    tmp_path.chmod(0o777)
    a_process(tmp_path, "1", b"one\n").end([LINES])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()]
    assert modes and set(modes) == {0o600}


@needs_full
def test_an_end_on_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be kept counts on, and is kept later, once for each kind."""
    own, gone = a_process(tmp_path, "0"), a_process(tmp_path, "1", b"gone\n")
    new = tmp_path / "ended.other.new"
    new.symlink_to(FULL)
    for _ in range(2):
        assert not gone.end([LINES, OTHER])
        assert own.others(LINES) == [b"gone\n"]
        assert own.others(OTHER) == [b"GONE\n"]
    new.unlink()
    assert gone.end([LINES, OTHER])
    assert own.others(LINES) == [b"gone\n"]
    assert own.others(OTHER) == [b"GONE\n"]
    assert {path.name for path in tmp_path.iterdir()} == {"ended.lines", "ended.other"}
    [told] = [one.getMessage() for one in caplog.records]
    assert "No space left" in told


@needs_full
@pytest.mark.anyio
async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is written as soon as there is room, though it has not changed."""
    monkeypatch.setattr(peers, "PERIOD_S", 0)
    new = tmp_path / "1.worker.lines.new"
    new.symlink_to(FULL)
    times = 0
    with anyio.CancelScope() as scope:

        def same() -> bytes:
            nonlocal times
            times += 1
            if times == 2:
                new.unlink()
            elif times == 4:
                scope.cancel()
            return b"same\n"

        await Peers(tmp_path, "1", SECRET).run({LINES: same})
    assert Peers(tmp_path, "2", SECRET).others(LINES) == [b"same\n"]


@pytest.mark.anyio
async def test_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is not written again while there is nothing new."""
    monkeypatch.setattr(peers, "PERIOD_S", 0)
    seen: list[int] = []
    with anyio.CancelScope() as scope:

        def same() -> bytes:
            seen.extend(path.stat().st_ino for path in tmp_path.iterdir())
            if len(seen) == 5:
                scope.cancel()
            return b"same\n"

        await Peers(tmp_path, "1", SECRET).run({LINES: same})
    assert len(set(seen)) == 1


@pytest.mark.anyio
async def test_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs that tidy up may remove it: a process goes on, and there is one warning."""
    monkeypatch.setattr(peers, "PERIOD_S", 0)
    own, times = Peers(tmp_path / "gone", "1", SECRET), 0
    with anyio.CancelScope() as scope:

        def render() -> bytes:
            nonlocal times
            times += 1
            if times == 3:
                scope.cancel()
            return b"%d" % times

        await own.run({LINES: render})
    assert not own.end([LINES])
    assert own.others(LINES) == []
    [told] = [one.getMessage() for one in caplog.records]
    assert "metrics and page" in told and str(tmp_path) in told


def test_aliases(tmp_path: Path) -> None:
    """A digest has the same name in all processes, and another one for those without the secret."""
    one, two = Peers(tmp_path, "1", SECRET), Peers(tmp_path, "2", SECRET)
    assert one.alias("digest") == two.alias("digest") != one.alias("digests")
    assert one.alias("digest") != Peers(tmp_path, "1", b"a guess").alias("digest")

"""Files: walked, streamed, and skipped with a reason where they are broken."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from batchwrap.analyze import analyze
from batchwrap.analyze.files import LogFile, Unreadable
from tests.analyze import samples


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\0\1\2", "is not text"),
        (b"plain words\nand more\n", "is neither JSON nor JSON lines"),
        (b'{"a": 1}\n', "of a known format"),
        (b"[1, 2]\n", "contains no JSON object"),
        (b'{"messages": [', "is neither JSON nor JSON lines"),
        (gzip.compress(samples.conversation())[:-20], "cannot be read"),
    ],
)
def test_what_is_skipped(content: bytes, reason: str, tmp_path: Path) -> None:
    """The reason is reported, and the next file is read."""
    (tmp_path / "1.jsonl").write_bytes(content)
    (tmp_path / "2.jsonl").write_bytes(samples.conversation())
    report = analyze([str(tmp_path)])
    assert report.totals.sessions == 1
    [problem] = report.problems
    assert problem.file == str(tmp_path / "1.jsonl") and reason in problem.reason
    assert report.skipped == 1


def test_a_document_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are no JSON are not collected for ever."""
    monkeypatch.setattr("batchwrap.analyze.files._LARGEST_DOCUMENT", 10_000)
    (tmp_path / "log").write_bytes(b"a line\n" * 2_000)
    [problem] = analyze([str(tmp_path)]).problems
    assert "has a document of more than" in problem.reason


def test_what_breaks_off(tmp_path: Path) -> None:
    """What stands before the end of a file that was cut counts, and the cut is reported."""
    packed = gzip.compress(samples.claude_code() * 3 + bytes(range(32, 127)) * 999, 0)
    (tmp_path / "log.gz").write_bytes(packed[:-70_000])
    report = analyze([str(tmp_path)])
    assert report.totals.requests >= 6
    assert (report.skipped, len(report.problems)) == (0, 1)
    assert "cannot be read" in report.problems[0].reason


def test_broken_skeletons(tmp_path: Path) -> None:
    """A session that is not whole is left out, and the others are read."""
    broken = {"id": "x", "source": "made", "turns": [["a", 1, [{"k": "read"}]]]}
    (tmp_path / "log").write_bytes(samples.lines(broken) + samples.skeleton())
    report = analyze([str(tmp_path)])
    assert report.totals.sessions == 1
    assert report.problems[0].reason == "1 of its sessions are not whole"


def test_broken_lines(tmp_path: Path) -> None:
    """Lines that are no JSON are left out and counted, the first one too; the rest is read."""
    lines = samples.claude_code().splitlines(keepends=True)
    file = tmp_path / "log"
    file.write_bytes(
        b"".join([b'{"cut": \n', *lines[:3], b"nonsense\n", b"\n", *lines[3:], b'{"a'])
    )
    report = analyze([str(file)])
    assert report.totals.requests == 6
    assert report.problems[0].reason == "3 lines are no JSON, the first is line 1"
    assert report.skipped == 0


def test_a_last_line_that_was_cut(tmp_path: Path) -> None:
    """One broken line is named by its number."""
    file = tmp_path / "log"
    file.write_bytes(samples.claude_code() + b'{"type": "assist')
    report = analyze([str(file)])
    assert (report.totals.requests, report.skipped) == (6, 0)
    number = samples.claude_code().count(b"\n") + 1
    assert report.problems[0].reason == f"line {number} is no JSON"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"nothing here", b"half of a pair: \\ud83d"),
        (b"nothing here", b"Latin-1: \xe4\xff"),
        (b'"cwd":"/job"', b'"cwd":NaN'),
    ],
)
@pytest.mark.parametrize("indented", [False, True])
def test_odd_encodings(old: bytes, new: bytes, indented: bool, tmp_path: Path) -> None:
    """What JavaScript writes and other programs read is read here, too."""
    log = samples.claude_code()
    assert old in log
    log = log.replace(old, new)
    if indented:
        log = log.replace(b'{"type"', b'{\n"type"').replace(b"}\n", b"\n}\n")
    (tmp_path / "log").write_bytes(log)
    report = analyze([str(tmp_path)])
    assert (report.totals.requests, report.problems) == (6, [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["claude_code", "opencode"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf_16(encoding: str, name: str, packed: bool, tmp_path: Path) -> None:
    """What PowerShell writes with ``>`` is read like any other file, gzipped or not."""
    text = "\ufeff" + samples.SAMPLES[name]().decode().replace("\n", "\r\n")
    content = text.encode(encoding)
    (tmp_path / "log").write_bytes(gzip.compress(content) if packed else content)
    report = analyze([str(tmp_path)])
    assert (report.totals.requests, report.problems) == (6, [])


def test_documents_that_break_off(tmp_path: Path) -> None:
    """Of documents one behind the other all but the last one, which was cut, are read."""
    (tmp_path / "log").write_bytes(samples.sdk_spans()[:-50])
    report = analyze([str(tmp_path)])
    assert report.totals.requests == 5
    assert report.problems[0].reason == "its last document breaks off"


def test_a_byte_order_mark(tmp_path: Path) -> None:
    """It does not make the first line broken."""
    file = tmp_path / "log"
    file.write_bytes(b"\xef\xbb\xbf" + samples.conversation())
    assert not analyze([str(file)]).problems


def test_folders_are_walked_once(tmp_path: Path) -> None:
    """A file counts once, though its folder and the file itself are given."""
    inner = tmp_path / "in" / "side"
    inner.mkdir(parents=True)
    (inner / "log").write_bytes(samples.conversation())
    report = analyze([str(tmp_path), str(inner), str(inner / "log")])
    assert (report.totals.sessions, dict(report.formats)) == (1, {"chat messages": 1})


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is what is piped in; it is left open."""
    given = io.TextIOWrapper(io.BytesIO(samples.codex()))
    monkeypatch.setattr(sys, "stdin", given)
    assert analyze(["-"]).totals.requests == 6
    assert not given.buffer.closed


def test_a_pipe(tmp_path: Path) -> None:
    """A named pipe, or what a shell puts in place of a command, is read once and as a whole."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[samples.codex()])
    writer.start()
    report = analyze([str(pipe)])
    writer.join()
    assert (report.totals.requests, report.problems) == (6, [])


def test_a_missing_file() -> None:
    """It is a problem like others."""
    assert "cannot be read" in analyze(["/no/such/file"]).problems[0].reason


def test_progress(tmp_path: Path) -> None:
    """Who watches is told each byte of the file once."""
    (tmp_path / "log").write_bytes(samples.claude_code() * 50)
    seen: list[int] = []
    analyze([str(tmp_path)], watch=lambda file, read: seen.append(read))
    assert sum(seen) == (tmp_path / "log").stat().st_size


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_long_line(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond all measure is refused before it fills the memory."""
    monkeypatch.setattr("batchwrap.analyze.files._LONGEST_LINE", 1_000)
    text = samples.conversation().decode().replace("swift", "é" * 1_000)
    (tmp_path / "log").write_text(text, encoding=encoding)
    with pytest.raises(Unreadable, match="has a line of more than"):
        list(LogFile(tmp_path / "log").records())


def many(file: Path, copies: int) -> None:
    """A log with so many sessions, each with results of 50 KB."""
    with file.open("wb") as log:
        for copy in range(copies):
            for line in samples.claude_code().splitlines():
                log.write(orjson.dumps(_longer(orjson.loads(line), copy)) + b"\n")


def _longer(line: samples.Json, copy: int) -> samples.Json:
    content = line.get("message", {}).get("content")
    for block in content if isinstance(content, list) else ():
        if block["type"] == "tool_result":
            block["content"] += " word.py" * 6_000
    return {**line, "sessionId": f"session-{copy}"} if "sessionId" in line else line


def peak(file: Path) -> Iterator[int]:
    """The most memory that reading took, in bytes."""
    tracemalloc.start()
    try:
        analyze([str(file)])
        yield tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A log ten times as large takes no more memory."""
    small, large = tmp_path / "small", tmp_path / "large"
    many(small, 4)
    many(large, 40)
    assert large.stat().st_size > 9_000_000
    [least], [most] = peak(small), peak(large)
    assert most < least * 1.2 + 1_000_000
    assert most < large.stat().st_size / 2

"""`batchwrap analyze`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app
from tests.analyze import samples
from tests.cli.commands import invoke, subprocess_of


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log of Claude Code."""
    file = tmp_path / "log.jsonl"
    file.write_bytes(samples.claude_code())
    return str(file)


def test_tables(log: str) -> None:
    """The answer first, then tables, what it takes, and what the figures rest on."""
    result = invoke("analyze", log, "--plan", "cerebras/code-max", env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout and "…" not in result.stdout
    assert result.stdout.splitlines()[0] == "Batching would save 16.7 to 33.3 % of 6 round trips."
    assert "What scripts could save at most: an upper bound" in result.stdout
    for part in ("What batching would save", "At cerebras/code-max", "By model", "By tool"):
        assert part in result.stdout
    for part in ("Lapses: 1; the worst", "src/a.py, src/b.py", "reminders ask for it", "'careful'"):
        assert part in result.stdout


def test_json(log: str) -> None:
    """One object and nothing else."""
    ran = subprocess_of("-m", "batchwrap", "analyze", log, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert found["saved"]["by itself"]["safe"]["round_trips"] == 1
    assert found["saved"]["by itself"]["upper"]["round_trips"] == 2
    assert found["pressure"] is None
    # Both reads and the edit are one script; the read behind the test run is none. It says "Next."
    # before each of them.
    bounds = found["scripts_at_most"]["by itself"]
    upper, silent = (
        [bounds[rule][name] for name in ("round_trips", "scripts", "calls")]
        for rule in ("upper", "silent")
    )
    assert (upper, silent) == ([2, 1, 3], [0, 0, 0])


def test_standard_input() -> None:
    """A dash reads what is piped in."""
    result = CliRunner().invoke(app, ["analyze", "-", "--json"], input=samples.opencode())
    assert result.exit_code == 0
    assert json.loads(result.stdout)["formats"] == {"OpenCode": 1}


def test_html(log: str, tmp_path: Path) -> None:
    """The page is written beside what is printed."""
    result = invoke("analyze", log, "--html", str(tmp_path / "report.html"))
    assert result.exit_code == 0 and result.stdout.startswith("Batching would save")
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_log_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    """No escape sequence gets out, from whatever name in a log or of a file; nor into a page."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[red]"
    coded = json.dumps(evil)[1:-1].encode()
    text = samples.claude_code()
    for name in (b"swift", b"Read", b"src/a.py", b"claude-1", b"toolu_"):
        text = text.replace(b'"' + name, b'"' + name + coded)
    (tmp_path / "log.jsonl").write_bytes(text)
    (tmp_path / "notes\x1b[2J.txt").write_text("words")
    page = tmp_path / "report.html"
    result = invoke("analyze", str(tmp_path), "--html", str(page), "--plan", "cerebras/code-max")
    assert result.exit_code == 0 and "notes\\x1b[2J.txt" in result.stderr
    assert "swift\\x1b]0;owned" in "".join(result.stdout.split())
    for shown in (result.stdout, result.stderr, page.read_text("utf-8")):
        assert all(one.isprintable() or one == "\n" for one in shown)


def test_skipped_files(log: str, tmp_path: Path) -> None:
    """They are named on stderr with the reason; the rest counts, and the exit code is 0."""
    (tmp_path / "notes.txt").write_text("words")
    result = invoke("analyze", str(tmp_path))
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "notes.txt: is neither JSON nor JSON lines" in result.stderr


def test_an_empty_folder(tmp_path: Path) -> None:
    """It is named, as a file without a session is."""
    result = invoke("analyze", str(tmp_path))
    assert (result.exit_code, result.stderr) == (1, f"batchwrap: {tmp_path}: has no files\n")


def test_many_skipped_files(tmp_path: Path) -> None:
    """Ten are named, the others counted; without a session the exit code is 1."""
    for number in range(15):
        (tmp_path / f"{number}.txt").write_text("words")
    result = invoke("analyze", str(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "No round trip was found.\n")
    assert len(result.stderr.splitlines()) == 11
    assert "and 5 more" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([__file__, "--tokens-per-s", "99"], "--tokens-per-s: is only for the limits of a plan"),
        ([__file__, "--html", __file__], "is a recording; name another file"),
        (["/no/such/file"], "PATH: /no/such/file does not exist"),
        ([__file__, "--plan", "cerebras/none"], "no plan 'cerebras/none'"),
        ([__file__, "--html", "/no/such/folder/x.html"], "--html: "),
        ([__file__, "--max-items", "1"], "--max-items"),
        ([], "PATH"),
    ],
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    """The exit code is 2, and the last line says what is wrong."""
    result = invoke("analyze", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr.splitlines()[-1]


def test_help() -> None:
    """Examples, every option, and the exit codes."""
    result = invoke("analyze", "--help")
    assert result.exit_code == 0
    for part in ("Examples:\n  ", "~/.claude/projects", "0 shown", "1 no session", "2 wrong"):
        assert part in result.stdout
    for option in ("plan", "tokens-per-s", "max-items", "html", "json"):
        assert f"--{option} " in result.stdout


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_page_that_cannot_be_written(log: str) -> None:
    """Where writing fails, the option and the file are named in one line, without a traceback."""
    result = invoke("analyze", log, "--html", "/proc/page.html")
    assert result.exit_code == 2
    assert result.stderr.startswith("batchwrap: --html: /proc/page.html")
    assert result.stderr.count("\n") == 1

"""`batchwrap eval --answers`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app
from batchwrap.eval.answers.answer_file import SCHEMA
from batchwrap.eval.answers.scripted_answers import answerer
from batchwrap.eval.simulated import MODELS
from batchwrap.lab import Lab, Raw
from tests.eval.helpers import KEY, interrupting, quick_lab

ENV = {"THE_KEY": KEY}
EDITS = ["--answers", "edits", "--arm", "bare", "--arm", "offer"]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", *arguments], env=ENV, prog_name="batchwrap")


def real(lab: Lab | str, out: Path, *arguments: str) -> list[str]:
    base_url = lab if isinstance(lab, str) else lab.base_url
    key = ["--api-key-env", "THE_KEY"]
    return ["--base-url", base_url, "--model", "m", *key, "--out", str(out), *arguments]


def test_in_the_lab(tmp_path: Path) -> None:
    """A table that says that it is simulated, a line for each answer, a page."""
    page = tmp_path / "answers.md"
    result = invoke("--lab", "--model", "cooperates", *EDITS, "--report", str(page))
    assert result.exit_code == 0
    for part in ("SIMULATED", "after a plan", "4/4 (51-100 %)", "0/4 (0-49 %)", "14/14"):
        assert part in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()[:-1]) <= 80
    lines = result.stderr.splitlines()
    assert lines[-1] == "[8/8] edits, 5 files, offer: 5 of 5 in one answer"
    assert page.read_text().startswith("# batchwrap eval: SIMULATED")


def test_the_arms_by_kind() -> None:
    """Without --arm, second answers have reminders that are due just then."""
    numbers = json.loads(invoke("--lab", "--answers", "second", "--json").stdout)
    assert [row["arm"] for row in numbers["shares"][:5]] == [
        *("bare", "offer", "reminders", "every4", "every6"),
    ]
    due = [("reminders", 2), ("every4", 4), ("every6", 6)]
    for row in numbers["shares"]:
        if (row["arm"], row["lapses"]) in due:
            assert row["reminded"] == row["batches"] == row["answers"] == 6
        if row["arm"] in ("bare", "offer"):
            assert (row["reminded"], row["batches"]) == (0, 0)


def test_a_real_endpoint_and_again(tmp_path: Path) -> None:
    """The file can be handed back: it has the schema and no secrets; nothing is asked twice."""
    out = tmp_path / "answers.json"
    with quick_lab(answerer(MODELS["cooperates"])) as lab:
        result = invoke(*real(lab, out, *EDITS))
        assert result.exit_code == 0
        assert "real tokens of m at a local server" in result.stderr
        assert "m at a local server" in result.stdout
        asked = lab.round_trips
        again = json.loads(invoke(*real(lab, out, *EDITS, "--json")).stdout)
        assert (lab.round_trips, again["missing"]) == (asked, 0)
        saved = json.loads(out.read_text())
        assert saved["schema"] == SCHEMA
        assert saved["setting"]["base_url"] == "a local server"
        assert len(saved["answers"]) == asked == 8
        assert KEY not in out.read_text() + result.output
        more = invoke(*real(lab, out, *EDITS, "--runs", "2", "--dry-run"))
        assert more.stdout == "8 requests, 512 output tokens each at most\n"


def test_a_server_without_a_key(tmp_path: Path) -> None:
    """No key has to be named."""
    out = tmp_path / "answers.json"
    with Lab(answerer(MODELS["never"]), tokens_per_s=float("inf"), ttft_s=0) as lab:
        endpoint = ["--base-url", lab.base_url, "--model", "m"]
        assert invoke(*endpoint, "--out", str(out), *EDITS).exit_code == 0


def test_a_dead_endpoint(tmp_path: Path) -> None:
    """The exit code is 1, and one line says what to do."""
    with quick_lab() as lab:
        address = lab.base_url
    result = invoke(*real(address, tmp_path / "answers.json", *EDITS))
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"batchwrap: the endpoint failed: nothing answers at {address}")
    assert last.endswith("start it, or correct the address")


def test_a_wrong_model(tmp_path: Path) -> None:
    """What the endpoint says is shown, and the file is not made."""
    out = tmp_path / "answers.json"
    with quick_lab(lambda _: Raw(404, chunks=(b'{"error": {"message": "no such model"}}',))) as lab:
        result = invoke(*real(lab, out, *EDITS))
    assert result.exit_code == 1
    assert "no such model" in result.stderr
    assert not out.exists()


def test_ctrl_c(tmp_path: Path) -> None:
    """The exit code is 130, and the same command goes on."""
    out = tmp_path / "answers.json"
    with quick_lab(interrupting(answerer(MODELS["never"]), 3)) as lab:
        result = invoke(*real(lab, out, *EDITS))
        assert result.exit_code == 130
        assert len(json.loads(out.read_text())["answers"]) == 2
        assert invoke(*real(lab, out, *EDITS)).exit_code == 0
    assert len(json.loads(out.read_text())["answers"]) == 8


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--lab", "--answers", "third"], "--answers: 'third' is not one of 'first', 'second'"),
        (["--lab", "--answers", "first", "--task", "answer"], "--task: "),
        (["--lab", "--answers", "first", "--parallel", "2"], "--parallel: "),
        (["--lab", "--answers", "first", "--arm", "bare", "--arm", "bare"], "--arm: "),
        (["--base-url", "https://x.test", "--model", "m", "--answers", "first"], "--out: "),
        (["--answers", "first"], "--base-url: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    """The exit code is 2, nothing is asked, and one line says what is wrong."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr.splitlines()[-1]

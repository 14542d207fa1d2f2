"""The file of runs: nothing that was paid for is lost or run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwrap.errors import ConfigError
from batchwrap.eval.runs import Cell, Run, RunFile, latest
from tests.eval.helpers import plan_of, run_of

SETTING = {"model": "m", "seed": 0}
RUNS = [run_of("chain", "bare", number) for number in (1, 2, 3)]


def file_at(path: Path, **setting: object) -> RunFile:
    return RunFile(path, {**SETTING, **setting}, {"openai": "3"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three runs."""
    file = file_at(tmp_path / "runs.jsonl")
    for run in RUNS:
        file.add(run)
    return tmp_path / "runs.jsonl"


def test_what_was_written_is_read(path: Path) -> None:
    """Every run is a line with its setting and versions, and comes back as it was."""
    assert file_at(path).runs == RUNS
    assert file_at(path).notices == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert all(line["setting"] == SETTING for line in lines)
    assert lines[0]["versions"] == {"openai": "3"}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 2_000))
def test_a_file_that_was_cut_off_anywhere(path: Path, cut: int) -> None:
    """What is whole of it is read, the rest is taken out, and the next run has its own line."""
    before = path.read_bytes()
    path.write_bytes(before[: max(0, len(before) - cut)])
    file = file_at(path)
    kept = list(file.runs)
    assert kept == RUNS[: len(kept)]
    assert len(kept) >= path.read_bytes().count(b"\n")
    file.add(RUNS[0])
    again = file_at(path)
    assert (again.runs, again.notices) == ([*kept, RUNS[0]], [])
    path.write_bytes(before)


def test_a_cut_is_told(path: Path) -> None:
    """The user hears of a line that was removed, once."""
    path.write_bytes(path.read_bytes()[:-20])
    file = file_at(path)
    assert file.runs == RUNS[:2]
    assert file.notices == ["The last line was cut off in the middle and was removed."]
    assert file_at(path).notices == []


def test_other_lines_are_left_alone(path: Path) -> None:
    """Runs of another model and lines that are no run are not counted, and stay."""
    text = path.read_text() + "no run\n" + '{"setting": {}}\n'
    path.write_text(text)
    other = file_at(path, model="other")
    assert other.runs == []
    assert other.notices == [
        "Lines that are no runs were skipped: 4, 5.",
        "3 runs of other settings were skipped.",
    ]
    other.add(RUNS[0])
    assert path.read_text().startswith(text)
    assert file_at(path).runs == RUNS


@pytest.mark.parametrize("content", ["My novel.\n", "My novel, unfinished", "{}\n", "[]"])
def test_a_file_of_something_else(tmp_path: Path, content: str) -> None:
    """It is refused, and not touched."""
    path = tmp_path / "novel.txt"
    path.write_text(content)
    with pytest.raises(ConfigError, match="contains no runs"):
        file_at(path)
    assert path.read_text() == content


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    """An impossible path is an error before anything is run."""
    with pytest.raises(ConfigError, match="--out"):
        file_at(tmp_path / "none/runs.jsonl")


def test_in_memory() -> None:
    """Without a path the runs are kept all the same."""
    file = RunFile(None, {}, {})
    file.add(RUNS[0])
    assert file.runs == RUNS[:1]


def stopped(run: Run) -> Run:
    return run_of(run.task, run.arm, run.number, ended="stopped", done=False)


def test_what_is_missing() -> None:
    """Stopped runs, runs of other options and, if wanted, errors are to be run; nothing else."""
    plan = plan_of("chain", arms=("bare", "offer"), runs=2)
    failed = run_of("chain", "offer", 1, ended="error", done=False)
    runs = [RUNS[0], stopped(RUNS[1]), failed, run_of("chain", "offer", 2, options="old")]
    assert set(plan.missing(runs)) == {Cell("chain", "bare", 2), Cell("chain", "offer", 2)}
    assert Cell("chain", "offer", 1) in plan.missing(runs, again=True)
    assert set(plan.missing([])) == set(plan.cells())
    assert plan.missing([*runs, RUNS[1], run_of("chain", "offer", 2)]) == []


def test_the_last_result_counts() -> None:
    """Of two runs of one place the later one is the result; one that was stopped is none."""
    better = run_of("chain", "bare", 1, round_trips=99)
    assert latest([RUNS[0], better, stopped(RUNS[0])]) == {better.cell: better}

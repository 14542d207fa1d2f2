"""From runs to numbers, tables and pages."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from batchwrap.eval import eval_report
from batchwrap.eval.arms import standard_arms
from batchwrap.eval.eval_report import EvaluationResult
from batchwrap.eval.eval_session import EvaluationPlan, SessionOutcome
from batchwrap.eval.runs import Run
from batchwrap.eval.summary import Summary, summarise, where_it_failed
from batchwrap.eval.token_budget import Prices
from tests.eval.helpers import plan_of, run_of

STANDARD = tuple(arm.name for arm in standard_arms())
PLAN = plan_of("chain", "answer", runs=2)
SETTING = {
    "simulated": False,
    "model": "swift",
    "base_url": "https://x.test/v1",
    "seed": 0,
    "limits": "auto",
}


def some_runs(**wrapped: Any) -> list[Run]:
    """Bare runs with 10 or 20 round trips, and wrapped ones with half of that."""
    runs = []
    for number in (1, 2):
        for task, trips in (("chain", 10), ("answer", 20)):
            runs.append(run_of(task, "bare", number, round_trips=trips + number))
            half = trips // 2 + number
            runs.append(run_of(task, "reminders", number, **{"round_trips": half, **wrapped}))
    return runs


def result(runs: list[Run], plan: EvaluationPlan = PLAN, **values: Any) -> EvaluationResult:
    given: dict[str, Any] = {"setting": SETTING, "prices": None, "outcome": SessionOutcome()}
    return EvaluationResult(plan=plan, runs=runs, **(given | values))


def printed(it: EvaluationResult, summary: Summary) -> list[list[str]]:
    """The cells of both tables, row by row."""
    out = StringIO()
    for table in eval_report.tables(it, summary):
        Console(file=out, width=120).print(table)
    lines = [line for line in out.getvalue().splitlines() if "│" in line or "┃" in line]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_the_tasks_fit_a_terminal() -> None:
    """With all standard arms the table of the tasks is no wider than 80 characters."""
    plan = plan_of("constant", arms=STANDARD, runs=3)
    runs = [
        run_of("constant", name, number, round_trips=33)
        for name in STANDARD
        for number in (1, 2, 3)
    ]
    _, by_task = eval_report.tables(result(runs, plan), summarise(plan, runs, None))
    assert len(by_task.columns) == 1 + len(STANDARD)
    assert Console(width=1_000).measure(by_task).maximum <= 80


def test_means_and_differences() -> None:
    """Each arm has its mean per run, and what it differs by from the bare one."""
    summary = summarise(PLAN, some_runs(), None)
    bare, wrapped = summary.arms["bare"], summary.arms["reminders"]
    assert (bare.measures["round_trips"].value, bare.differences) == (16.5, {})
    assert wrapped.measures["round_trips"].value == 9
    difference = wrapped.differences["round_trips"]
    assert difference.value == -7.5
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= -7.5 <= difference.high < 0
    assert summary.tasks["chain"]["reminders"].round_trips == 6.5
    assert (summary.missing, summary.left_out) == (0, 0)


def test_only_what_all_arms_have_is_compared() -> None:
    """A result whose counterpart is missing is left out, and the report says so."""
    runs = [run for run in some_runs() if run.cell != ("chain", "bare", 2)]
    summary = summarise(PLAN, runs, None)
    assert (summary.missing, summary.left_out) == (1, 1)
    assert summary.arms["bare"].runs == summary.arms["reminders"].runs == 3
    assert summary.arms["reminders"].measures["round_trips"].value == pytest.approx(29 / 3)
    text = "\n".join(eval_report.notes(result(runs), summary))
    assert "1 runs of the plan are missing" in text
    assert "1 results are left out" in text
    assert "2 runs of each task are needed" in text


def test_costs() -> None:
    """With prices the cost is a measure; cached tokens have their own price."""
    runs = [run_of("chain", "bare", 1, prompt_tokens=1_000, cached_tokens=600)]
    prices = Prices(prompt=1_000, completion=10_000, cached=100)
    summary = summarise(plan_of("chain", arms=("bare",)), runs, prices)
    assert summary.arms["bare"].measures["cost"].value == pytest.approx(0.4 + 0.06 + 1.0)
    assert "cost" not in summarise(PLAN, some_runs(), None).arms["bare"].measures


def test_what_is_not_reported_is_no_number() -> None:
    """Where one run has no tokens, there is no mean of them, and no cost."""
    runs = some_runs(prompt_tokens=None)
    summary = summarise(PLAN, runs, Prices(prompt=1, completion=1))
    assert "prompt_tokens" not in summary.arms["bare"].measures
    assert "cost" not in summary.arms["bare"].measures
    assert "completion_tokens" in summary.arms["bare"].measures
    notes = "\n".join(eval_report.notes(result(runs), summary))
    assert "Not reported by the provider: prompt tokens." in notes


def test_failures_are_named() -> None:
    """Runs that did not do their task count in the share, and are listed with the reason."""
    runs = some_runs(done=False, problem="a.py is missing", ended="error")
    it, summary = result(runs), summarise(PLAN, runs, None)
    assert summary.arms["reminders"].measures["done"].value == 0
    assert summary.arms["reminders"].differences["done"].value == -1
    assert len(where_it_failed(PLAN, runs)) == 4
    notes = eval_report.notes(it, summary)
    assert notes[0].startswith("4 of the 4 runs of reminders were ended by an error")
    assert "Not done: chain, reminders, run 1: a.py is missing" in notes


def test_the_table() -> None:
    """A row for each measure and arm, and one for each task; what is 0 is not shown."""
    rows = printed(result(some_runs()), summarise(PLAN, some_runs(), None))
    assert rows[0] == ["", "arm", "mean per run", "95 % interval", "to bare", "95 % interval"]
    assert rows[1][:3] == ["task done", "bare", "100 %"]
    at = next(at for at, row in enumerate(rows) if row[0] == "round trips")
    assert rows[at][1:3] == ["bare", "16.5"]
    assert rows[at + 1][:3] == ["", "reminders", "9.0"]
    assert rows[at + 1][4] == "-7.5 (-45%)"
    assert not any("refused" in row[0] for row in rows)
    assert rows[-3:] == [
        ["task", "bare", "reminders"],
        ["chain", "2/2 11.5", "2/2 6.5"],
        ["answer", "2/2 21.5", "2/2 11.5"],
    ]


def test_the_page() -> None:
    """Markdown with the same numbers, the notes, and what tasks and arms are."""
    page = eval_report.markdown(result(some_runs()), summarise(PLAN, some_runs(), None))
    assert page.startswith("# batchwrap eval: swift at https://x.test/v1\n\n- ")
    assert "| round trips | bare | 16.5 |" in page
    assert "- `chain`: the control" in page
    assert "- `reminders`: `defaults`" in page
    assert "SIMULATED" not in page


def test_the_dict_is_json() -> None:
    """All numbers by name, with the setting and how it ended."""
    it = result(some_runs(), outcome=SessionOutcome(limit="the limit"))
    numbers = json.loads(json.dumps(eval_report.as_dict(it, it.summary)))
    assert numbers["arms"]["reminders"]["measures"]["round_trips"]["value"] == 9
    assert numbers["arms"]["reminders"]["differences"]["round_trips"]["value"] == -7.5
    assert numbers["arms"]["bare"]["options"] == "bare"
    assert numbers["tasks"]["chain"]["bare"] == {"runs": 2, "done": 2, "round_trips": 11.5}
    assert (numbers["simulated"], numbers["stopped"]["limit"]) == (False, "the limit")


def test_a_simulation_says_so_everywhere() -> None:
    """Title, notes and JSON name it as simulated."""
    setting = {**SETTING, "simulated": True, "model": "forgets"}
    it = result(some_runs(), setting=setting)
    assert it.title == "SIMULATED provider, scripted model that batches only when recently reminded"
    assert any(note.startswith("SIMULATED: ") for note in eval_report.notes(it, it.summary))
    assert eval_report.as_dict(it, it.summary)["simulated"] is True


def test_nothing_run_yet() -> None:
    """Without a result there is nothing to show but what is missing."""
    it = result([])
    summary = it.summary
    assert (summary.arms, summary.missing) == ({}, 8)
    assert eval_report.notes(it, summary)[0].startswith("8 runs of the plan are missing")
    assert "| task |" in eval_report.markdown(it, summary)
    assert eval_report.as_dict(it, summary)["arms"] == {}

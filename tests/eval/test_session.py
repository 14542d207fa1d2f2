"""Running a plan: against the lab over HTTP, with limits, failures and interruptions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchwrap.errors import ConfigError
from batchwrap.eval.eval_session import EvaluationPlan, SessionOutcome, work_off
from batchwrap.eval.runs import Cell, Run, RunFile
from batchwrap.eval.simulated import MODELS, solver
from batchwrap.eval.token_budget import Prices, TokenBudget
from batchwrap.lab import Lab, Raw, Reply
from tests.eval.helpers import KEY, endpoint_of, interrupting, plan_of, quick_lab

ENDED = SessionOutcome()
QUICK = plan_of("chain", "answer")


def go(lab: Lab, plan: EvaluationPlan, file: RunFile, **options: Any) -> SessionOutcome:
    options.setdefault("budget", TokenBudget())
    return work_off(plan, plan.missing(file.runs), endpoint_of(lab), file, **options)


def memory() -> RunFile:
    return RunFile(None, {}, {})


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_plan_is_worked_off(parallel: int) -> None:
    """Every cell has one run that did its task, and its numbers are those of the lab's journal."""
    file, told = memory(), list[Run]()
    with quick_lab() as lab:
        assert go(lab, QUICK, file, parallel=parallel, told=told.append) == ENDED
        lab.wait_idle()
        served = [entry for entry in lab.journal if entry.status == 200]
    assert {run.cell for run in file.runs} == set(QUICK.cells())
    assert told == file.runs
    assert all(run.done and run.ended == "itself" for run in file.runs)
    assert sum(run.round_trips for run in file.runs) == len(served)
    for name in ("prompt_tokens", "completion_tokens"):
        assert sum(getattr(run, name) for run in file.runs) == sum(
            getattr(entry, name) for entry in served
        )
    assert all(0 <= run.waiting_s <= run.wall_s for run in file.runs)
    assert {run.cached_tokens for run in file.runs} == {0}
    by_cell = {run.cell: run for run in file.runs}
    reminded = by_cell[Cell("answer", "reminders", 1)]
    assert reminded.round_trips < by_cell[Cell("answer", "bare", 1)].round_trips
    assert reminded.reminders > 0
    assert reminded.multi_calls > 0


def test_arms_take_turns() -> None:
    """All arms come before any has a second run, and not always in the same order."""
    plan = plan_of("chain", "bug", runs=6)
    cells = plan.cells()
    assert len(set(cells)) == 24
    assert [(cell.number, cell.task) for cell in cells[:4]] == [(1, "chain")] * 2 + [(1, "bug")] * 2
    assert {cell.arm for cell in cells[::2]} == {"bare", "reminders"}


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    """A second session with the same file runs the rest only."""
    path = tmp_path / "runs.jsonl"
    with quick_lab() as lab:
        go(lab, plan_of("chain"), RunFile(path, {}, {}))
        before = lab.round_trips
        file = RunFile(path, {}, {})
        assert go(lab, QUICK, file) == ENDED
        assert {run.cell for run in file.runs} == set(QUICK.cells())
        added = sum(run.round_trips for run in file.runs if run.task == "answer")
        assert lab.round_trips - before == added
        assert go(lab, QUICK, RunFile(path, {}, {})) == ENDED
        assert lab.round_trips - before == added


@pytest.mark.parametrize("parallel", [1, 2])
def test_the_limit_is_not_passed(parallel: int) -> None:
    """It stops before the limit, and all that it used is in the file; a higher one goes on."""
    file, plan = memory(), plan_of("answer", arms=("bare",), runs=4)
    with quick_lab() as lab:
        outcome = go(lab, plan, file, budget=TokenBudget(max_tokens=20_000), parallel=parallel)
        used = sum(entry.prompt_tokens + entry.completion_tokens for entry in lab.journal)
        assert outcome.limit == "the limit of 20,000 tokens"
        assert 10_000 < used <= 20_000
        assert used == sum((r.prompt_tokens or 0) + (r.completion_tokens or 0) for r in file.runs)
        assert plan.missing(file.runs)
        assert go(lab, plan, file, budget=TokenBudget(max_tokens=200_000)) == ENDED
        assert not plan.missing(file.runs)
        # What the file holds counts: nothing is left for a session with the same limit.
        before, more = lab.round_trips, plan_of("answer", arms=("bare",), runs=5)
        assert go(lab, more, file, budget=TokenBudget(max_tokens=20_000)).limit is not None
        assert lab.round_trips == before


def test_a_limit_in_money() -> None:
    """The cost is kept to in the same way."""
    file, prices = memory(), Prices(prompt=1, completion=1)
    with quick_lab() as lab:
        outcome = go(lab, QUICK, file, budget=TokenBudget(max_cost=0.01, prices=prices))
        used = sum(entry.prompt_tokens + entry.completion_tokens for entry in lab.journal)
    assert outcome.limit == "the limit of 0.01 on the cost"
    assert 0 < used <= 10_000


def completion(usage: dict[str, Any] | None) -> Raw:
    """An answer that calls an unknown tool, with a usage of one's own."""
    function = {"name": "nonsense", "arguments": "{}"}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    text = json.dumps({**body, "choices": [choice], **({"usage": usage} if usage else {})})
    return Raw(headers={"content-type": "application/json"}, chunks=(text.encode(),))


def test_a_provider_that_reports_nothing() -> None:
    """The limit is kept by an estimate, and the numbers are left open, not taken for 0."""
    file = memory()
    with quick_lab(lambda _: completion(None)) as lab:
        outcome = go(lab, plan_of("chain"), file, budget=TokenBudget(max_tokens=30_000))
    assert outcome.limit is not None
    (run,) = file.runs
    assert (run.ended, run.prompt_tokens, run.cached_tokens) == ("stopped", None, None)
    assert 2 < run.turns < 15


def test_cached_tokens_and_turns_without_end() -> None:
    """What the provider says of its cache is added up; an agent without end is stopped."""
    details = {"cached_tokens": 7}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    file = memory()
    with quick_lab(lambda _: completion({**usage, "prompt_tokens_details": details})) as lab:
        go(lab, plan_of("chain", arms=("bare",)), file)
    (run,) = file.runs
    assert (run.ended, run.done, run.turns) == ("turns", False, 60)
    assert (run.cached_tokens, run.prompt_tokens, run.tool_errors) == (420, 600, 60)


def test_a_key_that_is_refused() -> None:
    """Nothing is written down, the other runs are not begun, and the key is in no message."""
    error = json.dumps({"error": {"message": f"wrong key: {KEY}"}}).encode()
    told = list[Run]()
    file = memory()
    with quick_lab(lambda _: Raw(401, chunks=(error,))) as lab:
        outcome = go(lab, QUICK, file, told=told.append)
        assert len(lab.journal) == 1
    assert outcome.failed is not None
    assert "wrong key: (the key)" in outcome.failed
    assert (file.runs, told) == ([], [])


def test_nobody_there() -> None:
    """A server that does not answer is told, not counted."""
    with quick_lab() as lab:
        gone = endpoint_of(lab)
    file = memory()
    outcome = work_off(QUICK, QUICK.cells()[:1], gone, file, budget=TokenBudget())
    assert outcome.failed is not None
    assert "APIConnectionError" in outcome.failed
    assert file.runs == []


def test_an_error_in_the_middle() -> None:
    """The run counts as not done and keeps its numbers; it is run again only if wanted."""

    def model(request: dict[str, Any]) -> Reply | Raw:
        if len(request["messages"]) < 6:
            return solver(MODELS["never"])(request)
        return Raw(500, headers={"x-should-retry": "false"}, chunks=(b"broken",))

    file, plan = memory(), plan_of("chain", arms=("bare",))
    with quick_lab(model) as lab:
        assert go(lab, plan, file) == ENDED
    (run,) = file.runs
    assert (run.ended, run.done, run.turns, run.tool_calls) == ("error", False, 2, 2)
    assert "500" in (run.problem or "") or "broken" in (run.problem or "")
    assert plan.missing(file.runs) == []
    assert plan.missing(file.runs, again=True) == [Cell("chain", "bare", 1)]


def test_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C lets the request that is under way end; what was run is kept, and it can go on."""
    path, plan = tmp_path / "runs.jsonl", plan_of("chain", arms=("bare",), runs=2)
    with quick_lab(interrupting(solver(MODELS["never"]), 12)) as lab:
        outcome = go(lab, plan, RunFile(path, {}, {}))
        assert outcome.interrupted
        file = RunFile(path, {}, {})
        assert file.notices == []
        assert [run.ended for run in file.runs] == ["itself", "stopped"]
        assert go(lab, plan, file) == ENDED
    assert plan.missing(RunFile(path, {}, {}).runs) == []


def test_what_goes_wrong_in_a_run_is_raised() -> None:
    """An error that is not the endpoint's ends the session; nobody waits for ever."""
    with quick_lab() as lab:
        endpoint = replace(endpoint_of(lab), limits="nonsense")
        with pytest.raises(ConfigError, match="nonsense"):
            work_off(QUICK, QUICK.cells(), endpoint, memory(), budget=TokenBudget(), parallel=2)

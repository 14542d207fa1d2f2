"""Computes the numbers of an evaluation: the means of each arm, and its differences to `bare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from batchwrap.eval import intervals
from batchwrap.eval.arms import BARE
from batchwrap.eval.eval_session import EvaluationPlan
from batchwrap.eval.intervals import Estimate
from batchwrap.eval.runs import Cell, Run, latest
from batchwrap.eval.token_budget import Prices, TokensUsed

DONE, COST = "done", "cost"
# The name in JSON, the label in the tables, and the value of a run.
MEASURES: tuple[tuple[str, str, Callable[[Run], float | None]], ...] = (
    ("round_trips", "round trips", lambda run: run.round_trips),
    ("prompt_tokens", "prompt tokens", lambda run: run.prompt_tokens),
    ("cached_tokens", "cached prompt tokens", lambda run: run.cached_tokens),
    ("completion_tokens", "output tokens", lambda run: run.completion_tokens),
    ("tool_errors", "tool calls failed", lambda run: run.tool_errors),
    ("refusals", "refused (429)", lambda run: run.refusals),
    ("failed_open", "sent again as it was", lambda run: run.failed_open),
    ("malformed", "malformed multi-calls", lambda run: run.malformed),
    ("wall_s", "wall time, s", lambda run: run.wall_s),
    ("waiting_s", "waiting, s", lambda run: run.waiting_s),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm.

    Attributes:
        runs: the number of its compared runs.
        done: the number of runs that finished the task.
        errors: the number of runs that an error of the endpoint ended. The means miss what they
            would have used after it.
        measures: the mean per run, by name; ``"done"`` is the share of runs that finished the
            task. Values that the provider does not report are missing.
        differences: the measures minus those of the bare arm; empty for that arm, or without it.
    """

    runs: int
    done: int
    errors: int
    measures: Mapping[str, Estimate]
    differences: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """One arm at one task: the runs, those that finished it, and their mean round trips."""

    runs: int
    done: int
    round_trips: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A whole evaluation.

    Attributes:
        arms: the arms by name, in the plan's order, without those that have no runs.
        tasks: the numbers by task and arm.
        missing: the number of runs of the plan without a result.
        left_out: the number of results that are not compared, since another arm has none for
            the same task and number.
    """

    arms: Mapping[str, ArmSummary]
    tasks: Mapping[str, Mapping[str, TaskSummary]]
    missing: int
    left_out: int


def summarise(plan: EvaluationPlan, runs: Sequence[Run], prices: Prices | None) -> Summary:
    """The numbers of a plan, over the tasks and numbers for which all arms have results.

    Args:
        plan: what was to be run.
        runs: what was run; it may include runs of other plans.
        prices: the prices of tokens; None leaves the cost out.
    """
    missing = plan.missing(runs)
    results = latest(runs)
    there = [cell for cell in plan.cells() if cell not in set(missing)]
    # Arms are compared on the same work only: a task and number that any arm lacks is left out.
    gaps = {(cell.task, cell.number) for cell in missing}
    compared = [results[cell] for cell in there if (cell.task, cell.number) not in gaps]
    by_arm = {arm.name: _by_task(compared, arm.name, plan.tasks) for arm in plan.arms}
    arms: dict[str, ArmSummary] = {}
    for name, groups in by_arm.items():
        if groups:
            base = by_arm.get(BARE) if name != BARE else None
            arms[name] = _arm(groups, base, _measures(compared, prices))
    tasks = {
        task: {name: _task(groups[task]) for name, groups in by_arm.items() if task in groups}
        for task in plan.tasks
    }
    return Summary(
        arms=arms, tasks=tasks, missing=len(missing), left_out=len(there) - len(compared)
    )


_ByTask = Mapping[str, Sequence[Run]]
_Measures = Mapping[str, Callable[[Run], float | None]]


def _by_task(runs: Sequence[Run], arm: str, tasks: Sequence[str]) -> _ByTask:
    groups = {task: [it for it in runs if it.arm == arm and it.task == task] for task in tasks}
    return {task: group for task, group in groups.items() if group}


def _measures(runs: Sequence[Run], prices: Prices | None) -> _Measures:
    """The measures that have a value in every run."""
    measures = {name: measure for name, _, measure in MEASURES}
    if prices is not None:
        measures[COST] = lambda run: _cost(run, prices)
    return {
        name: measure
        for name, measure in measures.items()
        if all(measure(run) is not None for run in runs)
    }


def _cost(run: Run, prices: Prices) -> float | None:
    if run.prompt_tokens is None or run.completion_tokens is None:
        return None
    return prices.of(TokensUsed(run.prompt_tokens, run.completion_tokens, run.cached_tokens or 0))


def _arm(groups: _ByTask, base: _ByTask | None, measures: _Measures) -> ArmSummary:
    runs = [run for group in groups.values() for run in group]
    done = sum(run.done for run in runs)
    means = {DONE: intervals.share(done, len(runs))}
    means |= {name: intervals.mean(_numbers(groups, it)) for name, it in measures.items()}
    differences = {}
    if base:
        others = [run for group in base.values() for run in group]
        differences[DONE] = intervals.share_difference(
            done, len(runs), sum(run.done for run in others), len(others)
        )
        differences |= {
            name: intervals.mean_difference(_numbers(groups, it), _numbers(base, it))
            for name, it in measures.items()
        }
    return ArmSummary(
        runs=len(runs),
        done=done,
        errors=sum(run.ended == "error" for run in runs),
        measures=means,
        differences=differences,
    )


def _numbers(groups: _ByTask, measure: Callable[[Run], float | None]) -> list[list[float]]:
    return [[measure(run) or 0.0 for run in group] for group in groups.values()]


def _task(runs: Sequence[Run]) -> TaskSummary:
    return TaskSummary(
        runs=len(runs),
        done=sum(run.done for run in runs),
        round_trips=sum(run.round_trips for run in runs) / len(runs),
    )


def where_it_failed(plan: EvaluationPlan, runs: Sequence[Run]) -> list[tuple[Cell, str]]:
    """The runs of a plan that did not finish their task, each with the reason."""
    results = latest(runs)
    cells = set(plan.missing(runs))
    return [
        (cell, results[cell].problem or "")
        for cell in plan.cells()
        if cell not in cells and not results[cell].done
    ]

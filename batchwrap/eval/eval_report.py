"""The report of an evaluation: tables for the terminal, a Markdown page, a dict for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from batchwrap.eval.arms import BARE
from batchwrap.eval.cost_estimate import Share
from batchwrap.eval.eval_session import EvaluationPlan, SessionOutcome
from batchwrap.eval.intervals import Estimate
from batchwrap.eval.runs import Run
from batchwrap.eval.summary import COST, DONE, MEASURES, Summary, summarise, where_it_failed
from batchwrap.eval.task_kinds import TASKS
from batchwrap.eval.token_budget import Prices

_LABELS = {DONE: "task done", **{name: label for name, label, _ in MEASURES}, COST: "cost"}
_HEADINGS = ("", "arm", "mean per run", "95 % interval", f"to {BARE}", "95 % interval")
_MOST_FAILURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """An evaluation, complete or not.

    Attributes:
        plan: what was to be run.
        runs: what was run.
        setting: the options that all runs have in common.
        prices: the prices of tokens; None leaves the cost out.
        outcome: how the session ended.
    """

    plan: EvaluationPlan
    runs: Sequence[Run]
    setting: Mapping[str, Any]
    prices: Prices | None
    outcome: SessionOutcome

    @property
    def summary(self) -> Summary:
        """The numbers. Each call computes them again, which takes a second or two."""
        return summarise(self.plan, self.runs, self.prices)

    @property
    def is_simulated(self) -> bool:
        """Whether the lab simulated provider and model."""
        return bool(self.setting["simulated"])

    @property
    def title(self) -> str:
        """The model and its endpoint, or that both were simulated."""
        if self.is_simulated:
            return f"SIMULATED provider, scripted model that {_habit(self.setting['model'])}"
        return f"{self.setting['model']} at {self.setting['base_url']}"


def tables(result: EvaluationResult, summary: Summary) -> list[Table]:
    """The tables: the numbers of each arm, and the round trips by task."""
    numbers = Table(title=result.title)
    for at, heading in enumerate(_HEADINGS):
        numbers.add_column(heading, justify="right" if at > 1 else "left", overflow="fold")
    for rows in _rows(summary):
        for row in rows:
            numbers.add_row(*row)
        numbers.add_section()
    by_task = Table(title="Tasks done of runs, and mean round trips")
    for at, heading in enumerate(("task", *summary.arms)):
        by_task.add_column(heading, justify="right" if at else "left", overflow="fold")
    for row in _task_rows(summary):
        by_task.add_row(*row)
    return [numbers, by_task]


def markdown(result: EvaluationResult, summary: Summary) -> str:
    """The report as a page of Markdown."""
    numbers = [row for rows in _rows(summary) for row in rows]
    tasks = [f"- `{name}`: {TASKS[name].about}" for name in result.plan.tasks]
    arms = [f"- `{arm.name}`: `{arm.options or 'defaults'}`" for arm in result.plan.arms]
    parts = [
        f"# batchwrap eval: {result.title}",
        "\n".join(f"- {note}" for note in notes(result, summary)),
        pipes(_HEADINGS, numbers),
        "## Tasks done of runs, and mean round trips",
        pipes(("task", *summary.arms), list(_task_rows(summary))),
        "\n".join(tasks),
        "## Arms",
        "\n".join(arms),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def pipes(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table of Markdown.

    Args:
        headings: the titles of the columns.
        rows: the cells.
        texts: how many columns are texts; those after them are numbers, aligned to the right.
    """
    rule = ["---" if at < texts else "---:" for at in range(len(headings))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))


def as_dict(result: EvaluationResult, summary: Summary) -> dict[str, Any]:
    """All numbers as a dict for JSON. Differences are to the bare arm; times are provider time."""
    arms = {
        arm.name: {"options": arm.options, **asdict(summary.arms[arm.name])}
        for arm in result.plan.arms
        if arm.name in summary.arms
    }
    return {
        "simulated": result.is_simulated,
        "setting": dict(result.setting),
        "runs_each": result.plan.runs,
        "missing": summary.missing,
        "left_out": summary.left_out,
        "stopped": asdict(result.outcome),
        "interval": 0.95,
        "arms": arms,
        "tasks": {
            task: {name: asdict(it) for name, it in its_arms.items()}
            for task, its_arms in summary.tasks.items()
        },
        "failures": [
            {**cell._asdict(), "problem": problem}
            for cell, problem in where_it_failed(result.plan, result.runs)
        ],
    }


def notes(result: EvaluationResult, summary: Summary) -> list[str]:
    """The notes below the tables: what is missing, what failed, and how it was measured."""
    return [*_gaps(summary), *_failures(result), *_basis(result), *_method(summary)]


ESTIMATED = (
    "ESTIMATE from one run of each task in the lab with a scripted model, which makes no mistakes"
    " and does not think. A real model may take several times as much."
)


def estimate_table(
    shares: Mapping[str, Share], setting: Mapping[str, Any], prices: Prices | None
) -> Table:
    """The table of the runs that are missing, by arm, with their estimated tokens and cost."""
    table = Table(title=f"To be run: {setting['model']}", caption_justify="left")
    headings = ["arm", "runs", "round trips", "prompt tokens", "output tokens"]
    for at, heading in enumerate([*headings, "cost"] if prices else headings):
        table.add_column(heading, justify="right" if at else "left")
    for name, share in [*shares.items(), ("all", sum(shares.values(), Share()))]:
        numbers = (share.runs, share.round_trips, *_tokens(share))
        cost = [f"{prices.of(share.used):,.2f}"] if prices else []
        table.add_row(name, *(f"{number:,}" for number in numbers), *cost)
    return table


def estimate_dict(
    shares: Mapping[str, Share], setting: Mapping[str, Any], prices: Prices | None
) -> dict[str, Any]:
    """The estimate as a dict for JSON."""
    arms = {
        name: {
            "runs": share.runs,
            "round_trips": share.round_trips,
            "prompt_tokens": share.used.prompt_tokens,
            "completion_tokens": share.used.completion_tokens,
            "cost": prices.of(share.used) if prices else None,
        }
        for name, share in shares.items()
    }
    return {"estimate": True, "setting": dict(setting), "arms": arms}


def _tokens(share: Share) -> tuple[int, int]:
    return share.used.prompt_tokens, share.used.completion_tokens


def _gaps(summary: Summary) -> Iterator[str]:
    if summary.missing:
        yield f"{summary.missing} runs of the plan are missing. The same command continues them."
    if summary.left_out:
        yield (
            f"{summary.left_out} results are left out, since another arm has none for the same task"
            " and number yet."
        )
    for name, arm in summary.arms.items():
        if arm.errors:
            yield (
                f"{arm.errors} of the {arm.runs} runs of {name} were ended by an error of the"
                " endpoint. They count as not done, and the means miss what they would have used"
                " after it. --retry-errors runs them again."
            )


def _failures(result: EvaluationResult) -> Iterator[str]:
    failed = where_it_failed(result.plan, result.runs)
    for cell, problem in failed[:_MOST_FAILURES]:
        yield f"Not done: {cell.task}, {cell.arm}, run {cell.number}: {problem}"
    if failed[_MOST_FAILURES:]:
        yield f"Not done: {len(failed) - _MOST_FAILURES} more; --json has them all."


def _basis(result: EvaluationResult) -> Iterator[str]:
    if result.is_simulated:
        yield (
            "SIMULATED: the provider, its clock, and the model, a script that knows how the tasks"
            f" are solved and {_habit(result.setting['model'])}.{_scripts(result.setting['model'])}"
            " This is an assumption; only a real endpoint shows what a real model does. Real: HTTP,"
            " SDK, agent, files, checkers."
        )
    if (limits := result.setting["limits"]) != "auto":
        also = ", which the simulated provider has in all of them" if result.is_simulated else ""
        yield f"The wrapped arms keep the limits of {limits}{also}."
    yield (
        "A round trip is a request that the provider's model answered. Where several calls of a"
        " batch must run one after another, the agent takes more turns than that."
    )
    yield (
        "batchwrap counts in all arms; in the bare arm it does nothing else. Waiting is wall time"
        " less the time in which a request was served, so it includes the time of the tools."
    )


def _method(summary: Summary) -> Iterator[str]:
    runs = [arm.runs for arm in summary.arms.values()]
    if not runs:
        return
    few = any(it.low is None for arm in summary.arms.values() for it in arm.measures.values())
    yield (
        f"{min(runs)} runs of each arm. Intervals: Wilson for the share of tasks done, Newcombe for"
        " its difference; for means a bootstrap within tasks, "
        + ("for which 2 runs of each task are needed." if few else "over runs, not over tasks.")
    )
    zero = [_LABELS[name] for name in _names(summary, zero=True)]
    if zero:
        yield f"Not shown, since 0 in every run: {', '.join(zero)}."
    shown = {name for arm in summary.arms.values() for name in arm.measures}
    silent = [label for name, label, _ in MEASURES if name not in shown]
    if silent:
        yield f"Not reported by the provider: {', '.join(silent)}."


def _names(summary: Summary, *, zero: bool) -> list[str]:
    """The measures that are 0 for every arm, or the others."""
    arms = summary.arms.values()
    return [
        name
        for name in _LABELS
        if all(name in arm.measures for arm in arms)
        and zero == (name != DONE and all(arm.measures[name].value == 0 for arm in arms))
    ]


def _rows(summary: Summary) -> Iterator[list[list[str]]]:
    """The rows of each measure, one for each arm."""
    for name in _names(summary, zero=False) if summary.arms else ():
        base = summary.arms[BARE].measures[name].value if BARE in summary.arms else None
        rows = []
        for label, (arm, its) in zip(
            (_LABELS[name], *[""] * len(summary.arms)), summary.arms.items(), strict=False
        ):
            mean, difference = its.measures[name], its.differences.get(name)
            row = [label, arm, _number(name, mean.value), _interval(name, mean)]
            rows.append([*row, *_compared(name, difference, base)])
        yield rows


def _task_rows(summary: Summary) -> Iterator[list[str]]:
    for task, arms in summary.tasks.items():
        cells = (arms.get(name) for name in summary.arms)
        yield [
            task,
            *(f"{it.done}/{it.runs} {it.round_trips:.1f}" if it else "-" for it in cells),
        ]


def _compared(name: str, difference: Estimate | None, base: float | None) -> list[str]:
    if difference is None:
        return ["", ""]
    text = _number(name, difference.value, signed=True)
    if base and name != DONE:
        text += f" ({difference.value / base:+.0%})"
    return [text, _interval(name, difference, signed=True)]


def _interval(name: str, it: Estimate, *, signed: bool = False) -> str:
    if it.low is None or it.high is None:
        return ""
    return f"{_number(name, it.low, signed=signed)} … {_number(name, it.high, signed=signed)}"


def _number(name: str, value: float, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if name == DONE:
        return f"{100 * value:{sign}.0f} %"
    digits = ".4f" if name == COST else ".0f" if name.endswith("_tokens") else ".1f"
    return f"{value:{sign},{digits}}"


def _habit(model: str) -> str:
    return {
        "forgets": "batches only when recently reminded",
        "cooperates": "batches whenever it can",
        "never": "never batches",
    }[model]


def _scripts(model: str) -> str:
    """What the scripted model does where scripts are offered."""
    return "" if model == "never" else " It writes one program for a task if scripts are offered."

"""Estimates the round trips and tokens of a plan before it is run, by running it in the lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batchwrap.eval.eval_session import EvaluationPlan, work_off
from batchwrap.eval.runs import Cell, RunFile
from batchwrap.eval.simulated import simulated
from batchwrap.eval.token_budget import TokenBudget, TokensUsed

MODEL = "forgets"


@dataclass(frozen=True, slots=True)
class Share:
    """The number of some runs, with their estimated round trips and tokens."""

    runs: int = 0
    round_trips: int = 0
    used: TokensUsed = field(default_factory=TokensUsed)

    def __add__(self, other: Share) -> Share:
        return Share(
            self.runs + other.runs, self.round_trips + other.round_trips, self.used + other.used
        )


def estimate(
    plan: EvaluationPlan, cells: Sequence[Cell], *, system_tokens: int, parallel: int
) -> Mapping[str, Share]:
    """Run each task once for each arm in the lab, and add up what the cells would take.

    The scripted model makes no mistakes and does not think. A real one may take several times as
    much.

    Args:
        plan: the plan, with its arms.
        cells: the cells that are to be run.
        system_tokens: the length of the agent's system prompt.
        parallel: how many runs the lab has at the same time.

    Returns:
        The estimates by the name of the arm, without arms that have nothing to run.

    Raises:
        KeyboardInterrupt: the user did not wait for it.
    """
    # One run of a task is like another in the lab, so each is run only once.
    once = sorted({Cell(cell.task, cell.arm, 1) for cell in cells})
    file = RunFile(None, {}, {})
    with simulated(MODEL, system_tokens=system_tokens, seed=plan.seed) as endpoint:
        outcome = work_off(plan, once, endpoint, file, budget=TokenBudget(), parallel=parallel)
    if outcome.interrupted:
        raise KeyboardInterrupt
    runs = {(run.task, run.arm): run for run in file.runs}
    shares: dict[str, Share] = {}
    for cell in cells:
        run = runs[cell.task, cell.arm]
        used = TokensUsed(run.prompt_tokens or 0, run.completion_tokens or 0)
        share = Share(1, run.round_trips, used)
        shares[cell.arm] = shares.get(cell.arm, Share()) + share
    return {arm.name: shares[arm.name] for arm in plan.arms if arm.name in shares}

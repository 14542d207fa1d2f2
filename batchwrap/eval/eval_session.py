"""Runs what is missing of a plan, several runs at a time, and writes each down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from random import Random
from threading import Event, Lock, Thread

from batchwrap.eval.arms import Arm
from batchwrap.eval.runs import Cell, Run, RunFile, latest
from batchwrap.eval.token_budget import BudgetSpent, TokenBudget, TokensUsed
from batchwrap.eval.trial import ModelEndpoint, run_cell

# How long it may take to see that a worker has gone without a word.
_PATIENCE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """Which runs an evaluation has.

    Attributes:
        tasks: names of the tasks.
        arms: the arms.
        runs: how many runs of each task each arm makes.
        seed: for the order of the arms, and for the tasks themselves.
    """

    tasks: Sequence[str]
    arms: Sequence[Arm]
    runs: int
    seed: int = 0

    def cells(self) -> list[Cell]:
        """All runs in their order: wherever it ends, the arms have had nearly the same.

        The arms take turns at being first, since the later one may find the provider's cache
        warm.
        """
        random, cells = Random(self.seed), []
        for number in range(1, self.runs + 1):
            for task in self.tasks:
                arms = random.sample(list(self.arms), len(self.arms))
                cells += [Cell(task, arm.name, number) for arm in arms]
        return cells

    def missing(self, runs: Sequence[Run], *, again: bool = False) -> list[Cell]:
        """The cells that have no result yet; with `again`, also those that ended in an error."""
        options = {arm.name: arm.options for arm in self.arms}
        there = {
            cell
            for cell, run in latest(runs).items()
            if options.get(run.arm) == run.options and not (again and run.ended == "error")
        }
        return [cell for cell in self.cells() if cell not in there]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOutcome:
    """How a session ended.

    Attributes:
        failed: what the endpoint said, if it answered nothing at all in some run.
        limit: which limit would have been passed; None if none.
        interrupted: whether the user ended it.
    """

    failed: str | None = None
    limit: str | None = None
    interrupted: bool = False


Told = Callable[[Run], None]


def work_off(
    plan: EvaluationPlan,
    cells: Sequence[Cell],
    endpoint: ModelEndpoint,
    file: RunFile,
    *,
    budget: TokenBudget,
    parallel: int = 1,
    told: Told = lambda _: None,
) -> SessionOutcome:
    """Run cells of a plan and write each run down as it ends.

    An interrupt (Ctrl-C) lets the requests that are under way end, and no further one begin; a
    second one waits for nothing. What the file holds already counts towards the budget.

    Args:
        plan: for the arms.
        cells: what to run, in this order.
        endpoint: the provider.
        file: where results go.
        budget: the most that may be used up.
        parallel: how many runs go on at the same time.
        told: called with each run that ends, in this thread.

    Raises:
        ConfigError: the options of an arm, or the limits, are wrong.
        MissingExtraError: openai is not installed.
    """
    for at, run in enumerate(file.runs):
        budget.settle(("file", at), _used(run))
    pool = _Pool(plan, cells, endpoint, budget, file)
    workers = [Thread(target=pool.work, daemon=True) for _ in range(min(parallel, len(cells)))]
    for worker in workers:
        worker.start()
    outcome = SessionOutcome()
    while True:
        try:
            while any(worker.is_alive() for worker in workers) or not pool.ended.empty():
                outcome = _take(pool, outcome, told)
            return replace(outcome, limit=pool.limit)
        except KeyboardInterrupt:
            if outcome.interrupted:
                return outcome
            pool.stop.set()
            outcome = replace(outcome, interrupted=True)


def _take(pool: _Pool, outcome: SessionOutcome, told: Told) -> SessionOutcome:
    """What has become of the session with the next thing that a worker has to say."""
    try:
        said = pool.ended.get(timeout=_PATIENCE_S)
    except Empty:
        return outcome
    if isinstance(said, Exception):
        pool.stop.set()
        raise said
    if said is None:
        return outcome
    if said.reached_nobody:
        pool.stop.set()
        return replace(outcome, failed=outcome.failed or said.problem)
    if said.turns:
        pool.file.add(said)
        told(said)
    return outcome


class _Pool:
    """What the worker threads share. `ended` gets runs, errors, and None for a worker's end."""

    def __init__(
        self,
        plan: EvaluationPlan,
        cells: Sequence[Cell],
        endpoint: ModelEndpoint,
        budget: TokenBudget,
        file: RunFile,
    ) -> None:
        self._arms = {arm.name: arm for arm in plan.arms}
        self._cells: Iterator[Cell] = iter(cells)
        self._endpoint, self._budget, self.file = endpoint, budget, file
        self._lock = Lock()
        self.ended: SimpleQueue[Run | Exception | None] = SimpleQueue()
        self.stop = Event()
        self.limit: str | None = None

    def work(self) -> None:
        """Run cells until there are none, or `stop` is set."""
        try:
            while (cell := self._next()) is not None:
                self._run(cell)
        except Exception as error:  # whatever it is, the main thread must not wait for ever
            self.ended.put(error)
        finally:
            self.ended.put(None)

    def _run(self, cell: Cell) -> None:
        try:
            self._budget.hold(cell, self._expected(cell.task))
        except BudgetSpent as spent:
            self.limit = str(spent)
            self.stop.set()
            return
        run = run_cell(cell, self._arms[cell.arm], self._endpoint, self._budget, self.stop)
        if run.ended == "stopped" and not self.stop.is_set():
            self.limit = run.problem
            self.stop.set()
        self.ended.put(run)

    def _next(self) -> Cell | None:
        with self._lock:
            return None if self.stop.is_set() else next(self._cells, None)

    def _expected(self, task: str) -> TokensUsed:
        """The most that a run of the task has used so far: it is not begun for nothing."""
        used = [_used(run) for run in list(self.file.runs) if run.task == task]
        return max(used, key=lambda it: it.tokens, default=TokensUsed())


def _used(run: Run) -> TokensUsed:
    return TokensUsed(run.prompt_tokens or 0, run.completion_tokens or 0, run.cached_tokens or 0)

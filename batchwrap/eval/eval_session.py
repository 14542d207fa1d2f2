"""Runs the missing cells of a plan in worker threads, and writes each run to the file."""

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

# How often the main thread wakes up, so that Ctrl-C and the end of all workers are noticed.
_PATIENCE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """The runs of an evaluation.

    Attributes:
        tasks: the names of the tasks.
        arms: the arms.
        runs: the number of runs of each task in each arm.
        seed: the seed for the order of the arms, and for the files of the tasks.
    """

    tasks: Sequence[str]
    arms: Sequence[Arm]
    runs: int
    seed: int = 0

    def cells(self) -> list[Cell]:
        """All runs in their order, so that the arms have nearly equal runs wherever it ends.

        The order of the arms is random, since a later arm may find the provider's cache warm.
        """
        random, cells = Random(self.seed), []
        for number in range(1, self.runs + 1):
            for task in self.tasks:
                arms = random.sample(list(self.arms), len(self.arms))
                cells += [Cell(task, arm.name, number) for arm in arms]
        return cells

    def missing(self, runs: Sequence[Run], *, again: bool = False) -> list[Cell]:
        """The cells without a result; with `again`, also those that ended in an error."""
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
        failed: the error of an endpoint that answered no request of some run; otherwise None.
        limit: the limit that would have been exceeded; None if none was reached.
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
    stopping: Callable[[], None] = lambda: None,
) -> SessionOutcome:
    """Run cells of a plan, and write each run to the file when it ends.

    After an interrupt (Ctrl-C) running requests end and no further one begins; after a second one
    nothing is waited for. Earlier runs in the file count towards the budget.

    Args:
        plan: the plan, with its arms.
        cells: the cells to run, in this order.
        endpoint: the provider.
        file: the file of results.
        budget: the limits of tokens and cost.
        parallel: how many runs there are at the same time.
        told: called in this thread with each run that ends.
        stopping: called in this thread after the first interrupt.

    Returns:
        How the session ended.

    Raises:
        ConfigError: the options of an arm, or the limits, are wrong.
        MissingExtraError: openai is not installed.
    """
    # Stopped runs count, too: their tokens were spent.
    for at, run in enumerate(file.runs):
        budget.settle(("file", at), _used(run))
    pool = _Pool(plan, cells, endpoint, budget, file)
    # Daemons, so that a second Ctrl-C ends the program although requests are running.
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
            stopping()


def _take(pool: _Pool, outcome: SessionOutcome, told: Told) -> SessionOutcome:
    """The outcome after the next message of a worker, or unchanged if none comes soon.

    Raises:
        Exception: whatever a worker has raised.
    """
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
        return replace(outcome, failed=outcome.failed or said.problem)
    if said.turns:  # a run that was stopped before its first answer has nothing to record
        pool.file.add(said)
        told(said)
    return outcome


class _Pool:
    """The state that the worker threads share.

    `ended` gets each run, each error, and None when a worker ends.
    """

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
        """Run cells until none is left, or `stop` is set."""
        try:
            while (cell := self._next()) is not None:
                self._run(cell)
        except Exception as error:  # raised again in the main thread, which would wait for ever
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
        if run.reached_nobody:  # the other runs would fail in the same way
            self.stop.set()
        self.ended.put(run)

    def _next(self) -> Cell | None:
        with self._lock:
            return None if self.stop.is_set() else next(self._cells, None)

    def _expected(self, task: str) -> TokensUsed:
        """The most that a run of the task has used so far.

        A run is not begun if the budget would end it in the middle.
        """
        used = [_used(run) for run in list(self.file.runs) if run.task == task]
        return max(used, key=lambda it: it.tokens, default=TokensUsed())


def _used(run: Run) -> TokensUsed:
    return TokensUsed(run.prompt_tokens or 0, run.completion_tokens or 0, run.cached_tokens or 0)

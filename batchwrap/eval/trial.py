"""One run: an agent works on a task with the client of an arm, and is measured and checked."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import batchwrap
from batchwrap.demo import agent, sdk
from batchwrap.demo.book import Clock, UsageBook
from batchwrap.demo.guarded_run import attempt
from batchwrap.demo.prompt import system_prompt
from batchwrap.eval.agent_toolbox import AgentToolbox
from batchwrap.eval.arms import Arm
from batchwrap.eval.runs import Cell, Ending, Run
from batchwrap.eval.task_kinds import TASKS, Task
from batchwrap.eval.token_budget import BudgetSpent, TokenBudget, TokensUsed
from batchwrap.options import Limit
from batchwrap.tools import Workspace

MAX_TURNS = 60
# Estimates for the budget before a request is sent, on the safe side: characters of JSON per token
# (English and code have 3.5 or more), the tokens that batchwrap may add, and those of an answer.
_CHARACTERS_PER_TOKEN = 3
_ADDED_TOKENS = 1_500
_ANSWER_TOKENS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """The endpoint of the model, and the settings of its requests.

    Attributes:
        base_url: the base URL, up to ``/v1``.
        model: the model's name.
        api_key: the key, which is never written anywhere; empty for a server that wants none.
        limits: the limits that batchwrap keeps: a plan, ``"auto"``, or themselves.
        system_tokens: the length of the agent's system prompt.
        seed: runs of the same seed and number have the same files.
        clock: returns seconds: the simulated provider's, or real ones.
        http_options: options of the HTTP client below the SDK.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)
    limits: str | Sequence[Limit] = "auto"
    system_tokens: int
    seed: int
    clock: Clock = time.monotonic
    http_options: Mapping[str, Any] = field(default_factory=dict)

    def without_key(self, said: str) -> str:
        """A text without the API key, which some servers quote when they refuse it."""
        return said.replace(self.api_key, "(the key)") if self.api_key else said


class Stopped(Exception):
    """The evaluation ends before this run has ended."""


def make_task(cell: Cell, seed: int) -> Task:
    """The task of a cell, which is the same for all arms."""
    return TASKS[cell.task].make(Random(f"{seed}/{cell.task}/{cell.number}"))


def run_cell(
    cell: Cell, arm: Arm, endpoint: ModelEndpoint, budget: TokenBudget, stop: Event
) -> Run:
    """Let an agent work on a task, in a temporary folder, and check the result.

    Args:
        cell: the task, and the number of its run.
        arm: wraps the agent's client.
        endpoint: the provider.
        budget: checked before each request.
        stop: when it is set, the run ends before its next request.

    Returns:
        The result of the run.

    Raises:
        ConfigError: the options of the arm, or the limits, are wrong.
        MissingExtraError: openai is not installed.
    """
    task = make_task(cell, endpoint.seed)
    with tempfile.TemporaryDirectory(prefix="batchwrap-eval-") as folder:
        task.create(Path(folder))
        return _Trial(cell, arm, endpoint, budget, stop).run(task, Path(folder))


class _Trial:
    """The state of a running run."""

    def __init__(
        self, cell: Cell, arm: Arm, endpoint: ModelEndpoint, budget: TokenBudget, stop: Event
    ) -> None:
        self._cell, self._arm, self._endpoint = cell, arm, endpoint
        self._budget, self._stop = budget, stop
        self._meter = UsageBook(endpoint.clock)
        self._cache = _CacheMeter()
        self._client: Any = None
        self._asked = TokensUsed()  # our own estimate, for providers that report no usage
        self._turns = 0

    def run(self, task: Task, folder: Path) -> Run:
        endpoint, meter = self._endpoint, self._meter
        hooks = {"request": [meter.asked], "response": [self._cache.answered]}
        options = {**endpoint.http_options, "event_hooks": hooks}
        tools = AgentToolbox(Workspace(folder), has_tests=task.has_tests)
        with sdk.client(endpoint.base_url, endpoint.api_key, **options) as plain:
            self._client = self._arm.wrap(plain, limits=endpoint.limits, on_event=meter.event)
            meter.watch(self._client)
            started_s = endpoint.clock()
            text, ended, problem = self._work(task, tools)
            wall_s = endpoint.clock() - started_s
            self._budget.settle(self._cell, self._used())
            if ended == "itself":  # any other end is the problem already
                problem = _checked(task, folder, text)
            return Run(
                **self._cell._asdict(),
                options=self._arm.options,
                ended=ended,
                done=problem is None,
                problem=problem,
                turns=self._turns,
                tool_calls=tools.calls,
                tool_errors=tools.errors,
                **self._measured(started_s, wall_s),
            )

    def _work(self, task: Task, tools: AgentToolbox) -> tuple[str, Ending, str | None]:
        """The agent's last text, how it ended, and the reason if it did not end by itself."""
        try:
            result, error = attempt(
                lambda: agent.run(
                    self._client,
                    model=self._endpoint.model,
                    prompt=task.prompt,
                    workspace=tools,
                    system=system_prompt(self._endpoint.system_tokens),
                    stream=False,
                    max_turns=MAX_TURNS,
                    on_turn=self._turn,
                    on_request=self._before,
                )
            )
        except (BudgetSpent, Stopped) as stopped:
            return "", "stopped", str(stopped)
        if result is None:
            return "", "error", error and self._endpoint.without_key(error)
        return result.text, "itself" if result.finished else "turns", error

    def _before(self, request: dict[str, Any]) -> None:
        """Check before each request whether it may be sent.

        Raises:
            Stopped: the evaluation was ended.
            BudgetSpent: the request might exceed a limit.
        """
        if self._stop.is_set():
            raise Stopped("the evaluation was ended")
        # A tokenizer would be exact for few models, and slow for each request.
        said = {name: request[name] for name in ("messages", "tools")}
        prompt = len(json.dumps(said)) // _CHARACTERS_PER_TOKEN + _ADDED_TOKENS
        coming = TokensUsed(prompt, _ANSWER_TOKENS)
        self._budget.hold(self._cell, self._used() + coming)
        self._asked += coming

    def _turn(self, number: int, _: agent.Message) -> None:
        self._turns = number
        self._meter.turn()

    def _used(self) -> TokensUsed:
        """The tokens that the run has used; an estimate if the provider reports none."""
        stats = batchwrap.stats(self._client)
        if self._turns and not stats.prompt_tokens:
            return self._asked
        return TokensUsed(stats.prompt_tokens, stats.completion_tokens, self._cache.tokens or 0)

    def _measured(self, started_s: float, wall_s: float) -> dict[str, Any]:
        stats, book = batchwrap.stats(self._client), self._meter.book(started_s)
        return {
            "round_trips": book.round_trips,
            "prompt_tokens": book.prompt_tokens,
            "completion_tokens": book.completion_tokens,
            "cached_tokens": self._cache.tokens,
            "refusals": book.refusals,
            "failed_open": stats.failed_open,
            "multi_calls": stats.multi_calls,
            "malformed": sum(sum(counts.values()) for counts in stats.malformed.values()),
            "items": stats.items,
            "reminders": stats.reminders,
            "wall_s": round(wall_s, 3),
            "waiting_s": round(max(0.0, wall_s - book.served_s), 3),
        }


class _CacheMeter:
    """Adds up the cached tokens of whole answers; `answered` is a response hook of httpx.

    `batchwrap.stats` cannot distinguish 0 cached tokens from a provider that reports none.
    """

    def __init__(self) -> None:
        self.tokens: int | None = None

    def answered(self, response: Any) -> None:
        response.read()
        try:
            cached = response.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(cached, int):
            self.tokens = (self.tokens or 0) + cached


def _checked(task: Task, folder: Path, text: str) -> str | None:
    try:
        return task.check(folder, text)
    except (OSError, TypeError, ValueError) as error:  # the agent may have left anything behind
        return f"cannot be checked: {error}"

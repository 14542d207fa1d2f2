"""Runs one arm of the demo: an agent does the job once, and a `Book` has the figures.

All arms have the same agent and the same project; only the client differs. `simulated` runs an arm
against a lab and counts by the lab's journal; `real` runs it against the user's endpoint and counts
with `batchwrap.stats`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import batchwrap
from batchwrap.demo import PLAN_NAME, agent, sdk
from batchwrap.demo.book import ONLY_COUNTS, Book, Clock, UsageBook, read_journal
from batchwrap.demo.guarded_run import attempt
from batchwrap.demo.played_plan import PlayedPlan
from batchwrap.demo.project import (
    NEW_NAME,
    OLD_NAME,
    Project,
    list_of,
    rename_calls,
    rename_program,
)
from batchwrap.demo.prompt import system_prompt
from batchwrap.drive.interpreter import Interpreter
from batchwrap.lab import Call, FileReader, Lab, RateLimit, Reply, Script
from batchwrap.lab.transcript import current_prompt
from batchwrap.options import Batching, Scripts
from batchwrap.tools import Workspace

if TYPE_CHECKING:
    from openai import OpenAI

ArmName = Literal["bare", "wrapped", "scripts"]

# Tokens: third-party client code of September 2025, see the plan cerebras/code-pro-2025-09.
# Requests: the vendor's FAQ of August 2026, see cerebras/code-pro.
PLAN = PlayedPlan(
    PLAN_NAME,
    (RateLimit("tokens", 300_000, 60), RateLimit("requests", 50, 60)),
)
TOKENS_PER_S = 1500.0
TTFT_S = 0.2
# At 15 both runs together take about 15 s. On a faster clock the milliseconds that the program
# itself needs for a request would weigh too much: the bare arm takes 130 provider seconds at a
# scale of 5, 135 at 15, 146 at 30.
TIME_SCALE = 15.0
# Real coding agents have 10,000 to 25,000 tokens of instructions.
SYSTEM_PROMPT_TOKENS = 20_000


_BATCHING = {"wrapped": Batching(), "scripts": Batching(scripts=Scripts())}
_TESTS = Call("run_tests", {})


def arms() -> tuple[ArmName, ...]:
    """The arms that can be run here: the one with scripts needs the extra ``scripts``."""
    return ("bare", "wrapped", "scripts") if Interpreter().is_available else ("bare", "wrapped")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoArm:
    """One run of the agent. Times are provider time.

    Attributes:
        name: the client that it had.
        book: what the provider did.
        wall_s: seconds from the first request to the last answer.
        turns: the number of answers.
        tool_calls: the number of calls in them.
        files_changed: the number of the project's files that have changed.
        tests_pass: whether the project's own tests pass now.
        done: whether the job is done, and the agent reached its end.
        error: why it did not reach its end, in one line; None if it did.
    """

    name: ArmName
    book: Book
    wall_s: float
    turns: int
    tool_calls: int
    files_changed: int
    tests_pass: bool
    done: bool
    error: str | None

    @property
    def waiting_s(self) -> float:
        """Seconds in which no request was being served, mostly waits for limits."""
        return max(0.0, self.wall_s - self.book.served_s)


class Watcher:
    """Follows a running arm. This base class does nothing."""

    def started(self, arm: ArmName, clock: Clock) -> None:
        """The first request is about to be sent; `clock` returns the seconds since then."""

    def turn(self, arm: ArmName, number: int, called: str) -> None:
        """The model has answered; `called` describes its calls."""

    def ended(self, arm: DemoArm) -> None:
        """The arm has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealEndpoint:
    """A real OpenAI-compatible endpoint.

    Attributes:
        base_url: its base URL, up to ``/v1``.
        model: the model's name.
        api_key: sent as bearer token; empty for a server that wants none.
        limits: the limits that the wrapped client keeps: a plan, or ``"auto"``.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)
    limits: str = "auto"


def simulated(
    arm: ArmName,
    project: Project,
    *,
    stream: bool = False,
    time_scale: float = TIME_SCALE,
    plan: PlayedPlan = PLAN,
    watcher: Watcher | None = None,
) -> DemoArm:
    """Run one arm against a lab of its own.

    Args:
        arm: which client the agent gets.
        project: a new one; the agent works in its folder.
        stream: whether the agent asks for streams.
        time_scale: provider seconds in one real second.
        plan: the limits that the provider enforces and the wrapped client keeps.
        watcher: follows the run.

    Raises:
        ConfigError: `time_scale` is not above 0.
        MissingExtraError: openai is not installed.
    """
    lab = Lab(
        FileReader(_job, program=_program, afterwards=(_TESTS,)),
        limits=plan.limits,
        dialect="cerebras",
        tokens_per_s=TOKENS_PER_S,
        ttft_s=TTFT_S,
        time_scale=time_scale,
    )
    _warm_up()
    with lab, sdk.client(lab.base_url, "none", trust_env=False) as bare:
        client = bare
        if arm != "bare":
            limits = plan.kept(time_scale)
            client = batchwrap.wrap(bare, limits=limits, batching=_BATCHING[arm], config=None)
        work = _Work(arm, project, lab.now, watcher or Watcher())
        work.run(client, model="simulated", stream=stream)
        lab.wait_idle()
        return work.arm(read_journal(lab.journal, work.started_s))


def real(
    arm: ArmName,
    project: Project,
    *,
    endpoint: RealEndpoint,
    stream: bool = False,
    watcher: Watcher | None = None,
) -> DemoArm:
    """Run one arm against a real endpoint; that costs what it costs there.

    The bare arm is metered by a wrapper with every part switched off: it only counts.

    Args:
        arm: which client the agent gets.
        project: a new one; the agent works in its folder.
        endpoint: the provider.
        stream: whether the agent asks for streams.
        watcher: follows the run.

    Raises:
        ConfigError: `endpoint.limits` is no plan.
        MissingExtraError: openai is not installed.
    """
    meter = UsageBook()
    hooks = {"request": [meter.asked]}
    with sdk.client(endpoint.base_url, endpoint.api_key, event_hooks=hooks) as bare:
        if arm == "bare":
            client = batchwrap.wrap(bare, on_event=meter.event, **ONLY_COUNTS)
        else:
            client = batchwrap.wrap(
                bare,
                limits=endpoint.limits,
                batching=_BATCHING[arm],
                on_event=meter.event,
                config=None,
            )
        meter.watch(client)
        work = _Work(arm, project, time.monotonic, watcher or Watcher(), on_turn=meter.turn)
        work.run(client, model=endpoint.model, stream=stream)
        return work.arm(meter.book(work.started_s))


class _Work:
    """The agent's work in one project."""

    def __init__(
        self,
        name: ArmName,
        project: Project,
        clock: Clock,
        watcher: Watcher,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._project, self._clock, self._watcher = name, project, clock, watcher
        self._on_turn = on_turn
        self._before = _contents(project.root)
        self._turns = self._tool_calls = 0
        self.started_s = self._wall_s = 0.0
        self._error: str | None = None

    def run(self, client: OpenAI, *, model: str, stream: bool) -> None:
        system, workspace = system_prompt(SYSTEM_PROMPT_TOKENS), Workspace(self._project.root)
        self.started_s = self._clock()
        self._watcher.started(self._name, lambda: self._clock() - self.started_s)
        _, self._error = attempt(
            lambda: agent.run(
                client,
                model=model,
                prompt=self._project.prompt,
                workspace=workspace,
                system=system,
                stream=stream,
                extra_tools=self._project.tools(),
                on_turn=self._turn,
            )
        )
        self._wall_s = self._clock() - self.started_s

    def _turn(self, number: int, message: agent.Message) -> None:
        self._on_turn()
        calls = message.get("tool_calls", [])
        self._turns = number
        self._tool_calls += len(calls)
        self._watcher.turn(self._name, number, _summary(calls))

    def arm(self, book: Book) -> DemoArm:
        after = _contents(self._project.root)
        paths = self._before.keys() | after.keys()
        arm = DemoArm(
            name=self._name,
            book=book,
            wall_s=self._wall_s,
            turns=self._turns,
            tool_calls=self._tool_calls,
            files_changed=sum(self._before.get(path) != after.get(path) for path in paths),
            tests_pass=self._project.run_tests()[0],
            done=self._error is None and self._project.renamed(),
            error=self._error,
        )
        self._watcher.ended(arm)
        return arm


def _job(files: dict[str, str], _: dict[str, Any]) -> list[Call]:
    """The calls of the simulated model: all edits, one per turn, and then the tests."""
    edits = rename_calls(files, OLD_NAME, NEW_NAME)
    return [*(Call(name, arguments) for name, arguments in edits), _TESTS]


def _program(request: dict[str, Any]) -> str:
    """The program of the simulated model: reads and edits all files that the prompt names."""
    paths = re.findall(r"^- (\S+)$", current_prompt(request["messages"]), re.MULTILINE)
    renaming = rename_program(OLD_NAME, NEW_NAME)
    return f'{list_of(paths)}{renaming}print("renamed in", len(paths), "files")\n'


def _warm_up() -> None:
    """One request of a wrapped client, to load what all arms need before a clock runs.

    The SDK imports its resources in the first request; at the scale of the lab that would
    cost the first arm several seconds.
    """
    lab = Lab(Script(Reply("Ready.")))
    with lab, sdk.client(lab.base_url, "none", trust_env=False) as client:
        batchwrap.wrap(client, config=None).chat.completions.create(
            model="simulated", messages=[{"role": "user", "content": "Ready?"}]
        )


def _summary(calls: list[dict[str, Any]]) -> str:
    """The first call in a few words, and how many more there are."""
    if not calls:
        return "says that it is done"
    function = calls[0]["function"]
    try:
        path = json.loads(function["arguments"])["path"]
    except (ValueError, KeyError, TypeError):
        path = ""
    more = f"and {len(calls) - 1} more" if len(calls) > 1 else ""
    return " ".join(part for part in (function["name"], str(path), more) if part)


def _contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

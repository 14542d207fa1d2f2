"""What a script saves, and what it costs: six jobs in four ways, and the interpreter.

A real agent with real files does each job with the bare client, with batches, with scripts and
with both (`script_jobs`, `script_models`), on a simulated provider with the limits of a plan. The
models are scripted: the figures say what the way of calling is worth to a model that takes it,
and not that one does. What the machine itself needs (tools, tests, interpreter) counts as often
as the provider's clock is faster than a real one. Run it with `make benchmark-scripts`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import batchwrap
from batchwrap.demo import agent, sdk
from batchwrap.demo.book import read_journal
from batchwrap.demo.prompt import system_prompt
from batchwrap.demo.run import SYSTEM_PROMPT_TOKENS
from batchwrap.eval.agent_toolbox import AgentToolbox
from batchwrap.lab import Lab, RateLimit
from batchwrap.options import Batching, Limit, Scripts
from batchwrap.providers import plan
from batchwrap.tools import Workspace
from benchmarks import script_costs
from benchmarks.script_jobs import Job, jobs
from benchmarks.script_models import WAYS, Way, model_of

PLANS = ("cerebras/code-pro", "cerebras/code-max")
TIME_SCALE = 15.0
MOST_ROUND_TRIPS, MOST_TOKENS = 4, 0.15
_TOKENS_PER_S, _TTFT_S = 1500.0, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a job went.

    Attributes:
        round_trips, prompt_tokens, refusals: as the provider counted them.
        calls: calls that the agent ran.
        wall_s: from the first request to the last answer, in seconds of the provider.
        problem: what is wrong with the result; None if nothing is.
    """

    round_trips: int
    prompt_tokens: int
    refusals: int
    calls: int
    wall_s: float
    problem: str | None


class Stage:
    """A provider, and a client in one of the four ways, for one job after the other.

    Args:
        way: how the models call tools, and what the client offers for it.
        limits: the provider's.
        scale: provider seconds in a real one; infinite: nothing takes time.
    """

    def __init__(self, way: Way, limits: Sequence[RateLimit] = (), scale: float = math.inf) -> None:
        is_timed = scale < math.inf
        self._way, self._model = way, model_of(jobs()[0], way)
        # The wrapped client waits in real seconds.
        self._kept = [Limit(it.kind, it.amount, it.per_s / scale) for it in limits]
        self._lab = Lab(
            lambda request: self._model(request),
            limits=limits,
            tokens_per_s=_TOKENS_PER_S if is_timed else math.inf,
            ttft_s=_TTFT_S if is_timed else 0,
            time_scale=scale if is_timed else 1,
        )

    def play(self, job: Job) -> Played:
        """Do a job in a folder of its own."""
        self._model = model_of(job, self._way)
        with (
            tempfile.TemporaryDirectory() as folder,
            sdk.client(self._lab.base_url, "none", trust_env=False) as bare,
        ):
            job.create(Path(folder))
            before, started_s = len(self._lab.journal), self._lab.now()
            done = agent.run(
                self._client(bare, job),
                model="scripted",
                prompt=job.prompt,
                workspace=_tools(job, Path(folder)),
                system=system_prompt(SYSTEM_PROMPT_TOKENS),
                stream=False,
            )
            wall_s = self._lab.now() - started_s
            self._lab.wait_idle()
            book = read_journal(self._lab.journal[before:], started_s)
            problem = job.check(Path(folder), done.text) if done.finished else "it has not ended"
        return Played(
            round_trips=book.round_trips,
            prompt_tokens=book.prompt_tokens or 0,
            refusals=book.refusals,
            calls=done.tool_calls,
            wall_s=wall_s,
            problem=problem,
        )

    def _client(self, bare: Any, job: Job) -> Any:
        if self._way == "bare":
            return bare
        scripts = Scripts(tools=job.named) if self._way in ("scripts", "both") else None
        batching = Batching(scripts=scripts)
        return batchwrap.wrap(bare, limits=self._kept, batching=batching, reminders=None)

    def __enter__(self) -> Self:
        self._lab.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._lab.stop()


def play(job: Job, way: Way) -> Played:
    """Do one job in some way, at a provider without limits or delays."""
    with Stage(way) as stage:
        return stage.play(job)


def _tools(job: Job, folder: Path) -> agent.Tools:
    workspace = Workspace(folder)
    return AgentToolbox(workspace, has_tests=job.has_tests) if job.searches else workspace


def limits_of(name: str) -> list[RateLimit]:
    """What the simulated provider enforces of a plan."""
    return [
        RateLimit(limit.kind, limit.amount, limit.per_s)
        for limit in plan(name).limits
        if limit.kind in ("requests", "tokens")
    ]


def shortfalls(job: Job, way: Way, its: Played, bare: Played) -> Iterator[str]:
    """What of the goals a way with scripts does not reach."""
    if its.problem is not None:
        yield f"{job.name}, {way}: {its.problem}"
    if way in ("scripts", "both") and its.round_trips > MOST_ROUND_TRIPS:
        yield f"{job.name}, {way}: {its.round_trips} round trips, not {MOST_ROUND_TRIPS}"
    share = its.prompt_tokens / bare.prompt_tokens
    if way in ("scripts", "both") and share > MOST_TOKENS:
        yield f"{job.name}, {way}: {share:.1%} of the prompt tokens, not {MOST_TOKENS:.0%}"


def table(name: str, scale: float) -> Iterator[str]:
    """The table of one plan, line by line; what falls short at its end.

    All jobs of a way are done in a row, so that one finds what the one before has left.
    """
    limits, short = limits_of(name), list[str]()
    amounts = ", ".join(f"{it.amount:,.0f} {it.kind} in {it.per_s:g} s" for it in limits)
    yield f"{name}: {amounts}"
    yield (
        f"{'job':<22} {'way':<8} {'round trips':>11} {'prompt tokens':>13} {'of bare':>8}"
        f" {'calls':>6} {'429':>4} {'wall s':>7}"
    )
    played: dict[Way, list[Played]] = {}
    for way in WAYS:
        with Stage(way, limits, scale) as stage:
            played[way] = [stage.play(job) for job in jobs()]
    for place, job in enumerate(jobs()):
        bare = played["bare"][place]
        for way in WAYS:
            its = played[way][place]
            short += shortfalls(job, way, its, bare)
            yield _row(job.name, way, its, bare)
    for way in WAYS:
        yield _row("all, in a row", way, _sum(played[way]), _sum(played["bare"]))
    yield "all goals are reached, and all results are right" if not short else "\n".join(short)


def _row(name: str, way: Way, its: Played, bare: Played) -> str:
    share = f"{its.prompt_tokens / bare.prompt_tokens:.1%}"
    return (
        f"{name if way == 'bare' else '':<22} {way:<8} {its.round_trips:>11}"
        f" {its.prompt_tokens:>13,} {share:>8} {its.calls:>6} {its.refusals:>4} {its.wall_s:>7.1f}"
    )


def _sum(played: Sequence[Played]) -> Played:
    return Played(
        round_trips=sum(one.round_trips for one in played),
        prompt_tokens=sum(one.prompt_tokens for one in played),
        refusals=sum(one.refusals for one in played),
        calls=sum(one.calls for one in played),
        wall_s=sum(one.wall_s for one in played),
        problem=None,
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What scripts save, and what they cost.")
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE, metavar="N")
    parser.add_argument("--costs", action="store_true", help="the interpreter's cost alone")
    options = parser.parse_args()
    if not options.costs:
        print(f"Goals: {MOST_ROUND_TRIPS} round trips, {MOST_TOKENS:.0%} of the prompt tokens.")
        tokens = f"{SYSTEM_PROMPT_TOKENS:,}"
        print(f"Scripted models, a system prompt of {tokens} tokens. Seconds are the simulated")
        print(f"provider's; what this machine itself needs counts {options.time_scale:g} times.\n")
        play(jobs()[0], "scripts")  # loads what would cost the first run seconds of the lab
        for name in PLANS:
            for line in table(name, options.time_scale):
                print(line, flush=True)
            print()
    for line in script_costs.lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()

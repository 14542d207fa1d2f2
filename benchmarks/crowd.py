"""The processes of a play: a provider that enforces limits, and workers that ask it.

Each is started with its part as JSON, says in one line when it is ready, and does its part when
it is given a line. All of them share one fast clock, so their times can be compared.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from benchmarks import fast_clock

TOKENS, REQUESTS, RUNNING, MINUTE_S = 300_000, 50, 8, 60.0
SMALLEST, LARGEST, MIDDLE, SPREAD = 1_000, 60_000, 6_000, 1.0
# What a request allows as output, and how the provider generates it.
MOST_OUTPUT, LEAST_OUTPUT, OUTPUT_PER_S, FIRST_S = 400, 50, 100.0, 0.5
ESTIMATES_OFF = 0.3
STRANGER = "stranger"
# The provider's windows began so long before the first request.
PHASE_S = 41.0
_MOST_TRIES = 60
_STRANGER_EVERY_S = 4.0


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    Attributes:
        name: tells it apart.
        prompt: tokens as the provider counts them.
        estimate: tokens that its text has by the public tokenizer.
        output: tokens of its answer.
    """

    name: str
    prompt: int
    estimate: int
    output: int

    @property
    def size(self) -> int:
        """What the provider charges for it."""
        return self.prompt + self.output

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of `create`; the field `user` tells the provider how to count."""
        return {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": " x" * self.estimate}],
            "max_tokens": MOST_OUTPUT,
            "user": f"{self.name} {self.prompt} {self.output}",
        }


def jobs(count: int, seed: int, estimates: float = 1.0) -> list[Job]:
    """Requests of heavy-tailed sizes.

    Args:
        count: how many.
        seed: which ones.
        estimates: by what factor estimates are too high, beside their noise.
    """
    random, made = Random(seed), []
    for number in range(count):
        drawn = MIDDLE * random.lognormvariate(0, SPREAD)
        prompt = round(min(max(drawn, SMALLEST), LARGEST))
        noise = random.uniform(1 - ESTIMATES_OFF, 1 + ESTIMATES_OFF)
        output = random.randint(LEAST_OUTPUT, MOST_OUTPUT)
        made.append(Job(f"job-{number}", prompt, round(prompt * noise * estimates), output))
    return made


@dataclass(frozen=True, slots=True)
class Part:
    """What one process has to do.

    Attributes:
        role: ``"provider"``, or the name of a contender.
        mode: how the provider's buckets fill.
        dialect: how the provider words refusals, and whether it sends headers.
        factor, start_s: its clock; see `fast_clock.install`.
        base_url: where the provider is.
        share: the part of the budget that is this process's own, where budgets are not shared.
        store: where batchwrap keeps its budget.
        workers: how many ask at the same time.
        jobs: what they ask for.
    """

    role: str
    mode: str
    factor: float
    start_s: float
    dialect: str = "openai"
    base_url: str = ""
    share: float = 1.0
    store: str = "memory"
    workers: int = 1
    jobs: list[Job] = field(default_factory=list)

    def to_json(self) -> str:
        """As an argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Part:
        """Of such an argument."""
        given = json.loads(text)
        return cls(**{**given, "jobs": [Job(**job) for job in given["jobs"]]})


def serve(part: Part) -> None:
    """Be the provider until a line comes; then tell what happened."""
    from batchwrap.lab import Lab, RateLimit, Reply
    from batchwrap.lab.tokenizing import Tokens

    class AsTold(Tokens):
        def prompt(self, body: dict[str, Any]) -> int:
            return int(str(body["user"]).split()[1])

    def answer(body: dict[str, Any]) -> Reply:
        return Reply(" x" * int(str(body["user"]).split()[2]))

    mode: Any = part.mode
    dialect: Any = part.dialect
    limits = [
        RateLimit("tokens", TOKENS, MINUTE_S, mode),
        RateLimit("requests", REQUESTS, MINUTE_S, mode),
        RateLimit("concurrency", RUNNING),
    ]
    with Lab(
        answer,
        limits=limits,
        dialect=dialect,
        tokens_per_s=OUTPUT_PER_S,
        ttft_s=FIRST_S,
        tokens=AsTold("o200k_base"),
    ) as lab:
        began_s = time.monotonic() - lab.now()
        tell({"url": lab.base_url, "began_s": began_s})
        sys.stdin.readline()
        told = [
            (entry.json["user"].split()[0], entry.status, began_s + entry.started_s, entry.ended_s)
            for entry in lab.journal
        ]
        tell(told)


def work(part: Part) -> None:
    """Do all jobs and tell when each began, and how often its contender gave up."""
    from benchmarks.contenders import make

    asyncio.run(_work(part, make))


async def _work(part: Part, make: Callable[[Part], Callable[[Job], Awaitable[object]]]) -> None:
    # Modules and tables are loaded with the first request: one of another budget.
    await _do(Job("warm-up", 1_000, 1_000, 1), make(replace(part, store="memory")))
    ask = make(part)
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    left = iter(part.jobs)
    told: dict[str, tuple[float, int, str]] = {}

    async def worker() -> None:
        for job in left:
            told[job.name] = await _do(job, ask)

    if part.role == STRANGER:
        await _disturb(part, ask)
    await asyncio.gather(*(worker() for _ in range(part.workers)))
    tell(told)


async def _do(job: Job, ask: Callable[[Job], Awaitable[object]]) -> tuple[float, int, str]:
    """When it began, how often it failed, and the last error if it was never done."""
    began_s, last = time.monotonic(), ""
    for failed in range(_MOST_TRIES):
        try:
            await ask(job)
        except Exception as error:  # whatever a contender's way to give up is
            last = f"{type(error).__name__}: {error}"[:200]
        else:
            return began_s, failed, ""
    return began_s, _MOST_TRIES, last


async def _disturb(part: Part, ask: Callable[[Job], Awaitable[object]]) -> None:
    """Ask for something every now and then, whatever comes of it, until a line comes."""
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    asked: list[asyncio.Task[Any]] = []
    while not over.done():
        job = part.jobs[len(asked) % len(part.jobs)]
        asked.append(asyncio.ensure_future(ask(job)))
        await asyncio.sleep(_STRANGER_EVERY_S)
    await asyncio.gather(*asked, return_exceptions=True)


def tell(what: object) -> None:
    """One line of JSON."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Play the part that the command names."""
    part = Part.from_json(sys.argv[1])
    fast_clock.install(part.factor, part.start_s)
    if part.role == "provider":
        serve(part)
    else:
        work(part)


if __name__ == "__main__":
    main()

"""One provider with enforced limits, and who gets most out of it with the fewest refusals.

300k tokens and 50 requests a minute, 8 at the same time, over real HTTP on a clock that runs
faster. 120 requests from 1k to 60k tokens, heavy-tailed, by 12 workers; estimates are off by up
to 30 % in both directions. batchwrap, the bare SDK and others' limiters play the same requests,
and so does an oracle that knows the real sizes and serves first come, first.

``of bound`` is the share of the least time in which the limits let so much pass, ``of oracle``
the same compared with the oracle. A wait (``p99 s``) is from the time a worker takes up a request
until its last attempt reaches the provider; ``large`` is the wait of the largest tenth by that of
the rest. ``failed`` counts requests that a contender gave up at least once: its caller asks again.

Run it with ``python -m benchmarks.throttle``: five minutes; ``--quick`` plays less.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from statistics import mean
from typing import Any

from benchmarks import rates
from benchmarks.crowd import (
    MINUTE_S,
    PHASE_S,
    REQUESTS,
    STRANGER,
    TOKENS,
    Job,
    Part,
    jobs,
)
from benchmarks.rates import LITELLM, ROOT

PACKAGES = {"aiolimiter": "aiolimiter", "pyrate-limiter": "pyrate_limiter"}
PEERS = ("openai SDK", "tenacity", "aiolimiter", "pyrate-limiter", "LiteLLM Router")
ORACLE = "oracle"
# They play all seeds, the others the first.
OWN = (ORACLE, "batchwrap")
WORKERS = 12
# Two plays at once disturb each other by a few percent: not where it is about single ones.
_AT_ONCE = 2
_AS_WRITTEN = argparse.RawTextHelpFormatter


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played.

    Attributes:
        name: what is special about it.
        contenders: who plays it, each by itself.
        mode: how the provider's buckets fill.
        processes: among how many processes the workers are divided.
        store: where batchwrap keeps its budget; a URL without its place.
        stranger: whether somebody else uses 30 % of the budget.
        dialect: of the provider; ``"headerless"``: it says nothing of its limits in answers.
        estimates: by what factor estimates are too high.
    """

    name: str
    contenders: tuple[str, ...]
    mode: str = "continuous"
    processes: int = 1
    store: str = "memory"
    stranger: bool = False
    dialect: str = "openai"
    estimates: float = 1.0


SCENES = (
    Scene("continuous", ("oracle", "batchwrap", *PEERS)),
    Scene("fixed windows", ("oracle", "batchwrap", *PEERS), mode="fixed"),
    Scene(
        "30 % used by somebody else",
        ("oracle", "batchwrap", "openai SDK", "aiolimiter"),
        stranger=True,
    ),
    Scene(
        "stranger without headers",
        ("oracle", "batchwrap", "openai SDK", "aiolimiter"),
        stranger=True,
        dialect="headerless",
    ),
    Scene(
        "estimates twice too high",
        ("batchwrap", "aiolimiter"),
        estimates=2.0,
    ),
    Scene(
        "4 processes, SQLite",
        ("batchwrap", "openai SDK", "aiolimiter"),
        processes=4,
        store="sqlite",
    ),
    Scene("4 processes, Redis", ("batchwrap",), processes=4, store="redis"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a contender did.

    Attributes:
        of_bound: share of the least time in which the limits let so much pass.
        seconds: how long it took.
        refusals: 429s.
        failed: jobs that failed at least once.
        lost: jobs that were never done.
        p99_s: the wait that one job in a hundred has, or longer.
        large: wait of the largest tenth, compared with the rest.
    """

    of_bound: float
    seconds: float
    refusals: int
    failed: int
    lost: int
    p99_s: float
    large: float


HEADER = f"{'':<16} of oracle  of bound (range)        refusals (most) failed lost  p99 s  large"


def row(contender: str, outcomes: Sequence[Outcome], oracle: float | None) -> str:
    """One line: the mean over all plays, and where it matters the range; none: not installed."""
    if not outcomes:
        return f"{contender:<16} is not installed"

    def average(field: str) -> float:
        return float(mean(getattr(one, field) for one in outcomes))

    bounds = [one.of_bound for one in outcomes]
    of_oracle = f"{mean(bounds) / oracle:.3f}" if oracle else "-"
    spread = f"({min(bounds):.3f} - {max(bounds):.3f})"
    return (
        f"{contender:<16} {of_oracle:>9} {mean(bounds):>9.3f} {spread}"
        f" {average('refusals'):>6.1f} ({max(one.refusals for one in outcomes):>4})"
        f" {average('failed'):>7.1f} {sum(one.lost for one in outcomes):>4}"
        f" {average('p99_s'):>6.1f} {average('large'):>6.2f}"
    )


class Process:
    """One part, in a process of its own; it is ended with the block."""

    def __init__(self, part: Part) -> None:
        python = str(LITELLM) if part.role == "LiteLLM Router" else sys.executable
        command = [python, "-m", "benchmarks.crowd", part.to_json()]
        pipe: Any = subprocess.PIPE
        quiet = subprocess.DEVNULL if python == str(LITELLM) else None
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=quiet, text=True, cwd=ROOT
        )
        self.said = self.hear()

    def go(self) -> None:
        """Let it do its part, or end it."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def play(scene: Scene, contender: str, work: Sequence[Job], factor: float) -> Outcome:
    """Let one contender do the work, on a clock that runs so much faster."""
    first = Part("provider", scene.mode, factor, time.monotonic(), scene.dialect)
    with ExitStack() as running:
        provider = running.enter_context(Process(first))
        asks = replace(
            first,
            role=contender,
            base_url=provider.said["url"],
            share=1 / scene.processes,
            store=running.enter_context(rates.store(scene.store)),
            workers=WORKERS // scene.processes,
        )
        crowd = [
            running.enter_context(Process(replace(asks, jobs=list(work[n :: scene.processes]))))
            for n in range(scene.processes)
        ]
        stranger = _stranger(running, asks) if scene.stranger else None
        began_s = _wait_for_phase(first, provider.said["began_s"])
        for process in (*crowd, *((stranger,) if stranger else ())):
            process.go()
        told = {name: one for process in crowd for name, one in process.hear().items()}
        provider.go()
        return _outcome(scene, work, told, provider.hear(), began_s)


def _stranger(running: ExitStack, asks: Part) -> Process:
    # Every four seconds a request of 6k tokens: 30 % of the tokens and of the requests.
    job = Job(STRANGER, 5_900, 5_900, 100)
    return running.enter_context(Process(replace(asks, role=STRANGER, jobs=[job])))


def _wait_for_phase(part: Part, began_s: float) -> float:
    """Wait until the provider's windows are in the middle of one; the time then."""
    now_s = part.start_s + (time.monotonic() - part.start_s) * part.factor
    wait_s = (PHASE_S - (now_s - began_s)) % MINUTE_S
    time.sleep(wait_s / part.factor)
    return now_s + wait_s


def _outcome(
    scene: Scene,
    work: Sequence[Job],
    told: dict[str, tuple[float, int, str]],
    journal: Sequence[tuple[str, int, float, float]],
    began_s: float,
) -> Outcome:
    reached = {name: at_s for name, status, at_s, _ in journal if status == 200}
    ours = [entry for entry in journal if entry[0] in told]
    others = [entry for entry in journal if entry[0] == STRANGER and entry[1] == 200]
    done = [job for job in work if job.name in reached and not told[job.name][2]]
    waits = {job.name: reached[job.name] - told[job.name][0] for job in done}
    seconds = max(reached[job.name] for job in done) - min(one[0] for one in told.values())
    by_size = sorted(done, key=lambda job: -job.size)
    tenth = len(done) // 10
    large, rest = (
        mean(waits[job.name] for job in some) for some in (by_size[:tenth], by_size[tenth:])
    )
    tokens = sum(job.size for job in work) + 6_000 * len(others)
    bound_s = _bound_s(scene.mode, tokens, len(work) + len(others))
    return Outcome(
        of_bound=bound_s / seconds,
        seconds=seconds,
        refusals=sum(entry[1] == 429 for entry in ours),
        failed=sum(one[1] > 0 for one in told.values()),
        lost=len(work) - len(done),
        p99_s=sorted(waits.values())[math.ceil(0.99 * len(waits)) - 1],
        large=large / rest,
    )


def _bound_s(mode: str, tokens: float, requests: float) -> float:
    """The least time until so much has passed."""
    periods = max(tokens / TOKENS, requests / REQUESTS)
    if mode == "continuous":
        return (periods - 1) * MINUTE_S
    return (math.ceil(periods) - 1) * MINUTE_S - PHASE_S


def is_missing(contender: str) -> bool:
    """Whether it is not installed."""
    if contender == "LiteLLM Router":
        return not LITELLM.exists()
    return contender in PACKAGES and find_spec(PACKAGES[contender]) is None


def table(scene: Scene, given: argparse.Namespace, oracles: dict[Any, float]) -> Iterator[str]:
    """The lines of a scene, as they come. `oracles` keeps what the oracle has reached."""
    yield f"\n{scene.name}\n{HEADER}"
    same, asked = (scene.mode, scene.stranger, scene.dialect), given.only or scene.contenders
    for at_once, some in ((1, OWN), (_AT_ONCE, PEERS)):
        with ThreadPoolExecutor(at_once) as pool:
            present = [one for one in asked if one in some]
            plays = {one: _plays(pool, scene, one, given) for one in present}
            for contender in present:
                outcomes = [one.result() for one in plays[contender]]
                if contender == ORACLE:
                    oracles[same] = mean(one.of_bound for one in outcomes)
                yield row(contender, outcomes, oracles.get(same))


def _plays(
    pool: ThreadPoolExecutor, scene: Scene, contender: str, given: argparse.Namespace
) -> list[Future[Outcome]]:
    if is_missing(contender):
        return []
    seeds = given.seeds if contender in OWN else given.seeds[:1]
    works = [jobs(given.jobs, seed, scene.estimates) for seed in seeds]
    return [pool.submit(play, scene, contender, work, given.factor) for work in works]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AS_WRITTEN)
    parser.add_argument("--quick", action="store_true", help="one short scene, and only our own")
    parser.add_argument("--jobs", type=int, default=120, help="how many requests")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="which ones")
    parser.add_argument("--factor", type=float, default=30, help="how much faster time runs")
    parser.add_argument("--scene", default="", help="only those whose names begin so")
    parser.add_argument("--only", nargs="*", help="only these contenders")
    given = parser.parse_args()
    if given.quick:
        given.jobs, given.seeds, given.only, given.scene = 60, [1], OWN, "continuous"
    oracles = dict[Any, float]()
    for scene in SCENES:
        if scene.name.startswith(given.scene):
            for line in table(scene, given, oracles):
                print(line, flush=True)
    for line in rates.table():
        print(line, flush=True)


if __name__ == "__main__":
    main()

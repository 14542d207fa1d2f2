"""A short play of the throttle's benchmark: what holds on a busy machine, too."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any, Literal

import httpx2
import pytest

import batchwrap
from batchwrap import Limit, Throttle
from batchwrap.lab import Lab, RateLimit, Reply
from batchwrap.lab.tokenizing import Tokens
from batchwrap.testing import ManualClock
from benchmarks import rates
from benchmarks.crowd import LARGEST, MINUTE_S, REQUESTS, SMALLEST, TOKENS, jobs
from benchmarks.rates import by_limiter, by_store, store
from benchmarks.throttle import Outcome, Scene, play, row

FACTOR = 30.0


def test_jobs_are_heavy_tailed_and_the_same_again() -> None:
    """A seed names the requests; the largest tenth of them has a third of all tokens or more."""
    work = jobs(120, seed=1)
    sizes = sorted(job.prompt for job in work)
    assert work == jobs(120, seed=1) != jobs(120, seed=2)
    assert sizes[0] >= SMALLEST and sizes[-1] <= LARGEST
    assert sum(sizes[-12:]) > sum(sizes) / 3


@pytest.mark.thorough
@pytest.mark.parametrize(
    "scene",
    [
        Scene("continuous", ()),
        Scene("fixed windows", (), mode="fixed"),
        Scene("4 processes, SQLite", (), processes=4, store="sqlite"),
    ],
    ids=lambda scene: scene.name,
)
def test_nothing_is_lost(scene: Scene) -> None:
    """Hardly anything is refused, every request is answered, and large ones are not starved."""
    outcome = play(scene, "batchwrap", jobs(50, seed=1), FACTOR)
    assert (outcome.lost, outcome.failed) == (0, 0)
    assert outcome.refusals <= 8
    assert outcome.large < 4


class CountsOtherwise(Tokens):
    """Counts a prompt as the request of a job says."""

    def prompt(self, body: dict[str, Any]) -> int:
        """Up to 30 % more or less than the text has."""
        return int(body["user"].split()[1])


def test_without_headers() -> None:
    """Beside a provider that says nothing of its limits, its refusals are enough to keep them.

    One request after the other on a clock that only waits move, so that no machine is too slow
    for it. `make benchmark-throttle` plays a crowd beside such a provider.
    """
    clock, work = ManualClock(), jobs(120, seed=1)
    limits: dict[Literal["tokens", "requests"], int] = {"tokens": TOKENS, "requests": REQUESTS}
    throttle = Throttle(
        limits=[Limit(kind, amount, MINUTE_S) for kind, amount in limits.items()],
        max_wait_s=3_600,
        clock=clock,
    )
    with (
        Lab(
            lambda body: Reply(" x" * int(body["user"].split()[2])),
            limits=[RateLimit(kind, amount, MINUTE_S) for kind, amount in limits.items()],
            dialect="headerless",
            tokens=CountsOtherwise("o200k_base"),
            tokens_per_s=math.inf,
            ttft_s=0,
            clock=clock,
        ) as lab,
        httpx2.Client() as bare,
    ):
        client = batchwrap.wrap(bare, throttle=throttle, batching=None, reminders=None, repair=None)
        for job in work:
            answer = client.post(f"{lab.base_url}/chat/completions", json=job.request)
            assert answer.status_code == 200
    assert lab.round_trips == len(work)
    assert lab.refusals <= 8
    # A full bucket, and what flows in while the clock runs, is all that the provider lets through.
    asked = sum(job.size for job in work)
    assert TOKENS < asked <= TOKENS * (1 + clock.passed_s / MINUTE_S) + LARGEST


@pytest.mark.thorough
def test_the_provider_refuses_who_asks_too_much() -> None:
    """Without a limiter the same requests meet many refusals."""
    outcome = play(Scene("continuous", ()), "openai SDK", jobs(50, seed=1), FACTOR)
    assert outcome.refusals > 20


def test_a_row_tells_mean_and_range() -> None:
    """Of several plays it has the mean, the range, and the comparison with the oracle."""
    told = Outcome(0.9, 150.0, refusals=2, failed=1, lost=0, p99_s=30.0, large=1.5)
    line = row("batchwrap", [told, replace(told, of_bound=0.8, refusals=0)], oracle=1.0)
    told_of = "batchwrap 0.850 0.850 (0.800 - 0.900) 1.0 (2) 1.0 0 30.0 1.50"
    assert re.sub(r"\( +", "(", line).split() == told_of.split()


def test_reserving_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is that of the pairs which were made while the clock ran."""
    # Each look at this clock takes an eighth of a second. Three are needed to see 0.3 s pass, so
    # two pairs are made in 0.375 s.
    looks = count()
    clock = SimpleNamespace(perf_counter=lambda: next(looks) / 8)
    monkeypatch.setattr(rates, "time", clock)
    with store("sqlite") as url:
        assert by_store(url) == 2 / 0.375
    assert by_limiter() == 2 / 0.375

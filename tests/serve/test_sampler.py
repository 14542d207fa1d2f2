"""Samples of the budget and the counters: bounded, one in a period, and never in the way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchwrap.core.limits.cost import Cost
from batchwrap.engine import Engine
from batchwrap.errors import StoreUnavailable
from batchwrap.options import Limit, Options, Throttle
from batchwrap.serve.sampler import KEPT, MOST_ACCOUNTS, PERIOD_S, Sampler
from batchwrap.throttle.accounts import Origin

LIMITS = [Limit("requests", 9), Limit("tokens", 100)]


def an_engine(store: str = "memory") -> Engine:
    """An engine with limits."""
    return Engine(Options(throttle=Throttle(limits=LIMITS, store=store)))


def spend(engine: Engine, api_key: str) -> None:
    """A request of an account that runs."""
    request = engine.budget.request({"model": "m"}, Origin(host="h", api_key=api_key))
    request.reserve(Cost(1, 10), Cost(1, 10))


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """The time that it shows."""
        return self.now_s


def test_one_in_a_period() -> None:
    """A second sample of a period replaces the first, also after the clock was set back."""
    hands = Hands()
    sampler = Sampler(an_engine(), hands)

    async def take() -> None:
        for now_s in (1_000.0, 1_000.5, 1_000.0 + PERIOD_S, 1_000.0):
            hands.now_s = now_s
            await sampler.take()

    anyio.run(take)
    numbers = [sample.number for sample in sampler.samples]
    assert numbers == [500]


def test_bounded() -> None:
    """However many accounts there are and however long it runs, what is kept is bounded."""
    engine, hands = an_engine(), Hands()
    for number in range(3 * MOST_ACCOUNTS):
        spend(engine, f"key-{number}")
    spend(engine, "key-0")  # used last, so that it is among those that are read
    sampler = Sampler(engine, hands)

    async def take() -> None:
        for _ in range(KEPT + 9):
            hands.now_s += PERIOD_S
            await sampler.take()

    anyio.run(take)
    assert len(sampler.samples) == KEPT
    assert len(sampler.standings) == MOST_ACCOUNTS
    newest = sampler.standings[-1]
    assert [level.reserved for _, level, _ in newest.levels] == [2, 20]
    first = engine.budget.request({"model": "m"}, Origin(host="h", api_key="key-0"))
    assert newest.scope.name == first.scope().name
    assert engine.budget.standings(1)[0].account == newest.account


def test_a_shared_store(tmp_path: Path) -> None:
    """A store that may block is read, too."""
    engine = an_engine(f"sqlite:///{tmp_path / 'budget.db'}")
    spend(engine, "key")
    sampler = Sampler(engine)
    anyio.run(sampler.take)
    assert [level.reserved for _, level, _ in sampler.standings[0].levels] == [1, 10]
    assert not sampler.store_is_down


def test_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are samples without buckets while the store cannot be read."""
    engine = an_engine()
    spend(engine, "key")
    sampler = Sampler(engine)

    def down(*args: Any) -> Any:
        raise StoreUnavailable("memory", "it is down")

    with monkeypatch.context() as patched:
        patched.setattr(engine.budget.limiter.store, "snapshot", down)
        anyio.run(sampler.take)
        assert sampler.store_is_down and not sampler.standings and sampler.samples
    anyio.run(sampler.take)
    assert len(sampler.standings) == 1
    assert [sampler.store_is_down] == [False]


def test_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """An error of a sample is logged without what it says, and the next one is tried."""

    async def run() -> None:
        seen = anyio.Event()

        class Broken(Sampler):
            async def take(self) -> None:
                if caplog.records:
                    seen.set()
                raise ValueError("secret")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Broken(an_engine(), Hands()).run)
            await seen.wait()
            tasks.cancel_scope.cancel()

    with caplog.at_level(logging.ERROR, "batchwrap"):
        anyio.run(run)
    assert "a sample for the page failed with ValueError" in caplog.text
    assert "secret" not in caplog.text

"""The data of the page: which samples an answer has, and that readers share answers."""

from __future__ import annotations

import anyio
import orjson
import pytest

from batchwrap.engine import Engine
from batchwrap.options import Options
from batchwrap.serve import Settings
from batchwrap.serve.live_page import Recents, Snapshots
from batchwrap.serve.sampler import KEPT, PERIOD_S, Sampler

NEWEST = 1_000


@pytest.fixture
def snapshots() -> Snapshots:
    """With three samples, at a time that stands still."""
    engine, times_s = Engine(Options()), iter([PERIOD_S * (NEWEST + at) for at in (-2, -1, 0)])
    sampler = Sampler(engine, times_s.__next__)

    async def take() -> None:
        for _ in range(3):
            await sampler.take()

    anyio.run(take)
    settings = Settings(upstream="http://localhost:1/v1")
    stats, now_s = engine.counters.stats, NEWEST * PERIOD_S
    return Snapshots(settings, stats, sampler, Recents(), lambda: now_s)


@pytest.mark.parametrize(
    ("since", "numbers"),
    [(0, [998, 999, 1_000]), (998, [999, 1_000]), (NEWEST, []), (NEWEST + 9, [])],
)
def test_newer_samples(snapshots: Snapshots, since: int, numbers: list[int]) -> None:
    """A reader gets the samples that it does not have yet."""
    shown = orjson.loads(anyio.run(snapshots.since, since))["samples"]
    assert [sample["n"] for sample in shown] == numbers


@pytest.mark.anyio
async def test_readers_share_answers(snapshots: Snapshots) -> None:
    """Whatever numbers are asked for, as many answers are made as there are different ones."""
    for one, same in ((NEWEST + 1, 10**17), (0, NEWEST - KEPT), (NEWEST - 1, NEWEST - 1)):
        assert await snapshots.since(one) is await snapshots.since(same)

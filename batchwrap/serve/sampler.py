"""Reads the budget and the counters every few seconds, however many viewers and scrapers there are.

Prometheus and the page read the newest sample. A store that several processes share is read in a
worker thread, since that may block.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import anyio
import anyio.to_thread
import orjson

from batchwrap.engine import Engine
from batchwrap.errors import StoreUnavailable
from batchwrap.stats import Stats
from batchwrap.throttle.standing import Standing

_log = logging.getLogger("batchwrap")
PERIOD_S = 2.0
KEPT = 330  # samples: eleven minutes, of which the page shows ten as totals of one minute
MOST_ACCOUNTS = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """The state at one moment.

    Attributes:
        number: the number of the period since 1970, which is the same in all processes.
        row: the tokens so far and the levels of the buckets, as JSON for the page. It is written
            when the sample is taken, so that a new viewer does not hold the others up.
    """

    number: int
    row: bytes


class Sampler:
    """Takes samples while it runs, and keeps the newest `KEPT`.

    Args:
        engine: of the wrapped client.
        clock: returns the time in seconds since 1970.

    Attributes:
        samples: the samples, oldest first.
        standings: the buckets that were used last; empty if the store could not be read.
        store_is_down: whether the store could not be read the last time.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.standings: Sequence[Standing] = ()
        self.store_is_down = False

    async def run(self) -> None:
        """Take a sample in each period, until it is cancelled."""
        while True:
            try:
                await self.take()
            except Exception as error:  # outermost handler: requests are served without samples
                _log.error("a sample for the page failed with %s", type(error).__name__)
            await anyio.sleep(PERIOD_S - self._clock() % PERIOD_S)

    async def take(self) -> None:
        """Take a sample now; it replaces one of the same period, or of a later one."""
        self.standings = await self._standings()
        number = int(self._clock() // PERIOD_S)
        row = _row(number, self._engine.counters.stats(), self.standings)
        while self.samples and self.samples[-1].number >= number:
            self.samples.pop()
        self.samples.append(Sample(number, row))

    async def _standings(self) -> Sequence[Standing]:
        budget = self._engine.budget
        look: Any = budget.standings
        try:
            found: list[Standing] = (
                await anyio.to_thread.run_sync(look, MOST_ACCOUNTS, abandon_on_cancel=True)
                if budget.limiter.store.shared
                else look(MOST_ACCOUNTS)
            )
        except StoreUnavailable:
            self.store_is_down = True
            return ()
        self.store_is_down = False
        return found


def ids(standing: Standing) -> Iterator[str]:
    """Names for an account's limits, the same in all samples and processes."""
    key = f"{standing.account}:{standing.scope.name}".encode(errors="backslashreplace")
    name = blake2b(key, digest_size=6).hexdigest()
    return (f"{name}-{place}" for place in range(len(standing.scope.limits)))


def _row(number: int, stats: Stats, standings: Sequence[Standing]) -> bytes:
    tokens = [stats.prompt_tokens, stats.cached_tokens, stats.completion_tokens]
    levels = {
        name: [round(amount, 1) for amount in (level.capacity, level.free, level.reserved)]
        for standing in standings
        for name, (_, level, _) in zip(ids(standing), standing.levels, strict=True)
    }
    return orjson.dumps({"n": number, "tokens": tokens, "levels": levels})

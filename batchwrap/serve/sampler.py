"""Reads the budget and the counters every few seconds, however many viewers and scrapers there are.

Prometheus and the page read the newest sample. A store that several processes share is read in a
worker thread, since that may block.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread

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
        stats: the counters.
        standings: the buckets that were used last; empty if the store could not be read.
    """

    number: int
    stats: Stats
    standings: Sequence[Standing]


class Sampler:
    """Takes samples while it runs, and keeps the newest `KEPT`.

    Args:
        engine: of the wrapped client.
        clock: returns the time in seconds since 1970.

    Attributes:
        samples: the samples, oldest first.
        store_is_down: whether the store could not be read the last time.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self.samples: deque[Sample] = deque(maxlen=KEPT)
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
        standings = await self._standings()
        sample = Sample(int(self._clock() // PERIOD_S), self._engine.counters.stats(), standings)
        while self.samples and self.samples[-1].number >= sample.number:
            self.samples.pop()
        self.samples.append(sample)

    @property
    def standings(self) -> Sequence[Standing]:
        """The buckets of the newest sample."""
        return self.samples[-1].standings if self.samples else ()

    async def _standings(self) -> Sequence[Standing]:
        budget = self._engine.budget
        look: Any = budget.standings
        try:
            found: list[Standing] = (
                await anyio.to_thread.run_sync(look, MOST_ACCOUNTS)
                if budget.limiter.store.shared
                else look(MOST_ACCOUNTS)
            )
        except StoreUnavailable:
            self.store_is_down = True
            return ()
        self.store_is_down = False
        return found

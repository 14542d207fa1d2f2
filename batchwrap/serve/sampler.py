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
        state: the tokens so far and the levels of the buckets, as JSON for the page. It is written
            when the sample is taken, so that a new viewer does not hold the others up.
    """

    number: int
    state: bytes

    @property
    def row(self) -> bytes:
        """Number and state as one JSON object."""
        return b'{"n":%d,%s' % (self.number, self.state[1:])


class Sampler:
    """Takes samples while it runs, and keeps the newest `KEPT`.

    Args:
        engine: of the wrapped client.
        clock: returns the time in seconds since 1970.

    Attributes:
        samples: the samples, oldest first.
        changes: those of the samples whose state differs from that of the one before.
        standings: the buckets that were used last; empty if the store could not be read.
        store_is_down: whether the store could not be read the last time.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.changes: deque[Sample] = deque(maxlen=KEPT)
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
        sample = Sample(number, _state(self._engine.counters.stats(), self.standings))
        for kept in (self.samples, self.changes):
            while kept and kept[-1].number >= number:
                kept.pop()
        self.samples.append(sample)
        if not self.changes or self.changes[-1].state != sample.state:
            self.changes.append(sample)

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


def _state(stats: Stats, standings: Sequence[Standing]) -> bytes:
    tokens = [stats.prompt_tokens, stats.cached_tokens, stats.completion_tokens]
    levels = {
        name: [round(amount, 1) for amount in (level.capacity, level.free, level.reserved)]
        for standing in standings
        for name, (_, level, _) in zip(ids(standing), standing.levels, strict=True)
    }
    return orjson.dumps({"tokens": tokens, "levels": levels})

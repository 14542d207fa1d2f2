"""What the page shows, as JSON: counters, buckets, waits, the last turns, and the newest samples.

It holds names, sizes and times: no message, no argument of a call, no key. Accounts are named by
the digests of their keys that `batchwrap limits` shows, too.

If several processes serve one port, each publishes this about itself, and merges what all of them
have published when it is asked.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import anyio.to_thread
import orjson

import batchwrap
from batchwrap.serve.live_page.merged_page import PAGE_STATE, longest_waiting, merge, read
from batchwrap.serve.live_page.recent_turns import Recents
from batchwrap.serve.peers import Peers
from batchwrap.serve.sampler import KEPT, PERIOD_S, Sample, Sampler, ids
from batchwrap.serve.settings import Settings
from batchwrap.stats import Stats
from batchwrap.throttle.standing import Standing

_FRESH_S = 0.5  # an answer is made at most twice a second, however many pages are open
_COUNTERS = (
    *("requests", "round_trips", "local_answers", "round_trips_saved", "multi_calls", "items"),
    *("scripts", "script_calls", "script_round_trips", "reminders", "read_ahead", "waited_s"),
    *("refusals", "retries", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("failed_open", "internal_errors", "passed_through"),
)


class Snapshots:
    """Makes the data of the page.

    Args:
        settings: the settings of the server.
        stats: returns the counters.
        sampler: takes the samples.
        recents: the last turns and refusals.
        clock: returns the time in seconds since 1970.
        peers: the other processes that serve the same port; None if there are none.
    """

    def __init__(
        self,
        settings: Settings,
        stats: Callable[[], Stats],
        sampler: Sampler,
        recents: Recents,
        clock: Callable[[], float] = time.time,
        peers: Peers | None = None,
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._sampler = sampler
        self._recents = recents
        self._clock = clock
        self._peers = peers
        self._began_unix_s = clock()
        self._making = asyncio.Lock()  # all who ask meanwhile get the answer that is being made
        self._made: dict[int, tuple[float, bytes]] = {}  # the fresh answers, by number

    async def since(self, number: int) -> bytes:
        """The data as JSON, with the samples after this number."""
        async with self._making:
            now_s, samples = self._clock(), self._sampler.samples
            newest = samples[-1].number if samples else 0
            since = min(max(number, newest - KEPT), newest)
            made_s, content = self._made.get(since, (0.0, b""))
            if not 0 <= now_s - made_s < _FRESH_S:
                content = await self._now(since, newest, now_s)
                fresh = {one: it for one, it in self._made.items() if now_s - it[0] < _FRESH_S}
                self._made = {**fresh, since: (now_s, content)}
            return content

    def published(self) -> bytes:
        """What this process has to show, as JSON for the others."""
        return orjson.dumps(self._own(self._sampler.changes))

    async def _now(self, since: int, newest: int, now_s: float) -> bytes:
        settings = self._settings
        common = {
            "process": os.getpid(),
            "version": batchwrap.__version__,
            "upstream": settings.upstream,
            "base_path": settings.base_path,
            "now": now_s,
            "period_s": PERIOD_S,
            "store_is_down": self._sampler.store_is_down,
        }
        if self._peers is None:
            samples = [one for one in self._sampler.samples if one.number > since]
            return orjson.dumps(common | self._own(samples))
        merge_all = partial(_merged, self.published(), self._peers, since, newest)
        return orjson.dumps(common | await anyio.to_thread.run_sync(merge_all))

    def _own(self, samples: Iterable[Sample]) -> dict[str, Any]:
        stats = self._stats()
        counted = stats.as_dict()
        return {
            "began": self._began_unix_s,
            "counters": {name: counted[name] for name in _COUNTERS},
            "repairs": counted["repairs"],
            "defects": counted["defects"],
            "accounts": [_account(one) for one in self._sampler.standings],
            "waiting": longest_waiting(counted["waiting"]),
            "waiting_count": len(stats.waiting),
            "refusals": self._recents.refusals,
            "conversations": self._recents.conversations,
            "samples": [orjson.Fragment(one.row) for one in samples],
        }


def _merged(own: bytes, peers: Peers, since: int, newest: int) -> dict[str, Any]:
    """What all processes show, with the samples after one number, up to another.

    It reads files, so it runs in a worker thread.
    """
    states = read([own, *peers.others(PAGE_STATE)])
    oldest = min((one["samples"][0]["n"] for one in states if one["samples"]), default=0)
    return merge(states, range(max(since + 1, oldest), newest + 1))


def _account(standing: Standing) -> dict[str, Any]:
    now = standing.now
    return {
        "account": standing.account,
        "scope": standing.scope.name,
        "running": now.running,
        "waiting": now.waiting,
        "closed_s": now.closed_s,
        "limits": [
            {
                "id": name,
                "text": str(limit),
                "kind": limit.kind,
                "mode": limit.mode,
                "amount": limit.amount,
                "per_s": limit.per_s,
                "capacity": level.capacity,
                "free": level.free,
                "reserved": level.reserved,
                "full_s": full_s,
            }
            for name, (limit, level, full_s) in zip(ids(standing), standing.levels, strict=True)
        ],
    }

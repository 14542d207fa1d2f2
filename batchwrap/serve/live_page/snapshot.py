"""What the page shows, as JSON: counters, buckets, waits, the last turns, and the newest samples.

It holds names, sizes and times: no message, no argument of a call, no key. Accounts are named by
the digests of their keys that `batchwrap limits` shows, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

import batchwrap
from batchwrap.serve.live_page.recent_turns import Recents
from batchwrap.serve.sampler import KEPT, PERIOD_S, Sampler, ids
from batchwrap.serve.settings import Settings
from batchwrap.stats import Stats
from batchwrap.throttle.standing import Standing

MOST_WAITING = 20
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
    """

    def __init__(
        self,
        settings: Settings,
        stats: Callable[[], Stats],
        sampler: Sampler,
        recents: Recents,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._sampler = sampler
        self._recents = recents
        self._clock = clock
        self._began_unix_s = clock()
        self._made: dict[int, tuple[float, bytes]] = {}  # the fresh answers, by number

    def since(self, number: int) -> bytes:
        """The data as JSON, with the samples after this number."""
        now_s, samples = self._clock(), self._sampler.samples
        newest = samples[-1].number if samples else 0
        since = min(max(number, newest - KEPT), newest)
        made_s, content = self._made.get(since, (0.0, b""))
        if not 0 <= now_s - made_s < _FRESH_S:
            content = orjson.dumps(self._now(since, now_s))
            fresh = {one: it for one, it in self._made.items() if now_s - it[0] < _FRESH_S}
            self._made = {**fresh, since: (now_s, content)}
        return content

    def _now(self, since: int, now_s: float) -> dict[str, Any]:
        stats, settings = self._stats(), self._settings
        counted = stats.as_dict()
        waiting = sorted(stats.waiting, key=lambda one: -one.waited_s)
        return {
            "process": os.getpid(),
            "version": batchwrap.__version__,
            "upstream": settings.upstream,
            "base_path": settings.base_path,
            "began": self._began_unix_s,
            "now": now_s,
            "period_s": PERIOD_S,
            "counters": {name: counted[name] for name in _COUNTERS},
            "repairs": counted["repairs"],
            "defects": counted["defects"],
            "accounts": [_account(one) for one in self._sampler.standings],
            "store_is_down": self._sampler.store_is_down,
            "waiting": [asdict(one) for one in waiting[:MOST_WAITING]],
            "waiting_count": len(waiting),
            "refusals": self._recents.refusals,
            "conversations": self._recents.conversations,
            "samples": [
                orjson.Fragment(one.row) for one in self._sampler.samples if one.number > since
            ],
        }


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
                "per_s": limit.per_s,
                "capacity": level.capacity,
                "free": level.free,
                "reserved": level.reserved,
                "full_s": full_s,
            }
            for name, (limit, level, full_s) in zip(ids(standing), standing.levels, strict=True)
        ],
    }

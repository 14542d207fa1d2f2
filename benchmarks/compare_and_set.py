"""The arithmetic of an account on Redis: as a script there, or in Python by compare and set.

The store runs its arithmetic as a Lua script: one round trip, whoever else is at the account. The
other way would need no second arithmetic: keep the JSON state in Redis, compute in Python, and
write it back if nobody else has written meanwhile (with the last known state at hand, one round
trip while nobody else is there). This prints what both cost, alone and with several processes on
one account: pairs of reserve and settle a second, and tries an operation.

Run it with ``python -m benchmarks.compare_and_set``.
"""

from __future__ import annotations

import multiprocessing
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import redis

from batchwrap.core.limits import account
from batchwrap.core.limits.state import empty
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores.redis import RedisStore
from tests.throttle.redis_server import RedisServer

_PLENTY = 10**9
_METERS = meters((Limit("tokens", _PLENTY), Limit("requests", _PLENTY), Limit("concurrency", 999)))
_PAIRS, _VERSION = 400, 8
_ROW = "{:<28} {:>14} {:>18} {:>12}"
_WRITE = """
local time, held = redis.call("TIME"), redis.call("GET", KEYS[1])
if (held and held:sub(1, 8) or "") ~= ARGV[1] then return {0, time[1], time[2], held or ""} end
redis.call("SET", KEYS[1], ARGV[2], "PX", 3600000)
return {1, time[1], time[2], ""}
"""


class CompareAndSet:
    """A store that computes in Python. Only what the measurement needs."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        self._sha = self._client.script_load(_WRITE)
        self._known: dict[str, bytes] = {}
        self._ahead_s: float | None = None  # of this process' clock, the server's at least
        self.tries = 0

    def reserve(self, key: str, *asked: Any, **options: Any) -> None:
        """Ask for an amount of each limit."""
        self._change(key, account.reserve, *asked, **options)

    def settle(self, key: str, *asked: Any) -> None:
        """Replace what is reserved by what was spent."""
        self._change(key, account.settle, *asked)

    def _change(self, key: str, operation: Callable[..., object], *asked: Any, **more: Any) -> None:
        while True:
            self.tries += 1
            known, new = self._known.get(key, b""), b""
            if self._ahead_s is not None:
                now = time.monotonic() + self._ahead_s
                state = orjson.loads(known[_VERSION:]) if known else empty(now)
                operation(state, *asked, now=now, **more)
                new = secrets.token_hex(_VERSION // 2).encode() + orjson.dumps(state)
            version = known[:_VERSION] if new else b"not known yet"
            done, seconds, micros, held = self._client.evalsha(self._sha, 1, key, version, new)
            self._ahead_s = int(seconds) + int(micros) / 1e6 - time.monotonic()
            self._known[key] = new if done else held
            if done:
                return


STORES: dict[str, Callable[[str], Any]] = {"script": RedisStore, "compare and set": CompareAndSet}


def pairs(kind: str, url: str, key: str, held: int) -> tuple[float, float]:
    """Pairs a second and tries an operation, with so many leases out."""
    store, mine = STORES[kind](url), secrets.token_hex(4)
    for number in range(held):
        store.reserve(key, _METERS, [1_000, 1, 1], f"{mine} held {number}", owner="me")
    if isinstance(store, CompareAndSet):
        store.tries = 0
    started_s = time.perf_counter()
    for number in range(_PAIRS):
        store.reserve(key, _METERS, [1_000, 1, 1], f"{mine} {number}", owner="me")
        store.settle(key, _METERS, f"{mine} {number}", [500, 1, 1])
    rate = _PAIRS / (time.perf_counter() - started_s)
    return rate, getattr(store, "tries", 2 * _PAIRS) / (2 * _PAIRS)


def main() -> None:
    """Print the table."""
    spawn = multiprocessing.get_context("spawn")
    print(_ROW.format("", "processes", "pairs a second", "tries"))
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        for held in (0, 50):
            for kind in STORES:
                best = max(pairs(kind, server.url, f"{kind} {held} {n}", held) for n in range(3))
                row = f"{kind}, {held} under way"
                print(_ROW.format(row, 1, f"{best[0]:,.0f}", f"{best[1]:.1f}"), flush=True)
        for count in (2, 4):
            for kind in STORES:
                with spawn.Pool(count) as pool:
                    asked = [(kind, server.url, f"{kind} {count}", 0)] * count
                    told = pool.starmap(pairs, asked, chunksize=1)
                rate, tries = (sum(one[place] for one in told) for place in (0, 1))
                print(_ROW.format(kind, count, f"{rate:,.0f}", f"{tries / count:.1f}"), flush=True)


if __name__ == "__main__":
    main()

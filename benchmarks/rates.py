"""What a limiter costs: pairs of reserve and settle in a second, on one thread, nobody waiting.

batchwrap reserves tokens, requests and a place among those that run, and settles with what was
used: by the store's contract, and in memory through the limiter with its queue as well (at shared
stores that settles later, in a thread of its own, so it would look better than it is). The others
take tokens and requests each from a limiter of its own, and give nothing back; LiteLLM checks
before a request and counts after it.

Run it with ``python -m benchmarks.rates``; `benchmarks.throttle` prints it as well.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from weakref import ref

ROOT = Path(__file__).parent.parent
# litellm needs another SDK than the rest; see the Makefile.
LITELLM = ROOT / ".venv-litellm" / "bin" / "python"
_FOR_S, _BEST_OF = 0.3, 3
_PLENTY, _MINUTE_S, _COST = 10**9, 60.0, 1_000
_ROW = "{:<36} {:>9} a second"

Pair = Callable[[], object]


def measure(pair: Pair) -> float:
    """Pairs in a second: the best of some tries, since other processes only take away."""
    return max(_once(pair) for _ in range(_BEST_OF))


def _once(pair: Pair) -> float:
    started_s, made = time.perf_counter(), 0
    while (taken_s := time.perf_counter() - started_s) < _FOR_S:
        pair()
        made += 1
    return made / taken_s


async def _measure_async(pair: Callable[[], Awaitable[object]]) -> float:
    best = 0.0
    for _ in range(_BEST_OF):
        started_s, made = time.perf_counter(), 0
        while (taken_s := time.perf_counter() - started_s) < _FOR_S:
            await pair()
            made += 1
        best = max(best, made / taken_s)
    return best


def by_store(url: str) -> float:
    """By the contract of a store."""
    from batchwrap.core.limits.windows import meters
    from batchwrap.throttle.stores import open_store

    known, store, tickets = meters(_limits()), open_store(url), count()

    def pair() -> None:
        ticket = f"t{next(tickets)}"
        store.reserve("a", known, [_COST, 1, 1], ticket, owner="me")
        store.settle("a", known, ticket, [_COST // 2, 1, 1])

    try:
        return measure(pair)
    finally:
        store.close()


def by_limiter() -> float:
    """Through the limiter's queue, in memory."""
    from batchwrap.core.limits.cost import NOTHING, Cost
    from batchwrap.core.limits.windows import meters
    from batchwrap.throttle.accounts import Account
    from batchwrap.throttle.limiter import Limiter
    from batchwrap.throttle.reservation import Reservation
    from batchwrap.throttle.scope import LimitScope
    from batchwrap.throttle.signal import ThreadSignal
    from batchwrap.throttle.stores import MemoryStore

    scope = LimitScope("all", _limits(), meters(_limits()))
    cost, spent, accounts = Cost(1, _COST), Cost(1, _COST // 2), (Account("a"),)
    limiter, tickets = Limiter(MemoryStore(), max_wait_s=60), count()
    holder: ref[object] = ref(limiter)

    def pair() -> None:
        amounts = scope.reserved(cost, cost, NOTHING, caution_s=0.0, pace=1.0, again=False)
        ticket = f"t{next(tickets)}"
        one = Reservation(scope, accounts, cost, cost, amounts, ThreadSignal(), ticket, holder)
        limiter.acquire(one)
        limiter.settle(one, spent)

    return measure(pair)


def _limits() -> tuple[Any, ...]:
    from batchwrap.options import Limit

    return (Limit("tokens", _PLENTY), Limit("requests", _PLENTY), Limit("concurrency", _PLENTY))


def aiolimiter() -> float:
    """Two limiters, without a way to settle."""
    from aiolimiter import AsyncLimiter

    async def run() -> float:
        tokens, requests = (AsyncLimiter(_PLENTY, _MINUTE_S) for _ in range(2))

        async def pair() -> None:
            await tokens.acquire(_COST)
            await requests.acquire()

        return await _measure_async(pair)

    return asyncio.run(run())


def pyrate_limiter() -> float:
    """Two limiters, without a way to settle; it keeps an entry for each token, so few are asked."""
    from pyrate_limiter import Duration, Limiter, Rate

    tokens, requests = (Limiter(Rate(_PLENTY, Duration.SECOND)) for _ in range(2))

    def pair() -> None:
        tokens.try_acquire("all", 1, blocking=False)
        requests.try_acquire("all", 1, blocking=False)

    return measure(pair)


def litellm() -> float:
    """The check before a request and the count after it, of the Router's routing by usage."""
    import litellm
    from litellm.router_strategy.lowest_tpm_rpm_v2 import LowestTPMLoggingHandler_v2

    handler = LowestTPMLoggingHandler_v2(router_cache=litellm.DualCache())
    names = {"litellm_params": {"model": "openai/gpt-4o"}, "model_info": {"id": "a"}}
    deployment: dict[str, Any] = {**names, "rpm": _PLENTY, "tpm": _PLENTY}
    hidden = {"litellm_model_name": "openai/gpt-4o"}
    told = {"model_group": "m", "model_id": "a", "hidden_params": hidden, "total_tokens": _COST}
    now = dt.datetime.now(dt.UTC)

    def pair() -> None:
        handler.pre_call_check(deployment)
        handler.log_success_event({"standard_logging_object": told}, None, now, now)

    return measure(pair)


@contextmanager
def store(kind: str) -> Iterator[str]:
    """A store of that kind, new and empty: its URL."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/budget.db"
        elif kind == "redis":
            from tests.throttle.redis_server import RedisServer

            with RedisServer(Path(folder)) as server:
                yield server.url
        elif kind == "cluster":
            from tests.throttle.redis_cluster import Cluster

            with Cluster(Path(folder)) as servers:
                yield servers.url
        else:
            yield kind


def table() -> Iterator[str]:
    """The lines, as they come."""
    yield "\nreserve + settle"
    for kind in ("memory", "sqlite", "redis", "cluster"):
        with store(kind) as url:
            yield _ROW.format(f"batchwrap, {kind}", f"{by_store(url):,.0f}")
    yield _ROW.format("batchwrap, memory and queue", f"{by_limiter():,.0f}")
    for name, find in (("aiolimiter", aiolimiter), ("pyrate-limiter", pyrate_limiter)):
        if find_spec(find.__name__) is None:
            yield f"{name:<36} is not installed"
        else:
            yield _ROW.format(name, f"{find():,.0f}")
    yield _of_litellm()


def _of_litellm() -> str:
    if not LITELLM.exists():
        return f"{'LiteLLM Router':<36} is not installed"
    command = [str(LITELLM), "-m", "benchmarks.rates", "litellm"]
    quiet = subprocess.DEVNULL
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=quiet, cwd=ROOT, check=True)
    return _ROW.format("LiteLLM Router", f"{float(told.stdout.split()[-1]):,.0f}")


def main() -> None:
    """Print the table, or what one process of it has measured."""
    if sys.argv[1:] == ["litellm"]:
        print(litellm())
        return
    for line in table():
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""What stands between an agent and its provider: batchwrap, the oracle, and others' limiters.

All of them ask with the SDK, know the same limits and the same estimates, and are used as
their documentation shows it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import openai

from benchmarks.crowd import (
    MINUTE_S,
    MOST_OUTPUT,
    REQUESTS,
    RUNNING,
    STRANGER,
    TOKENS,
    Job,
    Part,
)

Ask = Callable[[Job], Awaitable[object]]


def make(part: Part) -> Ask:
    """The contender of that name."""
    known: dict[str, Callable[[Part], Ask]] = {
        "batchwrap": with_batchwrap,
        "oracle": with_oracle,
        "openai SDK": bare,
        "tenacity": with_tenacity,
        "aiolimiter": with_aiolimiter,
        "pyrate-limiter": with_pyrate_limiter,
        "LiteLLM Router": with_litellm,
        STRANGER: partial(bare, max_retries=0),
    }
    return known[part.role](part)


def _client(part: Part, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=part.base_url, api_key="any", **options)


def _asking(client: openai.AsyncOpenAI) -> Ask:
    async def ask(job: Job) -> object:
        return await client.chat.completions.create(**job.request)

    return ask


def bare(part: Part, **options: Any) -> Ask:
    """The SDK with its own two retries."""
    return _asking(_client(part, **options))


def with_batchwrap(part: Part) -> Ask:
    """This library, with the limits as a user would write them."""
    import batchwrap
    from batchwrap import Limit

    if part.store.startswith("redis"):
        _take_time_from_here()
    mode: Any = part.mode
    throttle = batchwrap.Throttle(
        limits=[
            Limit("tokens", TOKENS, MINUTE_S, mode),
            Limit("requests", REQUESTS, MINUTE_S, mode),
            Limit("concurrency", RUNNING),
        ],
        store=part.store,
        max_wait_s=3_600,
    )
    return _asking(
        batchwrap.wrap(_client(part), throttle=throttle, batching=None, reminders=None, repair=None)
    )


def _take_time_from_here() -> None:
    """A server of Redis has a clock of its own, which runs too slowly here."""
    from batchwrap.throttle.stores.redis import RedisStore

    setattr(RedisStore, "_now", lambda store: repr(time.time()))  # noqa: B010


def with_tenacity(part: Part) -> Ask:
    """Exponential back-off as in OpenAI's cookbook."""
    import tenacity

    ask = _asking(_client(part, max_retries=0))
    retrying = tenacity.AsyncRetrying(
        wait=tenacity.wait_random_exponential(min=1, max=60),
        stop=tenacity.stop_after_attempt(6),
        retry=tenacity.retry_if_exception_type(openai.RateLimitError),
    )
    return lambda job: retrying.copy()(ask, job)


def with_aiolimiter(part: Part) -> Ask:
    """A leaky bucket for tokens, one for requests, and a semaphore."""
    from aiolimiter import AsyncLimiter

    tokens = AsyncLimiter(TOKENS * part.share, MINUTE_S)
    requests = AsyncLimiter(REQUESTS * part.share, MINUTE_S)
    running, ask = asyncio.Semaphore(max(1, round(RUNNING * part.share))), bare(part)

    async def limited(job: Job) -> object:
        await tokens.acquire(job.estimate + MOST_OUTPUT)
        async with requests, running:
            return await ask(job)

    return limited


def with_pyrate_limiter(part: Part) -> Ask:
    """A rolling window for tokens, one for requests, and a semaphore."""
    from pyrate_limiter import Duration, Limiter, Rate

    tokens = Limiter(Rate(round(TOKENS * part.share), Duration.MINUTE))
    requests = Limiter(Rate(max(1, round(REQUESTS * part.share)), Duration.MINUTE))
    running, ask = asyncio.Semaphore(max(1, round(RUNNING * part.share))), bare(part)

    async def limited(job: Job) -> object:
        await tokens.try_acquire_async("all", job.estimate + MOST_OUTPUT)
        await requests.try_acquire_async("all")
        async with running:
            return await ask(job)

    return limited


def with_litellm(part: Part) -> Ask:
    """The Router, routing by usage."""
    import datetime as dt

    import litellm
    from litellm.router_strategy import lowest_tpm_rpm_v2

    # It counts by minutes of the system's clock, which runs too slowly here.
    lowest_tpm_rpm_v2.get_utc_datetime = lambda: dt.datetime.fromtimestamp(time.time(), dt.UTC)
    deployment = {
        "model": "openai/gpt-4o",
        "api_base": part.base_url,
        "api_key": "any",
        "tpm": TOKENS,
        "rpm": REQUESTS,
        "max_parallel_requests": RUNNING,
    }
    router = litellm.Router(
        model_list=[{"model_name": "gpt-4o", "litellm_params": deployment}],
        routing_strategy="usage-based-routing-v2",
    )
    return lambda job: router.acompletion(**job.request)


@dataclass(slots=True)
class _Bucket:
    amount: float
    mode: str
    used: float = 0.0
    at_s: float = field(default_factory=time.monotonic)

    def wait_s(self, needed: float) -> float:
        """Seconds until there is room for so much, if nothing comes back."""
        now_s, rate = time.monotonic(), self.amount / MINUTE_S
        if self.mode == "continuous":
            self.used = max(0.0, self.used - (now_s - self.at_s) * rate)
            self.at_s = now_s
            return max(0.0, (self.used + needed - self.amount) / rate)
        if now_s - self.at_s >= MINUTE_S:
            self.used, self.at_s = 0.0, now_s - (now_s - self.at_s) % MINUTE_S
        return 0.0 if self.used + needed <= self.amount else MINUTE_S - (now_s - self.at_s)


def with_oracle(part: Part) -> Ask:
    """First come, first served, by the real sizes. It does not know when windows begin."""
    turn, running = asyncio.Lock(), asyncio.Semaphore(RUNNING)
    ask, buckets, look_s = bare(part, max_retries=0), list[_Bucket](), 0.05

    async def limited(job: Job) -> object:
        reserved = job.prompt + MOST_OUTPUT
        async with turn:
            if not buckets:
                buckets.extend(_Bucket(amount, part.mode) for amount in (TOKENS, REQUESTS))
            tokens, requests = buckets
            await running.acquire()
            while wait_s := max(tokens.wait_s(reserved), requests.wait_s(1)):  # noqa: ASYNC110
                await asyncio.sleep(min(max(wait_s, 0.001), look_s))
            tokens.used += reserved
            requests.used += 1
        try:
            return await insist(job)
        finally:
            running.release()
            tokens.used = max(0.0, tokens.used - (reserved - job.size))

    async def insist(job: Job) -> object:
        while True:
            try:
                return await ask(job)
            except openai.RateLimitError as error:
                wait_s = float(error.response.headers["retry-after"])
                for bucket in buckets:  # they are ahead of the provider's by the network's delay
                    bucket.at_s += wait_s
                await asyncio.sleep(wait_s)

    return limited

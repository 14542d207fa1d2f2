"""One queue for threads and tasks: first come, first served, nothing lost on any way out."""

import threading

import anyio
import pytest

from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.errors import ConfigError, LimitExceeded
from batchwrap.options import Limit
from batchwrap.testing import ManualClock
from batchwrap.throttle.stores import MemoryStore
from tests.throttle.harness import LONG_S, Bench, Held, until

# 1,000 tokens/s.
FAST = Limit("tokens", 60_000, 60, burst=100)
# Nothing comes back in the time of a test but what is settled.
SLOW = Limit("tokens", 1, 60, burst=100)


@pytest.fixture
def clock() -> ManualClock:
    """Time that passes only where a request waits for a refill."""
    return ManualClock()


def timed(clock: ManualClock, *limits: Limit, max_wait_s: float = 60) -> Bench:
    """A limiter on a clock of the test's own."""
    store = MemoryStore(clock.now)
    return Bench(*limits, store=store, max_wait_s=max_wait_s, clock=clock.now, skip=clock.sleep)


def started(bench: Bench, tokens: float, taken: list[Held]) -> threading.Thread:
    """A thread that waits for so many tokens, in the queue by now."""
    thread = threading.Thread(target=lambda: taken.append(bench.acquire(Cost(1, tokens))))
    before = bench.waiting
    thread.start()
    until(lambda: bench.waiting == before + 1)
    return thread


def ended(thread: threading.Thread) -> bool:
    """Whether a thread has come to its end, which it is given all the time that it needs for."""
    thread.join(LONG_S)
    return not thread.is_alive()


def test_admitted_at_once(clock: ManualClock) -> None:
    """Without limits, or with room, nobody waits."""
    assert timed(clock).acquire(Cost(1, 10**9)).waited_s == 0
    assert timed(clock, FAST).acquire(Cost(1, 100)).waited_s == 0
    assert clock.passed_s == 0


def test_waits_for_the_refill(clock: ManualClock) -> None:
    """A request waits as long as the missing tokens take, and no longer."""
    bench = timed(clock, FAST)
    bench.acquire(Cost(1, 100))
    assert bench.acquire(Cost(1, 80)).waited_s == pytest.approx(0.08)
    assert clock.passed_s == pytest.approx(0.08)


def test_a_settlement_wakes_the_head() -> None:
    """Tokens that come back admit the next request at once, not after its own wait."""
    bench, taken = Bench(SLOW), list[Held]()
    held = bench.acquire(Cost(1, 100))
    thread = started(bench, 90, taken)
    held.settle(Cost(1, 5))
    assert ended(thread)
    assert len(taken) == 1


def test_settled_once() -> None:
    """A reservation that is settled twice gives back once."""
    bench = Bench(SLOW, max_wait_s=0)
    held = bench.acquire(Cost(1, 50))
    held.settle(NOTHING)
    held.settle(NOTHING)
    bench.acquire(Cost(1, 100)).settle(Cost(1, 100))
    with pytest.raises(LimitExceeded):
        bench.acquire(Cost(1, 1))


def test_first_come_first_served() -> None:
    """A small request for which there is room waits behind a large one that waits."""
    bench, large, small = Bench(SLOW), list[Held](), list[Held]()
    held = bench.acquire(Cost(1, 50))
    threads = [started(bench, 100, large), started(bench, 1, small)]
    held.settle(NOTHING)
    assert ended(threads[0])
    assert (bench.waiting, small) == (1, [])
    large[0].settle(NOTHING)
    assert ended(threads[1])
    assert len(small) == 1


def test_a_request_that_never_fits() -> None:
    """A request above the full bucket is refused at once, with the limit and its need."""
    with pytest.raises(LimitExceeded, match="never admits more than 100 at once") as caught:
        Bench(FAST).acquire(Cost(1, 101))
    assert (caught.value.requested, caught.value.retry_after_s) == (101, None)


def test_a_wait_that_is_too_long(clock: ManualClock) -> None:
    """A wait above the maximum is refused at once, counting those ahead in the queue."""
    bench = timed(clock, FAST, max_wait_s=0.05)
    bench.acquire(Cost(1, 100)).settle(Cost(1, 100))
    with pytest.raises(LimitExceeded, match=r"max_wait_s=0\.05") as caught:
        bench.acquire(Cost(1, 100))
    assert clock.passed_s == 0
    assert caught.value.retry_after_s == pytest.approx(0.1)


def test_a_wait_that_turns_out_too_long() -> None:
    """What is reserved may come back, so it is waited for; but only up to the maximum."""
    bench = Bench(SLOW, max_wait_s=0.05)
    bench.acquire(Cost(1, 100))
    with pytest.raises(LimitExceeded, match="longer"):
        bench.acquire(Cost(1, 100))
    assert bench.waiting == 0


class Frozen(ManualClock):
    """A clock whose waits do not advance it."""

    def sleep(self, seconds: float) -> None:
        """Do nothing."""


def test_a_clock_that_stands_still() -> None:
    """A wait that does not advance the user's clock is an error, and not endless."""
    bench = timed(Frozen(), FAST)
    bench.acquire(Cost(1, 100)).settle(Cost(1, 100))
    with pytest.raises(ConfigError, match=r"Throttle\.clock: .* does not advance"):
        bench.acquire(Cost(1, 100))
    assert bench.waiting == 0


def test_closed_by_the_provider(clock: ManualClock) -> None:
    """After a refusal nobody is admitted before the time that the provider named."""
    bench = timed(clock, FAST)
    held = bench.acquire(Cost(1, 1))
    bench.limiter.run(held.reservation, bench.limiter.store.close_for, "a:test", 0.1)
    assert bench.acquire(Cost(1, 1)).waited_s == pytest.approx(0.1)


def test_a_charge_stands_in_nobodys_way(clock: ManualClock) -> None:
    """What was used before the limits were known is charged at once or not at all: never queued."""
    bench = timed(clock, FAST)
    held = bench.acquire(Cost(1, 1))
    bench.limiter.run(held.reservation, bench.limiter.store.close_for, "a:test", 0.05)
    bench.limiter.charge(held.reservation, bench.scope, [5.0])
    assert bench.waiting == 0
    assert bench.acquire(Cost(1, 1)).waited_s == pytest.approx(0.05)


@pytest.mark.anyio
async def test_tasks(clock: ManualClock) -> None:
    """Tasks of asyncio and trio wait in the same way."""
    bench = timed(clock, FAST)
    await bench.acquire_async(Cost(1, 100))
    assert (await bench.acquire_async(Cost(1, 80))).waited_s == pytest.approx(0.08)


@pytest.mark.anyio
async def test_a_cancelled_task_leaves_no_hole() -> None:
    """A task that is cancelled while it waits takes nothing and holds nobody up."""
    bench = Bench(SLOW)
    held = await bench.acquire_async(Cost(1, 100))
    async with anyio.create_task_group() as group:
        group.start_soon(bench.acquire_async, Cost(1, 50))
        await anyio.to_thread.run_sync(until, lambda: bench.waiting == 1)
        group.cancel_scope.cancel()
    assert bench.waiting == 0
    held.settle(NOTHING)
    await bench.acquire_async(Cost(1, 100))


@pytest.mark.anyio
async def test_one_budget_for_threads_and_tasks() -> None:
    """What a thread gives back wakes a task, and the other way round."""
    bench, taken = Bench(SLOW), list[Held]()
    held = bench.acquire(Cost(1, 100))

    async def task() -> None:
        taken.append(await bench.acquire_async(Cost(1, 100)))

    async with anyio.create_task_group() as group:
        group.start_soon(task)
        await anyio.to_thread.run_sync(until, lambda: bench.waiting == 1)
        await anyio.to_thread.run_sync(held.settle, NOTHING)
    thread = await anyio.to_thread.run_sync(started, bench, 100, taken)
    taken[0].settle(NOTHING)
    assert await anyio.to_thread.run_sync(ended, thread)
    assert len(taken) == 2


def test_many_threads_never_exceed_the_quota(clock: ManualClock) -> None:
    """Twenty threads together get no more than the bucket gives in the time that passes."""
    bench = timed(clock, Limit("tokens", 60_000, 60, burst=50))
    threads = [threading.Thread(target=bench.acquire, args=(Cost(1, 20),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert all(ended(thread) for thread in threads)
    assert clock.passed_s >= (20 * 20 - 50) / 1_000 - 1e-6

"""One queue for threads and tasks: first come, first served, nothing lost on any way out."""

import threading
import time

import anyio
import pytest

from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.errors import LimitExceeded
from batchwrap.options import Limit
from tests.throttle.harness import Bench, until

# 1,000 tokens/s, so that real waits stay short.
FAST = Limit("tokens", 60_000, 60, burst=100)


def limiter(*limits: Limit, max_wait_s: float = 60) -> Bench:
    """A limiter on the real clock."""
    return Bench(*limits, max_wait_s=max_wait_s)


def cost(tokens: float) -> Cost:
    """One request with so many tokens."""
    return Cost(1, tokens)


def test_admitted_at_once() -> None:
    """Without limits, or with room, nobody waits."""
    assert limiter().acquire(Cost(1, 10**9)).waited_s < 0.05
    assert limiter(FAST).acquire(Cost(1, 100)).waited_s < 0.05


def test_waits_for_the_refill() -> None:
    """A request waits as long as the missing tokens take, and no longer than need be."""
    one = limiter(FAST)
    one.acquire(Cost(1, 100))
    assert 0.08 <= one.acquire(Cost(1, 80)).waited_s < 1


def test_a_settlement_wakes_the_head() -> None:
    """Tokens that come back admit the next request at once, not after its own wait."""
    slow = limiter(Limit("tokens", 1, 60, burst=100))
    lease = slow.acquire(Cost(1, 100))
    waited: list[float] = []
    thread = threading.Thread(target=lambda: waited.append(slow.acquire(Cost(1, 90)).waited_s))
    thread.start()
    until(lambda: slow.waiting == 1)
    lease.settle(Cost(1, 5))
    thread.join(5)
    assert waited and waited[0] < 5


def test_settled_once() -> None:
    """A lease that is settled twice gives back once."""
    one = limiter(Limit("tokens", 1, 60, burst=100), max_wait_s=0)
    lease = one.acquire(Cost(1, 50))
    lease.settle(NOTHING)
    lease.settle(NOTHING)
    one.acquire(Cost(1, 100)).settle(Cost(1, 100))
    with pytest.raises(LimitExceeded):
        one.acquire(Cost(1, 1))


def test_first_come_first_served() -> None:
    """Small requests do not overtake a large one that waits."""
    one = limiter(FAST)
    one.acquire(Cost(1, 100))
    order: list[int] = []

    def work(tokens: int) -> None:
        one.acquire(Cost(1, tokens))
        order.append(tokens)

    threads = []
    for place, tokens in enumerate((100, 1, 2)):
        threads.append(threading.Thread(target=work, args=(tokens,)))
        threads[-1].start()
        until(lambda wanted=place + 1: one.waiting + len(order) == wanted)  # type: ignore[misc]
    for thread in threads:
        thread.join(5)
    assert order == [100, 1, 2]


def test_a_request_that_never_fits() -> None:
    """A request above the full bucket is refused at once, with the limit and its need."""
    with pytest.raises(LimitExceeded, match="never admits more than 100 at once") as caught:
        limiter(FAST).acquire(Cost(1, 101))
    assert (caught.value.requested, caught.value.retry_after_s) == (101, None)


def test_a_wait_that_is_too_long() -> None:
    """A wait above the maximum is refused at once, counting those ahead in the queue."""
    one = limiter(FAST, max_wait_s=0.05)
    one.acquire(Cost(1, 100)).settle(Cost(1, 100))
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match=r"max_wait_s=0\.05") as caught:
        one.acquire(Cost(1, 100))
    assert time.monotonic() - started < 0.04
    assert caught.value.retry_after_s == pytest.approx(0.1, abs=0.02)


def test_a_wait_that_turns_out_too_long() -> None:
    """What is reserved may come back, so it is waited for; but only up to the maximum."""
    one = limiter(Limit("tokens", 1, 60, burst=100), max_wait_s=0.05)
    one.acquire(Cost(1, 100))
    with pytest.raises(LimitExceeded, match="longer"):
        one.acquire(Cost(1, 100))
    assert one.waiting == 0


def test_closed_by_the_provider() -> None:
    """After a refusal nobody is admitted before the time that the provider named."""
    one = limiter(FAST)
    held = one.acquire(Cost(1, 1))
    held.request._close_for(held.reservation, 0.1)
    assert 0.08 <= one.acquire(Cost(1, 1)).waited_s < 1


def test_a_charge_stands_in_nobodys_way() -> None:
    """What was used before the limits were known is charged at once or not at all: never queued."""
    one = limiter(FAST)
    held = one.acquire(Cost(1, 1))
    held.request._close_for(held.reservation, 0.05)
    one.limiter.charge(held.reservation, one.scope, [5.0])
    assert one.waiting == 0
    assert one.acquire(Cost(1, 1)).waited_s < 1


@pytest.mark.anyio
async def test_tasks() -> None:
    """Tasks of asyncio and trio wait in the same way."""
    one = limiter(FAST)
    await one.acquire_async(Cost(1, 100))
    assert 0.08 <= (await one.acquire_async(Cost(1, 80))).waited_s < 1


@pytest.mark.anyio
async def test_a_cancelled_task_leaves_no_hole() -> None:
    """A task that is cancelled while it waits takes nothing and holds nobody up."""
    one = limiter(Limit("tokens", 1, 60, burst=100))
    lease = await one.acquire_async(Cost(1, 100))
    with anyio.move_on_after(0.02):
        await one.acquire_async(Cost(1, 50))
    assert one.waiting == 0
    lease.settle(NOTHING)
    assert (await one.acquire_async(Cost(1, 100))).waited_s < 0.5


@pytest.mark.anyio
async def test_one_budget_for_threads_and_tasks() -> None:
    """What a thread gives back wakes a task, and the other way round."""
    one = limiter(Limit("tokens", 1, 60, burst=100))
    lease = one.acquire(Cost(1, 100))
    got: list[float] = []

    async def task() -> None:
        nonlocal lease
        lease = await one.acquire_async(Cost(1, 100))
        got.append(lease.waited_s)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(task)
            await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(lease.settle, NOTHING)
    thread = threading.Thread(target=lambda: got.append(one.acquire(Cost(1, 100)).waited_s))
    thread.start()
    await anyio.to_thread.run_sync(until, lambda: one.waiting == 1)
    lease.settle(NOTHING)
    await anyio.to_thread.run_sync(thread.join, 5)
    assert len(got) == 2 and max(got) < 5


def test_many_threads_never_exceed_the_quota() -> None:
    """Twenty threads together get no more than the bucket gives."""
    one = limiter(Limit("tokens", 60_000, 60, burst=50))
    started = time.monotonic()
    threads = [threading.Thread(target=one.acquire, args=(Cost(1, 20),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - started >= (20 * 20 - 50) / 1_000 * 0.99

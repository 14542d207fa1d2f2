"""Whoever is gone holds nobody up: tasks, event loops, threads, processes and their forks."""

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import ref

import anyio
import anyio.from_thread
import pytest

from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.errors import LimitExceeded, StoreRefused, StoreUnavailable
from batchwrap.options import Limit
from batchwrap.throttle.presence import describe_owner, is_alive, new_owner
from batchwrap.throttle.stores import MemoryStore, open_store
from batchwrap.throttle.stores.turnstile import Turnstile
from batchwrap.throttle.worker import Worker
from tests.strategies import is_thorough
from tests.throttle.harness import LONG_S, Bench, until

ONE = Limit("concurrency", 1)
PLENTY = Limit("tokens", 1e6, 1e6)


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker looks after things much more often: tests wait for what it does, not for time."""
    monkeypatch.setattr("batchwrap.throttle.worker.BEAT_S", 0.02)
    monkeypatch.setattr("batchwrap.throttle.worker._IDLE_S", 0.05)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each of the stores, empty."""
    return "memory" if request.param == "memory" else url_of(request, tmp_path)


@pytest.fixture(params=["sqlite", "redis"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Those of them that processes share."""
    return url_of(request, tmp_path)


def url_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a store of this kind."""
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        return url
    return f"sqlite:///{folder}/limits.db"


def bench(url: str, *limits: Limit, **options: Any) -> Bench:
    """A limiter on a store of its own."""
    return Bench(*limits, store=open_store(url), max_wait_s=LONG_S, **options)


def is_idle(one: Bench) -> bool:
    """Whether nothing is reserved, and nobody waits."""
    shot = one.limiter.store.snapshot("a:test", one.scope.meters)
    return not shot.running and not shot.waiting


def test_tasks_cancelled_at_any_moment(store_url: str) -> None:
    """Whatever they were doing, they leave nothing behind; whoever comes then is admitted."""
    one = bench(store_url, Limit("concurrency", 3), PLENTY)
    went_through = 0

    async def request(number: int) -> None:
        nonlocal went_through
        held = await one.acquire_async(Cost(1, 100))
        try:
            for _ in range(number % 4):
                await asyncio.sleep(0)
        finally:
            held.settle(Cost(1, 10))
        went_through += 1

    async def main() -> None:
        for start in range(0, 240, 12):
            tasks = [asyncio.create_task(request(number)) for number in range(start, start + 12)]
            for turns, task in enumerate(tasks):
                for _ in range(turns * 3 % 7):
                    await asyncio.sleep(0)
                # As `asyncio.wait_for` does, not as anyio's scopes: nothing shields from it.
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    one.acquire(Cost(1, 100)).settle(NOTHING)
    one.limiter._worker.flush(LONG_S)
    assert is_idle(one)
    assert not one.limiter._registry.all()


def test_a_task_that_waits_is_cancelled(store_url: str) -> None:
    """The place of a cancelled waiter goes to the next one; the store forgets it."""
    one = bench(store_url, ONE)

    async def main() -> None:
        first = await one.acquire_async(Cost(1, 1))
        tasks = [asyncio.create_task(one.acquire_async(Cost(1, 1))) for _ in range(4)]
        await anyio.to_thread.run_sync(until, lambda: one.waiting == 4)
        for task in tasks[:3]:
            task.cancel()
        await asyncio.gather(*tasks[:3], return_exceptions=True)
        first.settle(NOTHING)
        (await tasks[3]).settle(NOTHING)

    asyncio.run(main())
    one.limiter._worker.flush(LONG_S)
    assert is_idle(one)


def drop_loop(main: Coroutine[Any, Any, Any], closes: bool = True) -> asyncio.AbstractEventLoop:
    """Run a coroutine in a loop that is stopped, and perhaps closed, with tasks in it."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main)
    if closes:
        loop.close()
    return loop


@pytest.fixture
def quiet() -> Iterator[None]:
    """Whoever closes a loop with tasks in it hears of that from asyncio."""
    logging.getLogger("asyncio").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()
    logging.getLogger("asyncio").disabled = False


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("closes", [True, False])
def test_a_loop_that_is_gone(store_url: str, closes: bool) -> None:
    """Tasks that wait in it are passed over, by threads and by later loops."""
    one = bench(store_url, ONE)
    kept: list[Any] = []

    async def leaves_waiters() -> None:
        kept.append(await one.acquire_async(Cost(1, 1)))
        kept.extend(asyncio.ensure_future(one.acquire_async(Cost(1, 1))) for _ in range(3))
        await anyio.to_thread.run_sync(until, lambda: one.waiting == 3)

    loop = drop_loop(leaves_waiters(), closes)
    kept[0].settle(NOTHING)
    one.acquire(Cost(1, 1)).settle(NOTHING)
    asyncio.run(one.acquire_async(Cost(1, 1))).settle(NOTHING)
    if not closes:
        # It goes on after all: so do those that wait in it.
        for task in kept[1:]:
            loop.run_until_complete(task).settle(NOTHING)
        loop.close()
    one.limiter._worker.flush(LONG_S)
    assert is_idle(one)


@pytest.mark.usefixtures("quiet")
def test_tasks_of_a_closed_loop_are_freed(store_url: str) -> None:
    """What waited in it does not stay in memory, once somebody else has come by."""
    one = bench(store_url, ONE)
    held = one.acquire(Cost(1, 1))
    kept: list[Any] = []

    async def leaves_waiter() -> None:
        task = asyncio.ensure_future(one.acquire_async(Cost(1, 1)))
        await anyio.to_thread.run_sync(until, lambda: one.waiting == 1)
        kept.append(ref(task))

    drop_loop(leaves_waiter())
    held.settle(NOTHING)
    one.acquire(Cost(1, 1)).settle(NOTHING)
    gc.collect()
    assert kept[0]() is None


@pytest.mark.usefixtures("quiet")
def test_a_loop_that_is_closed_while_it_holds(store_url: str) -> None:
    """What tasks hold that never come back is given back."""
    one = bench(store_url, ONE)
    kept: list[Any] = []

    async def holds() -> None:
        kept.append(await one.acquire_async(Cost(1, 1)))

    drop_loop(holds())
    one.acquire(Cost(1, 1)).settle(NOTHING)


@pytest.mark.usefixtures("quiet")
def test_granted_and_never_taken(store_url: str) -> None:
    """A loop that is stopped between the grant and the task's next step holds nobody up."""
    one = bench(store_url, ONE)
    kept: list[Any] = []

    async def leaves_waiter() -> None:
        kept.append(await one.acquire_async(Cost(1, 1)))
        kept.append(asyncio.ensure_future(one.acquire_async(Cost(1, 1))))
        await anyio.to_thread.run_sync(until, lambda: one.waiting == 1)
        # Admitted by whoever looks first, in this loop's last step.
        kept[0].settle(NOTHING)
        one.limiter._worker.flush(LONG_S)
        one.limiter._serve("test")

    loop = drop_loop(leaves_waiter(), closes=False)
    one.acquire(Cost(1, 1)).settle(NOTHING)
    loop.run_until_complete(kept[1]).settle(NOTHING)
    loop.close()


def test_a_loop_that_is_busy(store_url: str) -> None:
    """A task whose loop computes for long is admitted when it is its turn, and so are others."""
    one = bench(store_url, ONE)
    computes, may_end = threading.Event(), threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(one.acquire_async(Cost(1, 1)))
        await anyio.to_thread.run_sync(until, lambda: one.waiting == 1)
        computes.set()
        may_end.wait(LONG_S)
        (await task).settle(NOTHING)

    first = one.acquire(Cost(1, 1))
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    computes.wait(LONG_S)
    first.settle(NOTHING)
    until(lambda: one.waiting == 0)
    may_end.set()
    thread.join(LONG_S)
    one.acquire(Cost(1, 1)).settle(NOTHING)


def test_a_reservation_that_is_dropped(store_url: str) -> None:
    """What nobody can settle any more is given back as soon as somebody waits."""
    one = bench(store_url, ONE)
    one.acquire(Cost(1, 1))
    gc.collect()
    one.acquire(Cost(1, 1)).settle(NOTHING)


def test_a_limiter_that_is_dropped(shared_url: str) -> None:
    """Others go on at once; the thread of its worker ends."""
    one, other = bench(shared_url, ONE), bench(shared_url, ONE)
    worker = one.limiter._worker
    one.limiter._renewed["a:test"] = one.scope.meters
    one.acquire(Cost(1, 1))
    del one
    gc.collect()
    other.acquire(Cost(1, 1)).settle(NOTHING)
    until(lambda: not worker.is_running)


def test_what_was_left_behind_is_dropped(shared_url: str) -> None:
    """Whatever the limiter may have forgotten to give back, the worker gives back at a beat."""
    one, other = bench(shared_url, ONE), bench(shared_url, ONE)
    one.acquire(Cost(1, 1)).settle(NOTHING)
    store, owner = one.limiter.store, one.limiter._owner
    store.reserve("a:test", one.scope.meters, [1], "forgotten", owner=owner)
    other.acquire(Cost(1, 1)).settle(NOTHING)


def test_too_late_when_it_comes(store_url: str) -> None:
    """A request whose time is over before the store has answered leaves nothing in the queue."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1  # the store is slow
        return now[0]

    one, other = bench(store_url, ONE), bench(store_url, ONE)
    held = one.acquire(Cost(1, 1))
    late = Bench(ONE, store=one.limiter.store, max_wait_s=0.5, clock=clock)
    with pytest.raises(LimitExceeded):
        late.acquire(Cost(1, 1))
    late.limiter._worker.flush(LONG_S)
    assert one.snapshot().waiting == 0
    held.settle(NOTHING)
    other.acquire(Cost(1, 1)).settle(NOTHING)


def test_no_thread_is_left(store_url: str) -> None:
    """A worker with nothing to look after ends, and begins again when it is needed."""
    one = bench(store_url, ONE)
    for _ in range(2):
        held = one.acquire(Cost(1, 1))
        thread = threading.Thread(target=lambda: one.acquire(Cost(1, 1)).settle(NOTHING))
        thread.start()
        until(lambda: one.waiting == 1)
        assert one.limiter._worker.is_running
        held.settle(NOTHING)
        thread.join(LONG_S)
        until(lambda: not one.limiter._worker.is_running)


HOLDER = """
import os, sys, threading
from batchwrap.core.limits.cost import Cost
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store
from tests.throttle.harness import Bench, until

one = Bench(*eval(sys.argv[2]), store=open_store(sys.argv[1]), max_wait_s=60)
held = [one.acquire(Cost(1, 1)) for _ in range(int(sys.argv[3]))]
threads = [threading.Thread(target=one.acquire, args=(Cost(1, 1),)) for _ in range(2)]
for thread in threads:
    thread.start()
until(lambda: len(one.limiter.waiting()) == 2 and one.waiting >= 2)
print("ready", flush=True)
sys.stdin.readline()
"""


def killed(url: str, limits: str, holds: int) -> None:
    """A process that holds something, and waits, is killed."""
    command = [sys.executable, "-c", HOLDER, url, limits, str(holds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)


def test_a_process_is_killed_that_holds(shared_url: str) -> None:
    """Its places among those that run are free again, its waiters gone, again and again."""
    one = bench(shared_url, ONE)
    for _ in range(2):
        killed(shared_url, '[Limit("concurrency", 1)]', 1)
        # A silent owner is dead after 2 s; within a machine the system tells at once.
        one.acquire(Cost(1, 1)).settle(NOTHING)


def test_a_process_is_killed_that_waits(shared_url: str) -> None:
    """Those behind it do not wait for it; what is spent stays spent."""
    limits = '[Limit("requests", 4, 1e9, burst=4)]'
    one = bench(shared_url, *eval(limits))
    held = [one.acquire(Cost(1, 1)) for _ in range(4)]
    killed(shared_url, limits, 0)
    held[0].settle(NOTHING)
    held.append(one.acquire(Cost(1, 1)))
    held[1].settle(Cost(1))
    with pytest.raises(LimitExceeded):
        Bench(*eval(limits), store=open_store(shared_url), max_wait_s=0.1).acquire(Cost(1, 1))


def test_a_process_that_stands_still(tmp_path: Path) -> None:
    """On one machine it loses nothing, however long it is silent: the system says that it lives."""
    store = open_store(f"sqlite:///{tmp_path}/limits.db")
    one = Bench(ONE, store=store, max_wait_s=LONG_S)
    store.reserve("a:test", one.scope.meters, [1], "held", owner=new_owner())
    now = [store._clock()]  # type: ignore[attr-defined]
    store._clock = lambda: now[0]  # type: ignore[attr-defined]
    for _ in range(100):
        now[0] += 0.4
        admission = store.reserve("a:test", one.scope.meters, [1], "other", owner=new_owner())
        assert admission.status == "waiting"


def test_who_is_alive() -> None:
    """This process is; one that ended is not, nor one that got its number; elsewhere, who knows."""
    me = new_owner()
    host, pid, started, machine, nonce = me.split("/")
    assert describe_owner(me) == f"{os.getpid()} on {host}"
    if not machine:
        pytest.skip("this system does not tell")
    assert is_alive(me)
    assert not is_alive("/".join((host, pid, started + "1", machine, nonce)))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert is_alive("/".join((host, str(ended.pid), started, machine, nonce))) is False
    assert is_alive("/".join((host, pid, started, "another", nonce))) is None
    assert is_alive("mine") is None
    for number in ("9" * 30, "9" * 5_000, "²"):  # no process has such an id
        assert is_alive("/".join((host, number, started, machine, nonce))) is None


FORKS = """
import asyncio, os, sys, threading, time
import batchwrap
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store
from tests.throttle.harness import Bench

def make():
    return Bench(Limit("concurrency", 30), Limit("tokens", 1e9, 1), store=open_store(sys.argv[1]))

shared, ends = make(), threading.Event()
held = [shared.acquire(Cost(1, 1)) for _ in range(3)]

def busy():
    while not ends.is_set():
        shared.acquire(Cost(1, 1)).settle(NOTHING)
        batchwrap.stats()

threads = [threading.Thread(target=busy, daemon=True) for _ in range(6)]
for thread in threads:
    thread.start()
codes = []
for number in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        # Neither what the parent made nor what is new hangs; nothing of the parent's is held.
        for one in (shared, make()):
            assert not one.limiter.waiting() and not one.limiter._registry.all()
            one.acquire(Cost(1, 1)).settle(NOTHING)
            asyncio.run(one.acquire_async(Cost(1, 1))).settle(NOTHING)
            one.limiter._worker.flush(20)
        held[0].settle(NOTHING)  # it is the parent's
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ends.set()
for thread in threads:
    thread.join()
shared.limiter._worker.flush(20)
running = shared.snapshot().running
print(set(codes), running)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forks_of_a_busy_process(store_url: str) -> None:
    """Children begin with locks, threads and connections of their own, and hold nothing."""
    forks = str(12 if is_thorough() else 3)
    command = [sys.executable, "-W", "ignore", "-c", FORKS, store_url, forks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("{0} 3\n", "")


def test_one_error_stops_no_other(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong in one settlement, the next ones are done."""
    one = bench(store_url, ONE)
    held = one.acquire(Cost(1, 1))

    def fails() -> None:
        raise ValueError("an error that nobody has thought of")

    one.limiter._worker.send(fails)
    with suppress(TypeError):
        one.limiter.charge(held.reservation, one.scope, ["\ud800"])  # type: ignore[list-item]
    held.settle(NOTHING)
    one.acquire(Cost(1, 1)).settle(NOTHING)
    one.limiter._worker.flush(LONG_S)
    assert "continues after an error" in caplog.text


class Away(MemoryStore):
    """A shared store that cannot be reached for a while."""

    shared = True
    error: StoreUnavailable | None = None

    def _atomic(self) -> Any:
        if self.error is not None:
            raise self.error
        return super()._atomic()


def test_a_settlement_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store could not take is tried again, in its order, before it is given up."""
    monkeypatch.setattr("batchwrap.throttle.worker._AGAIN_S", 0.0)
    store = Away()
    one = Bench(Limit("tokens", 100, 1e9), store=store)
    first, second = one.acquire(Cost(1, 60)), one.acquire(Cost(1, 40))
    store.error = StoreUnavailable("away://", "nobody is there")
    first.settle(Cost(1, 10))
    second.settle(Cost(1, 20))
    one.limiter._worker.flush(LONG_S)
    store.error = None
    until(lambda: one.snapshot().running == 0)
    assert one.snapshot().levels[0].free == pytest.approx(70, abs=1e-3)


def test_a_store_that_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """It is an error for the request; no budget of this process takes its place."""
    store = Away()
    one = Bench(ONE, store=store, falls_back=True)
    held = one.acquire(Cost(1, 1))
    store.error = StoreRefused("away://", "the password is wrong")
    with pytest.raises(StoreRefused):
        one.acquire(Cost(1, 1))
    held.settle(NOTHING)
    one.limiter._worker.flush(LONG_S)
    assert "the password is wrong" in caplog.text


def test_renewed_under_steady_work() -> None:
    """A worker that always has something to do looks after what is held all the same."""
    beats = threading.Semaphore(0)

    class Beats:
        """Counts."""

        def beat(self) -> bool:
            """One beat."""
            beats.release()
            return True

    counted = Beats()
    worker = Worker(counted.beat)
    ends = threading.Event()

    def work() -> None:
        if not ends.is_set():
            worker.send(work)

    worker.send(work)
    for _ in range(3):
        assert beats.acquire(timeout=LONG_S)
    ends.set()


def test_many_behind_one_lock() -> None:
    """Thousands of settlements that come in while one is busy are all done, whatever they do."""
    turnstile, done = Turnstile(), list[int]()

    def late(number: int) -> None:
        if number % 3 == 0:
            raise ValueError(number)
        done.append(number)
        if number < 2_000:
            turnstile.run_soon(lambda: late(number + 4_000))

    def busy() -> str:
        for number in range(2_000):
            turnstile.run_soon(lambda number=number: late(number))  # type: ignore[misc]
        raise KeyError("busy")

    with pytest.raises(KeyError):
        turnstile.run(busy)
    wanted = [number for number in range(2_000) if number % 3]
    assert done == wanted + [number + 4_000 for number in wanted if (number + 4_000) % 3]
    assert turnstile.run(lambda: "free") == "free"


def test_a_settlement_waits_for_nobody() -> None:
    """What comes in while another thread is busy is done by that one."""
    turnstile, done = Turnstile(), list[str]()
    inside, may_end = threading.Event(), threading.Event()

    def busy() -> None:
        inside.set()
        may_end.wait(LONG_S)

    thread = threading.Thread(target=turnstile.run, args=(busy,))
    thread.start()
    inside.wait(LONG_S)
    turnstile.run_soon(lambda: done.append("late"))
    done_before = list(done)
    may_end.set()
    thread.join(LONG_S)
    assert (done_before, done) == ([], ["late"])


def test_who_waits(store_url: str) -> None:
    """The limiter and the store tell who waits, for which limit, and for how long at least."""
    one = bench(store_url, Limit("tokens", 60, burst=100))
    held = one.acquire(Cost(1, 100))
    thread = threading.Thread(target=lambda: one.acquire(Cost(1, 2)))
    thread.start()
    until(lambda: bool(one.limiter.waiting() and one.limiter.waiting()[0].expected_s))
    [waiter] = one.limiter.waiting()
    assert waiter.limit == one.scope.limits[0]
    assert waiter.expected_s is not None and 0 < waiter.expected_s <= 2.1
    [place] = one.snapshot().queue
    assert list(place.amounts) == [2]
    assert (str(os.getpid()) in place.owner) == (store_url != "memory")
    held.settle(NOTHING)
    thread.join(LONG_S)


def test_the_limiter_is_freed() -> None:
    """Nothing keeps a limiter that nobody uses any more."""
    made = bench("memory", ONE)
    made.acquire(Cost(1, 1)).settle(NOTHING)
    kept = ref(made.limiter)
    del made
    gc.collect()
    assert kept() is None

"""The throttle under everything that can happen to a process, for a long time.

Processes share a budget: threads, tasks and event loops that make requests, which are cancelled,
time out, cut their streams, are closed in the middle, and fork; one process after the other is
killed. The provider is a function in each process (httpx2's own transport for that) which takes
down in a common log what begins and ends, in the order in which it does. Afterwards:

- never more was under way than the limit allows, and never more began than the rate allows;
- the work never stood still for longer than three seconds;
- nothing is reserved, nobody waits, no thread is left, memory has not grown.

Run it with ``python -m benchmarks.soak`` (5,000 requests for each store: some five minutes);
``--requests 400`` is the short form that CI runs. Exit 1 if any of this does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from typing import Any

RATE, BURST, AT_ONCE = 80, 20, 6
LATENCY_S = (0.005, 0.03)
URL, MODEL = "http://provider.example/v1/chat/completions", "m"
STANDSTILL_S = 3.0
SETTLED_S = 6.0
GROWTH_MB = 12.0
STUCK_S = 60.0
STUCK = '{"threads": 0, "grown_mb": 0, "held": 0, "hanging": 1}'  # of a process that tells nothing
SURVIVORS, KILL_EVERY_S = 2, 1.5
STORES = ("memory", "sqlite", "redis", "cluster")
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
}
CHUNKS = [
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":'
    b'{"content":"a"},"finish_reason":null}]}\n\n'
] * 4 + [
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
]


# -- in each of the processes --


class Log:
    """What begins and ends, one line each, in an order that all processes share."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._numbers = count()
        self.begun = 0

    def begin(self, budget: str) -> str:
        """A request has arrived."""
        name = f"{os.getpid()}-{next(self._numbers)}"
        self.begun += 1
        self.write("begin", name, budget)
        return name

    def end(self, name: str) -> None:
        """It is over; only the first line counts."""
        self.write("end", name)

    def write(self, *words: str) -> None:
        """One line, in one piece."""
        os.write(self._file, f"{time.time():.6f} {' '.join(words)}\n".encode())


class Client:
    """A wrapped client for threads, and one for tasks; in memory each has a budget of its own."""

    def __init__(self, log: Log, store: str, max_wait_s: float) -> None:
        import httpx2

        import batchwrap
        from batchwrap import Limit, Throttle

        limits = [Limit("requests", RATE, 1, burst=BURST), Limit("concurrency", AT_ONCE)]
        throttle = Throttle(limits=limits, store=store, max_wait_s=max_wait_s)
        self._log = log
        self._name = "all" if store != "memory" else f"{id(self)}"
        self._random = random.Random(1)
        self._with_tasks: set[str] = set()  # what tasks have under way

        def answer(request: httpx2.Request) -> httpx2.Response:
            name = log.begin(self._budget("threads"))
            if b'"stream":true' in request.content:
                return httpx2.Response(200, headers=_stream(name), content=self._chunks(name))
            try:
                time.sleep(self._latency_s())
            finally:
                log.end(name)
            return httpx2.Response(200, json=ANSWER)

        async def answer_task(request: httpx2.Request) -> httpx2.Response:
            name = log.begin(self._budget("tasks"))
            self._with_tasks.add(name)
            if b'"stream":true' in request.content:
                return httpx2.Response(200, headers=_stream(name), content=self._chunks_task(name))
            try:
                await asyncio.sleep(self._latency_s())
            finally:
                self._with_tasks.discard(name)
                log.end(name)
            return httpx2.Response(200, json=ANSWER)

        options: Any = {"throttle": throttle, "batching": None, "reminders": None}
        transport = httpx2.MockTransport
        self.threads = batchwrap.wrap(httpx2.Client(transport=transport(answer)), **options)
        self.tasks = batchwrap.wrap(httpx2.AsyncClient(transport=transport(answer_task)), **options)

    def _budget(self, kind: str) -> str:
        return self._name if self._name == "all" else f"{os.getpid()}/{self._name}/{kind}"

    def _latency_s(self) -> float:
        return self._random.uniform(*LATENCY_S)

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            for chunk in CHUNKS:
                yield chunk
                time.sleep(LATENCY_S[0])
        finally:
            self._log.end(name)

    async def _chunks_task(self, name: str) -> AsyncIterator[bytes]:
        try:
            for chunk in CHUNKS:
                yield chunk
                await asyncio.sleep(LATENCY_S[0])
        finally:
            self._log.end(name)

    def end_tasks(self) -> None:
        """The loop of the tasks is closed: for the provider they end here."""
        for name in list(self._with_tasks):
            self._log.end(name)
        self._with_tasks.clear()

    def ask(self) -> None:
        """A request of a thread; refused if it would wait too long."""
        self.threads.post(URL, json=_body())

    def ask_stream(self, *, drops: bool) -> None:
        """One whose stream is cut after its first chunk: closed, or simply forgotten."""
        with self.threads.stream("POST", URL, json=_body(stream=True)) as response:
            pieces = response.iter_raw()
            with suppress(StopIteration):
                next(pieces)
            if drops:
                del pieces
            # What is cut is over for the provider when the program lets go of it.
            self._log.end(response.headers.get("x-name", "none"))

    async def ask_task(self) -> None:
        """A request of a task."""
        await self.tasks.post(URL, json=_body())

    async def ask_stream_task(self) -> None:
        """One whose stream is cut after its first chunk."""
        async with self.tasks.stream("POST", URL, json=_body(stream=True)) as response:
            async for _ in response.aiter_raw():
                break
            self._log.end(response.headers.get("x-name", "none"))


def _body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}


def _stream(name: str) -> dict[str, str]:
    return {"content-type": "text/event-stream", "x-name": name}


class Process:
    """One of the processes: jobs of all kinds in the main thread, requests in others meanwhile."""

    def __init__(self, log: Log, store: str, seed: int) -> None:
        self._log = log
        self._store = store
        self._random = random.Random(seed)
        self._ends = threading.Event()
        self._client = Client(log, store, 60)
        self._impatient = Client(log, store, 0.02)
        self.counts: dict[str, int] = defaultdict(int)

    def run(self, requests: int) -> dict[str, Any]:
        """Make about so many, and tell what is left of it."""
        before, parent = threading.active_count(), os.getppid()
        others = [threading.Thread(target=self._ask_on) for _ in range(2)]
        for other in others:
            other.start()
        jobs = [self._threads, self._tasks, self._tasks, self._closed, self._streams]
        jobs += [self._fork] if hasattr(os, "fork") else []
        middle_mb = 0.0
        while self._log.begun < requests and os.getppid() == parent:
            self._random.choice(jobs)()
            if not middle_mb and self._log.begun > requests / 2:
                middle_mb = _memory_mb()
        self._ends.set()
        for other in others:
            other.join()
        until_s = time.monotonic() + SETTLED_S
        while (left := threading.active_count() - before) > 0 and time.monotonic() < until_s:
            time.sleep(0.05)
        grown_mb = _memory_mb() - middle_mb
        return {**self.counts, "threads": left, "grown_mb": grown_mb, "held": self._held()}

    def _held(self) -> int:
        """What the budgets of this process still hold; at shared stores the parent looks."""
        from batchwrap.adapters.clients import engine_of

        found = 0
        for client in (self._client, self._impatient):
            for one in (client.threads, client.tasks):
                engine = engine_of(one)
                assert engine is not None
                found += len(engine.budget.limiter._registry.all())
                if self._store == "memory":
                    found += not engine.budget.is_idle
        return found

    def _ask_on(self) -> None:
        while not self._ends.is_set():
            self._client.ask()

    def _threads(self) -> None:
        threads = [threading.Thread(target=self._client.ask) for _ in range(4)]
        threads += [threading.Thread(target=self._impatient.ask) for _ in range(4)]
        self.counts["impatient"] += 4
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _tasks(self) -> None:
        delays_s = [self._random.uniform(0, 0.05) for _ in range(12)]

        async def cancelled(delay_s: float) -> None:
            task = asyncio.ensure_future(self._client.ask_task())
            await asyncio.sleep(delay_s)
            task.cancel()
            await asyncio.wait([task])

        async def main() -> None:
            asks: list[Any] = [cancelled(delay_s) for delay_s in delays_s[:6]]
            asks += [asyncio.wait_for(self._client.ask_task(), s) for s in delays_s[6:]]
            asks += [self._client.ask_task() for _ in range(4)]
            await asyncio.gather(*asks, return_exceptions=True)

        self.counts["cancelled"] += len(delays_s)
        asyncio.run(main())

    def _closed(self) -> None:
        """A loop that is closed with tasks that wait, and tasks that hold."""

        async def leave() -> None:
            tasks = [asyncio.ensure_future(self._client.ask_task()) for _ in range(8)]
            await asyncio.sleep(self._random.uniform(0, 0.02))
            left.extend(tasks)

        left: list[asyncio.Task[None]] = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
        self._client.end_tasks()
        loop.close()
        left.clear()
        gc.collect()
        self.counts["closed"] += 1

    def _streams(self) -> None:
        self._client.ask_stream(drops=False)
        self._client.ask_stream(drops=True)
        asyncio.run(self._client.ask_stream_task())
        self.counts["cut"] += 3

    def _fork(self) -> None:
        """A child with the clients of its parent, and one of its own."""
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                for client in (self._client, Client(self._log, self._store, 60)):
                    client.ask()
                    asyncio.run(client.ask_task())
                os._exit(0)
            os._exit(1)
        self.counts["forks"] += 1
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            self.counts["failed"] += 1


def _memory_mb() -> float:
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _work(store: str, path: str, seed: int, requests: int) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None  # of loops that are closed with tasks in them
    print(json.dumps(Process(Log(path), store, seed).run(requests)), flush=True)


# -- in the one that watches them --


@dataclass
class Report:
    """What the log, the store and the survivors say.

    Attributes:
        store: which one.
        requests: how many have arrived.
        seconds: from the first to the last.
        most: the most that were under way at once in one budget.
        over: by how many requests the rate was exceeded at most, at any moment.
        gap_s: the longest time in which none arrived.
        left: what is still reserved, or waits.
        threads: those that are left.
        grown_mb: how much memory has grown in the second half.
        counts: what was done to the requests.
    """

    store: str
    requests: int = 0
    seconds: float = 0.0
    most: int = 0
    over: float = 0.0
    gap_s: float = 0.0
    left: int = 0
    threads: int = 0
    grown_mb: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def faults(self, standstill_s: float) -> Iterator[str]:
        """What does not hold."""
        if self.most > AT_ONCE:
            yield f"{self.most} were under way at once, {AT_ONCE} are allowed"
        # What was admitted arrives a moment later, at most as many as may be under way.
        if self.over > AT_ONCE + 1:
            yield f"{self.over:.0f} more arrived than the rate allows"
        if self.gap_s > standstill_s:
            yield f"the work stood still for {self.gap_s:.1f} s"
        if self.left:
            yield f"{self.left} reservations or waiters are left"
        if self.threads > 0:
            yield f"{self.threads} threads are left"
        if self.grown_mb > GROWTH_MB:
            yield f"memory has grown by {self.grown_mb:.0f} MB"
        if self.counts["failed"]:
            yield f"{self.counts['failed']} forks failed"
        if self.counts["hanging"]:
            yield f"{self.counts['hanging']} processes never ended"


def soak(kind: str, url: str, requests: int, seed: int) -> Report:
    """Let it all happen at one store."""
    report = Report(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/log"
        log, shared = Log(path), kind != "memory"
        share = requests // SURVIVORS if shared else requests
        survivors = [
            _start(url, path, seed + number, share) for number in range(SURVIVORS if shared else 1)
        ]
        killed = 0
        while any(one.poll() is None for one in survivors):
            if time.time() - Path(path).stat().st_mtime > STUCK_S:
                _end(survivors)
            elif shared:
                victim = _start(url, path, seed + 100 + killed, 10**9)
                _wait(lambda: any(one.poll() is None for one in survivors), KILL_EVERY_S)
                log.write("killed", str(victim.pid))
                victim.kill()
                report.counts["hanging"] += _hangs(victim)
                killed += 1
            else:
                _wait(lambda: any(one.poll() is None for one in survivors), KILL_EVERY_S)
        report.counts["killed"] = killed
        for one in survivors:
            told, _ = one.communicate()
            _add(report, json.loads(told or STUCK))
        _read(report, Path(path).read_text().splitlines())
    if shared:
        report.left += _left(url)
    return report


def _start(url: str, path: str, seed: int, requests: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.soak", "--work", url, path]
    command += [str(seed), str(requests)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _hangs(killed: subprocess.Popen[str]) -> bool:
    """Whether a child of a killed process goes on for ever; it has the pipe that its parent had."""
    try:
        killed.communicate(timeout=STUCK_S)
    except subprocess.TimeoutExpired:
        _end([killed])
        killed.communicate()
        return True
    return False


def _end(processes: list[subprocess.Popen[str]]) -> None:
    """End these, and their children."""
    for one in processes:
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)


def _wait(goes_on: Callable[[], bool], seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while goes_on() and time.monotonic() < until_s:
        time.sleep(0.05)


def _add(report: Report, told: dict[str, Any]) -> None:
    report.threads += told.pop("threads")
    report.grown_mb = max(report.grown_mb, told.pop("grown_mb"))
    report.left += told.pop("held")
    for name, number in told.items():
        report.counts[name] += number


def _read(report: Report, lines: list[str]) -> None:
    """What the log says of one run."""
    open_: dict[str, str] = {}  # what is under way, and in which budget
    running: dict[str, int] = defaultdict(int)
    levels: dict[str, tuple[float, float]] = {}
    dead: set[str] = set()
    times: list[float] = []
    for line in lines:
        stamp, what, name, *rest = line.split()
        now = float(stamp)
        if what == "begin":
            times.append(now)
            budget = rest[0]
            at, level = levels.get(budget, (now, BURST))
            level = min(BURST, level + max(0.0, now - at) * RATE) - 1
            levels[budget] = (max(at, now), level)
            report.over = max(report.over, -level)
            if name.partition("-")[0] not in dead:
                open_[name] = budget
                running[budget] += 1
                report.most = max(report.most, running[budget])
        elif what == "end" and name in open_:
            running[open_.pop(name)] -= 1
        elif what == "killed":
            dead.add(name)
            for one in [one for one in open_ if one.partition("-")[0] == name]:
                running[open_.pop(one)] -= 1
    report.requests, report.seconds = len(times), max(times) - min(times)
    times.sort()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    report.gap_s = max(gaps)


def _left(url: str) -> int:
    """What the store still holds, a moment after the last process has ended."""
    from batchwrap.throttle.stores import open_store

    store, until_s = open_store(url), time.monotonic() + SETTLED_S
    while True:
        shots = [store.snapshot(key, ()) for key in store.accounts()]
        found = sum(shot.running + shot.waiting for shot in shots)
        if not found or time.monotonic() > until_s:
            store.close()
            return found
        time.sleep(0.1)


@contextmanager
def opened(kind: str) -> Iterator[str]:
    """A store of that kind, new and empty: its URL."""
    from benchmarks.rates import store

    with store(kind) as url:
        yield url


def main() -> int:
    """Print a line for each store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--store", nargs="*", default=STORES, choices=STORES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--standstill",
        type=float,
        default=STANDSTILL_S,
        help="seconds without a request that are a fault; more where the machine is shared",
    )
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        url, path, seed, requests = asked.work
        _work(url, path, int(seed), int(requests))
        return 0
    failed = 0
    row = "{:<8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8}  {}"
    print(
        row.format(
            "store", "requests", "s", "most", "over", "gap s", "left", "thread", "MB more", ""
        )
    )
    for kind in asked.store:
        with ExitStack() as stack:
            report = soak(kind, stack.enter_context(opened(kind)), asked.requests, asked.seed)
        done = ", ".join(f"{number} {what}" for what, number in sorted(report.counts.items()))
        figures: list[Any] = [report.requests, f"{report.seconds:.0f}", report.most]
        figures += [f"{max(0.0, report.over):.1f}", f"{report.gap_s:.2f}", report.left]
        figures += [report.threads, f"{report.grown_mb:.1f}"]
        print(row.format(kind, *figures, done), flush=True)
        for fault in report.faults(asked.standstill):
            failed += 1
            print(f"  {kind}: {fault}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())

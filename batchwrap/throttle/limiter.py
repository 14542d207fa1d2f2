"""The queue in front of the buckets: first come, first served, in memory.

Only the head of the queue may take from the buckets, so a large request is never starved
by small ones behind it. Whoever gives tokens back, or leaves, wakes the head.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from batchwrap.core.limits.buckets import Buckets
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.errors import LimitExceeded
from batchwrap.options import Limit
from batchwrap.throttle.signal import TaskSignal, ThreadSignal


@dataclass(eq=False, slots=True)
class _Ticket:
    cost: Cost
    deadline_s: float
    signal: ThreadSignal | TaskSignal


class Lease:
    """A reservation that was admitted. The first settlement counts, from any thread."""

    def __init__(self, limiter: Limiter, reserved: Cost, waited_s: float) -> None:
        self._limiter = limiter
        self.reserved: Cost | None = reserved
        self.waited_s = waited_s

    def arrived(self) -> None:
        """The provider has the request."""
        self._limiter.arrived(self)

    def settle(self, spent: Cost) -> None:
        """Replace the reservation by what was really spent."""
        self._limiter.settle(self, spent)


class Limiter:
    """One budget for all threads, asyncio tasks and trio tasks of a process.

    Args:
        limits: the buckets; with none of them everything is admitted at once.
        max_wait_s: a request that would wait longer fails with `LimitExceeded`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        limits: Sequence[Limit],
        *,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = tuple(limits)
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._buckets = Buckets(limits, clock())
        self._queue: deque[_Ticket] = deque()
        self._reserved = NOTHING  # by leases that are not settled yet
        # The garbage collector may settle a dropped stream in a thread that holds the lock.
        self._lock = threading.RLock()

    def acquire(self, cost: Cost) -> Lease:
        """Wait in this thread until the cost is admitted.

        Raises:
            LimitExceeded: it can never fit, or the wait would be above `max_wait_s`.
        """
        started, signal = self._clock(), ThreadSignal()
        ticket = self._enter(cost, signal)
        try:
            while (wait := self._try(ticket)) > 0:
                signal.wait(wait)
        except BaseException:
            self._leave(ticket)
            raise
        return Lease(self, cost, self._clock() - started)

    async def acquire_async(self, cost: Cost) -> Lease:
        """Wait in this task until the cost is admitted. Raises as `acquire` does."""
        started, signal = self._clock(), TaskSignal()
        ticket = self._enter(cost, signal)
        try:
            while (wait := self._try(ticket)) > 0:
                await signal.wait(wait)
        except BaseException:
            self._leave(ticket)
            raise
        return Lease(self, cost, self._clock() - started)

    def arrived(self, lease: Lease) -> None:
        """The provider has taken this reservation by now."""
        with self._lock:
            if lease.reserved is not None:
                self._buckets.arrived(lease.reserved, self._clock())

    def settle(self, lease: Lease, spent: Cost) -> None:
        """Replace a reservation by what was spent, which may be more than it."""
        with self._lock:
            reserved, lease.reserved = lease.reserved, None
            if reserved is not None:
                self._reserved -= reserved
                self._buckets.give(reserved - spent, self._clock())
                self._wake_head()

    def close_for(self, seconds: float) -> None:
        """Admit nothing for so long: the provider refused and said when to come back."""
        with self._lock:
            self._buckets.close(self._clock() + seconds)

    def _enter(self, cost: Cost, signal: ThreadSignal | TaskSignal) -> _Ticket:
        with self._lock:
            now_s = self._clock()
            wall = self._buckets.never_fits(cost)
            if wall is not None:
                raise _too_large(cost, wall)
            # The shortest wait there can be: everything that is reserved may come back.
            ahead = sum((ticket.cost for ticket in self._queue), NOTHING)
            wait, limit = self._buckets.wait_s(ahead + cost - self._reserved, now_s)
            if wait > self._max_wait_s:
                raise _too_long(cost, limit, wait, self._max_wait_s)
            ticket = _Ticket(cost, now_s + self._max_wait_s, signal)
            self._queue.append(ticket)
            return ticket

    def _try(self, ticket: _Ticket) -> float:
        """Admit the ticket if it is its turn: 0, or seconds until the next look."""
        with self._lock:
            now_s = self._clock()
            left_s = ticket.deadline_s - now_s
            wait, limit = inf, None
            if self._queue[0] is ticket:
                wait, limit = self._buckets.wait_s(ticket.cost, now_s)
                if wait <= 0:
                    self._buckets.take(ticket.cost, now_s)
                    self._reserved += ticket.cost
                    self._queue.popleft()
                    self._wake_head()
                    return 0.0
            if left_s <= 0:
                raise _too_long(ticket.cost, limit, None, self._max_wait_s)
            return min(wait, left_s)

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._wake_head()

    def _wake_head(self) -> None:
        if self._queue:
            self._queue[0].signal.set()


def _too_large(cost: Cost, limit: Limit) -> LimitExceeded:
    requested = cost.of(limit.kind)
    return LimitExceeded(
        f"the request needs {requested:,.0f} {limit.kind}, and {limit} never admits more than "
        f"{limit.capacity:,.0f} at once",
        limit=str(limit),
        requested=requested,
        retry_after_s=None,
    )


def _too_long(
    cost: Cost, limit: Limit | None, wait_s: float | None, max_wait_s: float
) -> LimitExceeded:
    reason = f" for {limit}" if limit is not None else ""
    wait = f"about {wait_s:,.0f} s" if wait_s is not None else "longer"
    return LimitExceeded(
        f"the request would wait {wait}{reason}, above max_wait_s={max_wait_s:g}",
        limit=str(limit) if limit is not None else "",
        requested=cost.of(limit.kind) if limit is not None else 0.0,
        retry_after_s=wait_s,
    )

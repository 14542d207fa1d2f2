"""The queue in front of a store: who waits in this process, and who looks when.

The store decides who is admitted, in the order of its own queue, which processes and hosts may
share. Of those who wait in this process only the first one asks it; whoever gives something
back, or leaves, wakes that one. So threads, asyncio tasks and trio tasks share one budget.
"""

from __future__ import annotations

import logging
import secrets
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import inf
from operator import attrgetter
from threading import RLock

import anyio.to_thread

from batchwrap.core.limits.cost import Cost
from batchwrap.core.limits.state import Admission, Seen, Snapshot
from batchwrap.errors import StoreUnavailable
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.asks import Ask, Grant, Scope, key_of, too_large, too_long
from batchwrap.throttle.courier import TTL_S, Courier
from batchwrap.throttle.signal import UNCLOSED, TaskSignal, ThreadSignal, Waits
from batchwrap.throttle.stores import MemoryStore, Spent, Store

_log = logging.getLogger("batchwrap")

# How often the first one in a process looks whether another process has given something back.
_POLL_S = 0.2
# A store that was down is tried again after so long.
_STORE_REST_S = 5.0
# Nobody dies in a process without the process.
_FOR_EVER_S = 1e9
# A conversation waits so long for its own account before it takes another one.
_STICKS_S = 2.0


_numbers = count()


@dataclass(eq=False, slots=True)
class _Waiter:
    ask: Ask
    deadline_s: float
    signal: ThreadSignal | TaskSignal
    ticket: str = field(default_factory=lambda: secrets.token_hex(8))
    store: Store | None = None
    rank: tuple[int, int] = (0, 0)


class Limiter:
    """Admits requests.

    Args:
        store: holds the buckets.
        max_wait_s: a request that would wait longer fails with `LimitExceeded`.
        falls_back: whether a store that is down is replaced by the memory of this process.
        clock: monotonic seconds.
        skip: lets seconds pass on a clock that is not the system's.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_wait_s: float,
        falls_back: bool = True,
        clock: Callable[[], float] = time.monotonic,
        skip: Callable[[float], None] | None = None,
    ) -> None:
        self.store = store
        self._max_wait_s = max_wait_s
        self._fallback = MemoryStore() if falls_back and store.shared else None
        self._down_until_s = -inf
        self._clock = clock
        self._skip = skip
        self._waiting: dict[str, list[_Waiter]] = {}
        self._scopes: dict[str, Scope] = {}  # by the account's key in the store
        self._courier = Courier(store) if store.shared else None
        # The garbage collector may settle a dropped stream in a thread that holds the lock.
        self._lock = RLock()
        # Who comes first here comes first in the store, too. It is held while the store is
        # asked, so nobody takes it in an event loop if that may block.
        self._door = RLock()

    def acquire(self, ask: Ask, waits: Waits = UNCLOSED) -> Grant:
        """Wait in this thread until the request is admitted.

        Raises:
            ClientClosed: the client whose `waits` they are was closed.
            LimitExceeded: it can never fit, or the wait would be above `max_wait_s`.
            StoreUnavailable: the store is down, and nothing takes its place.
        """
        started, signal = self._clock(), ThreadSignal()
        waiter = _Waiter(ask, started + self._max_wait_s, signal)
        try:
            while isinstance(found := self._try(waiter), float):
                if not self._skips(found, waiter):
                    waits.wait(signal, found)
        except BaseException:
            self._leave(waiter)
            raise
        self._depart(waiter)
        return Grant(ask, *found, waiter.ticket, self._clock() - started)

    async def acquire_async(self, ask: Ask, waits: Waits = UNCLOSED) -> Grant:
        """Wait in this task until the request is admitted. Raises as `acquire` does."""
        started, signal = self._clock(), TaskSignal()
        waiter = _Waiter(ask, started + self._max_wait_s, signal)
        try:
            while isinstance(found := await self._try_async(waiter), float):
                if not self._skips(found, waiter):
                    await waits.wait_async(signal, found)
        except BaseException:
            self._leave(waiter)
            raise
        self._depart(waiter)
        return Grant(ask, *found, waiter.ticket, self._clock() - started)

    def arrived(self, grant: Grant) -> None:
        """The provider has the request."""
        self._run(
            grant, partial(grant.store.arrived, grant.key, grant.ask.scope.meters, grant.lease)
        )

    def learn(self, grant: Grant, seen: Sequence[Seen]) -> None:
        """Take over what the headers of its answer say."""
        meters = grant.ask.scope.meters
        self._run(grant, partial(grant.store.learn, grant.key, meters, grant.lease, seen))

    def charge(self, grant: Grant, scope: Scope, used: Sequence[float]) -> None:
        """Count what was used up before the limits of a scope were known."""
        key, ticket = key_of(grant.account, scope), secrets.token_hex(8)

        def take() -> None:
            ttl_s = TTL_S if grant.store.shared else _FOR_EVER_S
            nothing = [0.0] * len(used)
            grant.store.reserve(
                key, scope.meters, nothing, ticket, lease_ttl_s=ttl_s, ticket_ttl_s=ttl_s
            )
            grant.store.settle(key, scope.meters, ticket, used)

        self._run(grant, take)

    def close_for(self, grant: Grant, seconds: float) -> None:
        """Admit nothing on this account for so long: the provider said so."""
        self._run(grant, partial(grant.store.close_for, grant.key, seconds))

    def settle(self, grant: Grant, spent: Cost) -> None:
        """Replace a reservation by what was spent; the first settlement counts."""
        scope = grant.ask.scope
        amounts = [amount / grant.ask.pace for amount in scope.amounts(spent)]
        settle = partial(grant.store.settle, grant.key, scope.meters, grant.lease, amounts)

        def settle_and_wake() -> None:
            settle()
            self._wake(scope)

        self._release(grant.lease, grant.key)

        self._run(grant, settle_and_wake)

    def spend(self, grant: Grant, model: str, spent: Spent) -> None:
        """Enter into the books what a request has used."""
        self._run(grant, partial(grant.store.spend, grant.account.name, model, spent))

    def snapshots(self) -> dict[str, tuple[Scope, Snapshot]]:
        """How full the buckets are that were asked for so far, by the account's key."""
        with self._lock:
            known = dict(self._scopes)
        store = self._usable()
        return {key: (scope, store.snapshot(key, scope.meters)) for key, scope in known.items()}

    def _run(self, grant: Grant, operation: Callable[[], object]) -> None:
        """Do it now, or, where that would block, soon and in this order."""
        if self._courier is not None and grant.store is self.store:
            self._courier.send(operation)
        else:
            operation()

    def _release(self, holder: str, key: str) -> None:
        if self._courier is not None:
            self._courier.release(holder, key)

    def _skips(self, seconds: float, waiter: _Waiter) -> bool:
        """Whether the seconds have passed on a clock of the user's own.

        What waits until its deadline waits for others to give something back. They work in
        real time, so it does, too.
        """
        if self._skip is None or seconds >= waiter.deadline_s - self._clock():
            return False
        self._skip(seconds)
        return True

    def _enter(self, waiter: _Waiter) -> None:
        ask = waiter.ask
        with self._lock:
            waiter.rank = ask.rank, next(_numbers)
            queue = self._waiting.setdefault(ask.scope.name, [])
            insort(queue, waiter, key=attrgetter("rank"))
            for account in ask.accounts:
                self._scopes[key_of(account, ask.scope)] = ask.scope
        if self._courier is not None:
            for account in ask.accounts:
                self._courier.hold(waiter.ticket, key_of(account, ask.scope))

    def _depart(self, waiter: _Waiter) -> None:
        """Out of the queue, and the next one is the first."""
        with self._lock:
            queue = self._waiting.get(waiter.ask.scope.name, [])
            if waiter in queue:
                queue.remove(waiter)
            if not queue:
                self._waiting.pop(waiter.ask.scope.name, None)
        self._wake(waiter.ask.scope)

    def _leave(self, waiter: _Waiter) -> None:
        """Give up; what may have been admitted meanwhile is given back."""
        scope = waiter.ask.scope
        for account in waiter.ask.accounts if waiter.store is not None else ():
            grant = Grant(waiter.ask, account, waiter.store or self.store, waiter.ticket, 0.0)
            leave = partial(grant.store.leave, grant.key, scope.meters, waiter.ticket)
            self._release(waiter.ticket, grant.key)
            self._run(grant, leave)
        self._depart(waiter)

    def _wake(self, scope: Scope) -> None:
        with self._lock:
            queue = self._waiting.get(scope.name)
            if queue:
                queue[0].signal.set()

    def _is_first(self, waiter: _Waiter) -> bool:
        with self._lock:
            return self._waiting[waiter.ask.scope.name][0] is waiter

    def _try(self, waiter: _Waiter) -> float | tuple[Account, Store]:
        """The account that admits it and the store, or seconds until the next look."""
        if waiter.store is None:
            with self._door:
                self._enter(waiter)
                return self._look(waiter)
        left_s = waiter.deadline_s - self._clock()
        if self._is_first(waiter):
            return self._look(waiter)
        if left_s <= 0:
            raise too_long(waiter.ask, None, inf, self._max_wait_s)
        return left_s

    def _look(self, waiter: _Waiter) -> float | tuple[Account, Store]:
        """Ask the store, or what takes its place."""
        try:
            waiter.store = self._usable()
            return self._ask(waiter, waiter.store)
        except StoreUnavailable as error:
            if self._fallback is None:
                raise
            _log.warning("%s; the limits are kept in this process until it is back", error)
            self._down_until_s = self._clock() + _STORE_REST_S
            waiter.store = self._fallback
            return self._ask(waiter, self._fallback)

    async def _try_async(self, waiter: _Waiter) -> float | tuple[Account, Store]:
        if not self.store.shared:
            return self._try(waiter)
        return await anyio.to_thread.run_sync(self._try, waiter)

    def _usable(self) -> Store:
        rests = self._fallback is not None and self._clock() < self._down_until_s
        return self._fallback if rests and self._fallback is not None else self.store

    def _ask(self, waiter: _Waiter, store: Store) -> float | tuple[Account, Store]:
        ask, replies = waiter.ask, list[Admission]()
        left_s = waiter.deadline_s - self._clock()
        meters = ask.scope.meters
        ttl_s = TTL_S if store.shared else _FOR_EVER_S
        for account in ask.accounts:
            reply = store.reserve(
                key_of(account, ask.scope),
                meters,
                ask.amounts,
                waiter.ticket,
                priority=ask.rank,
                lease_ttl_s=ttl_s,
                ticket_ttl_s=ttl_s,
                max_wait_s=max(0.0, left_s),
            )
            if reply.status == "admitted":
                self._forget_others(waiter, store, account)
                return account, store
            replies.append(reply)
            if ask.sticks and reply.status == "waiting" and reply.wait_s <= _STICKS_S:
                break
        best = min(replies, key=lambda reply: (reply.status != "waiting", reply.wait_s))
        if best.status == "never":
            raise too_large(ask, best.limit)
        if best.status == "late":
            raise too_long(ask, best.limit, best.wait_s, self._max_wait_s)
        if left_s <= 0:
            raise too_long(ask, best.limit, inf, self._max_wait_s)
        wait_s = min(best.wait_s, _POLL_S) if store.shared else best.wait_s
        return min(wait_s, left_s)

    def _forget_others(self, waiter: _Waiter, store: Store, taken: Account) -> None:
        """Leave the queues of the other accounts."""
        for account in waiter.ask.accounts:
            if account is not taken:
                key = key_of(account, waiter.ask.scope)
                self._release(waiter.ticket, key)
                store.leave(key, waiter.ask.scope.meters, waiter.ticket)

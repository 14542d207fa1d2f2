"""The limiter: admits requests, one queue in front of a store.

The store decides who is admitted, in the order of its own queue, which processes and hosts may
share. Of those who wait in this process only the first one is looked after; whoever gives
something back, or leaves, wakes that one. So threads, asyncio tasks and trio tasks share one
budget. Several may look after the first: itself when it is time, whoever came before it, and
the worker at each beat. So nobody stands still because the thread or the event loop of another
one does.

At a shared store, tasks have the worker ask in their place. What it does, it does in order: what
a cancelled task gives back is given back after it was registered, never before.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from math import inf, isfinite
from threading import RLock
from weakref import finalize

from batchwrap._forks import renew_in_child
from batchwrap.core.limits.cost import Cost
from batchwrap.core.limits.state import Admission, Seen, Snapshot
from batchwrap.core.limits.windows import Meter
from batchwrap.errors import LimitExceeded, StoreRefused, StoreUnavailable
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.asks import Ask, Grant, Scope, key_of, limit_of, too_large, too_long
from batchwrap.throttle.presence import new_owner
from batchwrap.throttle.signal import UNCLOSED, TaskSignal, ThreadSignal, Waits
from batchwrap.throttle.stores import MemoryStore, Spent, Store
from batchwrap.throttle.streams import OpenStream
from batchwrap.throttle.waiters import Gone, OnWait, Waiter, Waiters
from batchwrap.throttle.worker import Worker

_log = logging.getLogger("batchwrap")

# How often the first one in a process looks whether another process has given something back.
_POLL_S = 0.2
# A store that was down is tried again after so long.
_STORE_REST_S = 5.0
# A conversation waits so long for its own account before it takes another one.
_STICKS_S = 2.0
_MOST_SCOPES = 4_096


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
        self._scopes: OrderedDict[str, Scope] = OrderedDict()  # by the account's key in the store
        self._renewed: dict[str, Sequence[Meter]] = {}  # where this owner had something
        self._worker = Worker(self._beat)
        self._begin()
        renew_in_child(self)
        finalize(self, _farewell, self._worker, store, self._owner, self._renewed).atexit = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._owner = new_owner() if self.store.shared else ""
        self._waiters = Waiters()
        # Who comes first here comes first in the store, too. It is held while the store is
        # asked, so nobody takes it in an event loop if that may block, and no finaliser at all.
        self._door = RLock()

    def after_fork(self) -> None:
        """A child has none of the waiters and reservations of its parent."""
        self._begin()
        self._renewed.clear()

    def acquire(self, ask: Ask, waits: Waits = UNCLOSED, on_wait: OnWait | None = None) -> Grant:
        """Wait in this thread until the request is admitted.

        Args:
            ask: the request.
            waits: those of its client.
            on_wait: told once, when a wait begins.

        Raises:
            ClientClosed: the client whose `waits` they are was closed.
            LimitExceeded: it can never fit, or the wait would be above `max_wait_s`.
            StoreUnavailable: the store is down, and nothing takes its place.
        """
        now_s, signal = self._clock(), ThreadSignal()
        waiter = Waiter(ask, now_s, now_s + self._max_wait_s, signal)
        try:
            self._enter(waiter)
            while (grant := self._waiters.take(waiter, self._clock())) is None:
                on_wait = self._tell(waiter, on_wait)
                if not self._skips(waiter):
                    waits.wait(signal, self._nap_s(waiter))
                self._go_on(waiter)
        except BaseException:
            self._leave(waiter)
            raise
        return grant

    async def acquire_async(
        self, ask: Ask, waits: Waits = UNCLOSED, on_wait: OnWait | None = None
    ) -> Grant:
        """Wait in this task until the request is admitted. As `acquire` otherwise."""
        now_s, signal = self._clock(), TaskSignal()
        waiter = Waiter(ask, now_s, now_s + self._max_wait_s, signal)
        run: Callable[[Callable[[], object]], object] = (
            self._worker.send if self.store.shared else _run_now
        )
        try:
            run(partial(self._enter, waiter, wakes=True))
            while (grant := self._waiters.take(waiter, self._clock())) is None:
                on_wait = self._tell(waiter, on_wait)
                if not self._skips(waiter):
                    await waits.wait_async(signal, self._nap_s(waiter))
                self._go_on(waiter, run)
        except BaseException:
            self._leave(waiter)
            raise
        return grant

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
            nothing = [0.0] * len(used)
            owner = self._owner if grant.store.shared else ""
            reply = grant.store.reserve(key, scope.meters, nothing, ticket, owner=owner)
            if reply.status == "admitted":
                grant.store.settle(key, scope.meters, ticket, used)
            else:  # others wait: it must not stand in their way
                grant.store.leave(key, scope.meters, ticket)

        self._run(grant, take)

    def close_for(self, grant: Grant, seconds: float) -> None:
        """Admit nothing on this account for so long: the provider said so."""
        self._run(grant, partial(grant.store.close_for, grant.key, seconds))

    def crowded(self, grant: Grant, seconds: float) -> None:
        """Admit no more than run besides it: it was one too many, the provider says.

        If none run, admit nothing for so long.
        """
        store, meters = grant.store, grant.ask.scope.meters
        self._run(grant, partial(store.crowded, grant.key, meters, grant.lease, seconds))

    def settle(self, grant: Grant, spent: Cost) -> None:
        """Replace a reservation by what was spent; the first settlement counts."""
        scope = grant.ask.scope
        amounts = [amount / grant.ask.pace for amount in scope.amounts(spent)]
        settle = partial(grant.store.settle, grant.key, scope.meters, grant.lease, amounts)

        def settle_and_wake() -> None:
            settle()
            self._wake(scope.name)

        if grant.pid == self._pid:
            self._waiters.settled(grant.lease)
        self._run(grant, settle_and_wake)

    def spend(self, grant: Grant, model: str, spent: Spent) -> None:
        """Enter into the books what a request has used."""
        self._run(grant, partial(grant.store.spend, grant.account.name, model, spent))

    def snapshots(self) -> dict[str, tuple[Scope, Snapshot]]:
        """How full the buckets are that were asked for so far, by the account's key."""
        known = dict(self._scopes)
        store = self._usable()
        return {key: (scope, store.snapshot(key, scope.meters)) for key, scope in known.items()}

    def waiting(self) -> list[Waiter]:
        """Who waits in this process, the first of each scope first."""
        return self._waiters.waiting()

    def _run(self, grant: Grant, operation: Callable[[], object]) -> None:
        """Do it now, or, where that would block, soon and in this order."""
        if grant.pid == self._pid:  # what a parent was granted, its forks leave alone
            self._run_at(grant.store, operation)

    def _run_at(self, store: Store, operation: Callable[[], object]) -> None:
        if store.shared:
            self._worker.settle(operation)
        else:
            operation()

    def _tell(self, waiter: Waiter, on_wait: OnWait | None) -> OnWait | None:
        """Say once that it waits, when the store has said so; what is still to be told."""
        if waiter.expected_s is None:
            return on_wait
        self._worker.watch()
        if on_wait is not None:
            on_wait(waiter.expected_s if isfinite(waiter.expected_s) else None, waiter.limit)
        return None

    def _nap_s(self, waiter: Waiter) -> float:
        """How long to wait until something is to be done."""
        until_s = waiter.deadline_s
        if self._waiters.is_first(waiter):
            until_s = min(until_s, waiter.due_s)
        return max(0.0, until_s - self._clock())

    def _skips(self, waiter: Waiter) -> bool:
        """Whether the time until then has passed on a clock of the user's own.

        What waits until its deadline waits for others to give something back. They work in
        real time, so it does, too.
        """
        if self._skip is None:
            return False
        seconds = self._nap_s(waiter)
        if seconds >= waiter.deadline_s - self._clock():
            return False
        self._skip(seconds)
        return True

    def _go_on(
        self, waiter: Waiter, run: Callable[[Callable[[], object]], object] | None = None
    ) -> None:
        """After a nap: look whether it is admitted, if it is time to."""
        run = run or _run_now
        if waiter.outcome is not None:
            return
        if waiter.was_passed:  # its event loop stood still, and runs again
            run(partial(self._enter, waiter, wakes=True))
        elif self._waiters.is_first(waiter):
            if self._clock() >= min(waiter.due_s, waiter.deadline_s):
                waiter.due_s = inf  # until somebody has looked
                run(partial(self._serve, waiter.ask.scope.name, waiter))
        elif self._clock() >= waiter.deadline_s:
            raise too_long(waiter.ask, None, inf, self._max_wait_s)

    def _enter(self, waiter: Waiter, *, wakes: bool = False) -> None:
        """Into the queue here and in the store; perhaps it is admitted at once."""
        with self._door:
            if not self._waiters.enter(waiter):
                return
            self._know(waiter.ask)
            if self.store.shared:
                self._worker.watch()
            self._look(waiter)
        if wakes:
            waiter.signal.set()

    def _know(self, ask: Ask) -> None:
        for account in ask.accounts:
            key = key_of(account, ask.scope)
            self._scopes[key] = ask.scope
            if self.store.shared:
                self._renewed[key] = ask.scope.meters
        while len(self._scopes) > _MOST_SCOPES:
            self._scopes.popitem(last=False)

    def _serve(self, scope: str, asker: Waiter | None = None) -> None:
        """Look after the first in the queue, and as long as it is admitted, after the next."""
        with self._door:
            while (first := self._first(scope)) is not None:
                is_out = self._look(first)
                if first is not asker or self.store.shared:
                    first.signal.set()
                if not is_out:
                    return

    def _first(self, scope: str) -> Waiter | None:
        first, passed = self._waiters.first(scope)
        self._pass_over(passed)
        return first

    def _pass_over(self, passed: Sequence[Gone]) -> None:
        for waiter, ticket in passed:
            self._give_back(waiter, ticket)
            waiter.signal.set()  # should its event loop go on after all

    def _look(self, waiter: Waiter) -> bool:
        """Ask the store for it. Whether it has left the queue by that."""
        ticket, found = waiter.ticket, self._answer(waiter)
        if isinstance(found, float):
            waiter.due_s = self._clock() + found
            is_out = waiter.is_gone or waiter.was_passed
            is_told = not is_out
        else:
            is_out, is_told = True, self._waiters.conclude(waiter, found)
        if not is_told:  # it gave up while the store was asked
            self._give_back(waiter, ticket)
        return is_out

    def _leave(self, waiter: Waiter) -> None:
        """Give up; what may have been admitted meanwhile is given back."""
        self._waiters.leave(waiter)
        # Whom the store has turned away at once is in no queue.
        if waiter.expected_s is not None or not isinstance(waiter.outcome, LimitExceeded):
            self._give_back(waiter, waiter.ticket)
        self._wake(waiter.ask.scope.name)

    def _give_back(self, waiter: Waiter, ticket: str) -> None:
        scope, store = waiter.ask.scope, waiter.store
        if store is None and self.store.shared:
            store = self.store  # the worker may be about to register it
        for account in waiter.ask.accounts if store is not None else ():
            assert store is not None
            leave = partial(store.leave, key_of(account, scope), scope.meters, ticket)
            self._run_at(store, leave)

    def _wake(self, scope: str) -> None:
        """Have the first one look now; from anywhere, even from a finaliser."""
        first = self._first(scope)
        if first is not None:
            first.due_s = -inf
            first.signal.set()

    def _answer(self, waiter: Waiter) -> float | tuple[Account, Store] | Exception:
        """Seconds until the next look, who takes it, or an error: the waiter's, whoever asks."""
        try:
            return self._ask_store(waiter)
        except Exception as error:
            return error

    def _ask_store(self, waiter: Waiter) -> float | tuple[Account, Store]:
        """Ask the store, or what takes its place."""
        try:
            return self._ask(waiter, self._usable())
        except StoreUnavailable as error:
            if self._fallback is None or isinstance(error, StoreRefused):
                raise
            _log.warning("%s; the limits are kept in this process until it is back", error)
            self._down_until_s = self._clock() + _STORE_REST_S
            return self._ask(waiter, self._fallback)

    def _usable(self) -> Store:
        rests = self._fallback is not None and self._clock() < self._down_until_s
        return self._fallback if rests and self._fallback is not None else self.store

    def _ask(self, waiter: Waiter, store: Store) -> float | tuple[Account, Store]:
        ask, replies = waiter.ask, list[Admission]()
        if waiter.store is not store:
            if waiter.store is not None:
                self._give_back(waiter, waiter.ticket)
            waiter.store = store
        left_s = waiter.deadline_s - self._clock()
        meters, amounts = ask.scope.meters, ask.amounts
        for account in ask.accounts:
            reply = store.reserve(
                key_of(account, ask.scope),
                meters,
                amounts,
                waiter.ticket,
                priority=ask.rank,
                owner=self._owner if store.shared else "",
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
        if waiter.expected_s is None:
            waiter.limit = limit_of(ask, best.limit)
            waiter.expected_s = best.expected_s
        if left_s <= 0:
            raise too_long(ask, best.limit, inf, self._max_wait_s)
        wait_s = min(best.wait_s, _POLL_S) if store.shared else best.wait_s
        return min(wait_s, left_s)

    def _forget_others(self, waiter: Waiter, store: Store, taken: Account) -> None:
        """Leave the queues of the other accounts."""
        for account in waiter.ask.accounts:
            if account is not taken:
                key = key_of(account, waiter.ask.scope)
                store.leave(key, waiter.ask.scope.meters, waiter.ticket)

    def _beat(self) -> bool:
        """What the worker does every now and then. Whether it should come back."""
        self._collect()
        if self.store.shared:
            self._renew()
        for scope in self._waiters.scopes():
            self._serve(scope)
        self._look_at_idle_streams()
        return bool(self._waiters.scopes() or self._renewed)

    def _look_at_idle_streams(self) -> None:
        """Somebody may wait for a place that a dropped or a forgotten answer holds."""
        idle = [stream.may_be_garbage() for stream, _ in self._streams_in_the_way()]
        if any(idle):
            gc.collect()
        for stream, limit in self._streams_in_the_way():
            stream.warn(limit)

    def _streams_in_the_way(self) -> list[tuple[OpenStream, object]]:
        """The streams that hold a place for which somebody waits, and its limit."""
        waits = {
            waiter.ask.scope.name: waiter.limit
            for waiter in reversed(self._waiters.waiting())
            if waiter.expected_s == inf
        }
        found: list[tuple[OpenStream, object]] = []
        for holder in self._waiters.holding() if waits else ():
            grant = None if holder.grant is None else holder.grant()
            name = holder.ask.scope.name
            if grant is not None and grant.stream is not None and name in waits:
                found.append((grant.stream, waits[name]))
        return found

    def _collect(self) -> None:
        """Give back what was held or waited for by those that are gone."""
        waited, held = self._waiters.collect()
        self._pass_over(waited)
        for waiter, ticket in held:
            scope, store = waiter.ask.scope, waiter.store
            assert store is not None
            for key in waiter.keys:
                settle = partial(store.settle, key, scope.meters, ticket, waiter.ask.amounts)
                self._run_at(store, settle)

    def _renew(self) -> None:
        """Say to the store that this process lives, and what it holds; it drops what else is left.

        Nobody registers anything meanwhile. Where nothing is held any more, that is said once:
        if something was left behind there, it is dropped.
        """
        if self._clock() < self._down_until_s:
            return
        with self._door:
            held: dict[str, list[str]] = {key: [] for key in self._renewed}
            for waiter in self._waiters.holding():
                if waiter.store is self.store:
                    for key in waiter.keys:
                        held[key].append(waiter.ticket)
            try:
                for key, tickets in held.items():
                    self.store.renew(key, self._renewed[key], self._owner, tickets)
                    if not tickets:
                        del self._renewed[key]
            except StoreUnavailable:
                self._down_until_s = self._clock() + _STORE_REST_S
                raise


def _run_now(operation: Callable[[], object]) -> None:
    operation()


def _farewell(
    worker: Worker, store: Store, owner: str, renewed: dict[str, Sequence[Meter]]
) -> None:
    """A limiter that is dropped holds nothing any more, whatever it has forgotten to give back."""
    for key, meters in renewed.items():
        worker.settle(partial(store.renew, key, meters, owner, ()))

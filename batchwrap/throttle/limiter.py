"""The limiter: admits requests through one queue in front of a store.

The store decides which request is admitted, in the order of its own queue, which several processes
and hosts may share. Of the reservations that wait in this process only the first asks the store;
each settlement, and each request that gives up, wakes it. So threads, asyncio tasks and trio tasks
share one budget. The store may be asked on behalf of the first reservation by its own request, by
the request before it, and by the settlement worker at each beat. So no request is blocked because
the thread or the event loop of another one is.

The calls of a shared store may block, so tasks let the worker make them. The worker keeps the
order, so a cancelled task's ticket is given back after it was registered, never before.
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
from typing import Any
from weakref import finalize

from batchwrap._forks import renew_in_child
from batchwrap.core.limits.cost import Cost
from batchwrap.core.limits.state import Admission, Snapshot
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.errors import ConfigError, LimitExceeded, StoreRefused, StoreUnavailable
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.presence import new_owner
from batchwrap.throttle.registry import Registry, Removed
from batchwrap.throttle.reservation import OnWait, Reservation
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.signal import UNCLOSED, TaskSignal, ThreadSignal, Waits
from batchwrap.throttle.stores import MemoryStore, Store
from batchwrap.throttle.streams import OpenStream
from batchwrap.throttle.worker import Worker

_log = logging.getLogger("batchwrap")

# How often the first reservation asks a shared store again, since no other process can wake it.
_POLL_S = 0.2
# A store that was down is tried again after this time.
_STORE_REST_S = 5.0
# A conversation waits this long for its own account before it takes another one.
_PREFERS_S = 2.0
_MAX_SCOPES = 4_096


class Limiter:
    """Admits requests.

    Args:
        store: holds the buckets.
        max_wait_s: a request that would wait longer fails with `LimitExceeded`.
        falls_back: whether a store that is down is replaced by the memory of this process.
        clock: monotonic seconds.
        skip: advances a clock of the user's own by some seconds.
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
        self.max_wait_s = max_wait_s
        self._fallback = MemoryStore() if falls_back and store.shared else None
        self._down_until_s = -inf
        self._clock = clock
        self._skip = skip
        self._scopes: OrderedDict[str, LimitScope] = OrderedDict()  # by their keys in the store
        self._renewed: dict[str, Sequence[LimitMeter]] = {}  # accounts where this owner had tickets
        self._worker = Worker(self._beat)
        self._begin()
        renew_in_child(self)
        finalize(self, _farewell, self._worker, store, self._owner, self._renewed).atexit = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._owner = new_owner() if self.store.shared else ""
        self._registry = Registry()
        # Held while the store is asked, so that requests reach the store in the order of this
        # process's queue. Event loops do not take it if that may block; finalisers never do.
        self._door = RLock()

    def after_fork(self) -> None:
        """Drop the parent's reservations in a child process."""
        self._begin()
        self._renewed.clear()

    def acquire(
        self, reservation: Reservation, waits: Waits = UNCLOSED, on_wait: OnWait | None = None
    ) -> None:
        """Wait in this thread until the reservation is admitted.

        Args:
            reservation: what the request needs; its signal belongs to this thread.
            waits: the waits of the client; closing the client ends them.
            on_wait: called once, when a wait begins.

        Raises:
            ClientClosed: the client was closed.
            LimitExceeded: it can never fit, or the wait would be above `max_wait_s`.
            StoreUnavailable: the store is down, and there is no fallback.
        """
        signal = reservation.signal
        assert isinstance(signal, ThreadSignal)
        reservation.began_s = now_s = self._clock()
        reservation.deadline_s = now_s + self.max_wait_s
        try:
            self._enter(reservation)
            while not self._registry.take(reservation, self._clock()):
                on_wait = self._report_wait(reservation, on_wait)
                if not self._skips(reservation):
                    waits.wait(signal, self._nap_s(reservation))
                self._continue(reservation)
        except BaseException:
            self._leave(reservation)
            raise

    async def acquire_async(
        self, reservation: Reservation, waits: Waits = UNCLOSED, on_wait: OnWait | None = None
    ) -> None:
        """Wait in this task until the reservation is admitted. Raises as `acquire` does."""
        signal = reservation.signal
        assert isinstance(signal, TaskSignal)
        reservation.began_s = now_s = self._clock()
        reservation.deadline_s = now_s + self.max_wait_s
        run: Callable[[Callable[[], object]], object] = (
            self._worker.send if self.store.shared else _run_now
        )
        try:
            run(partial(self._enter, reservation, wakes=True))
            while not self._registry.take(reservation, self._clock()):
                on_wait = self._report_wait(reservation, on_wait)
                if not self._skips(reservation):
                    await waits.wait_async(signal, self._nap_s(reservation))
                self._continue(reservation, run)
        except BaseException:
            self._leave(reservation)
            raise

    def pause(self, seconds: float, waits: Waits) -> None:
        """Wait in this thread for this many seconds."""
        if self._skip is not None:
            self._skip(seconds)
        else:
            waits.wait(ThreadSignal(), seconds)

    async def pause_async(self, seconds: float, waits: Waits) -> None:
        """Wait in this task for this many seconds."""
        if self._skip is not None:
            self._skip(seconds)
        else:
            await waits.wait_async(TaskSignal(), seconds)

    def run(self, reservation: Reservation, operation: Callable[..., object], *args: Any) -> None:
        """Run an operation of a held reservation's store: now, or soon if it could block.

        Operations of one store run in the order in which they come.

        Args:
            reservation: a held one; if a parent process holds it, nothing is run.
            operation: a method of the store, or a function that calls one.
            args: what it is called with.
        """
        if reservation.pid == self._pid:
            self._run_at(reservation.store, partial(operation, *args))

    def charge(self, reservation: Reservation, scope: LimitScope, used: Sequence[float]) -> None:
        """Charge what was used before the limits of a scope were known.

        Args:
            reservation: a reservation of the account.
            scope: the limits as they are known now.
            used: what was used of each limit.
        """
        store, key, ticket = reservation.store, scope.key(reservation.account), secrets.token_hex(8)

        def take() -> None:
            nothing = [0.0] * len(used)
            owner = self._owner if store.shared else ""
            reply = store.reserve(key, scope.meters, nothing, ticket, owner=owner)
            if reply.status == "admitted":
                store.settle(key, scope.meters, ticket, used)
            else:  # other requests wait, and the charge must not delay them
                store.leave(key, scope.meters, ticket)

        self.run(reservation, take)

    def settle(self, reservation: Reservation, spent: Cost) -> None:
        """Replace a reservation by what was spent; only the first settlement counts."""
        scope, store, key = reservation.scope, reservation.store, reservation.key
        amounts = scope.spent(spent, reservation.pace)

        def settle_and_wake() -> None:
            store.settle(key, scope.meters, reservation.ticket, amounts)
            self._wake(scope.name)

        if reservation.pid == self._pid:
            self._registry.settled(reservation.ticket)
        self.run(reservation, settle_and_wake)

    def snapshots(self, most: int = _MAX_SCOPES) -> dict[str, tuple[LimitScope, Snapshot]]:
        """The levels of the buckets that were used last, by the account's key.

        Args:
            most: how many accounts are read.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        known = dict([*self._scopes.items()][-most:])
        store = self._usable()
        return {key: (scope, store.snapshot(key, scope.meters)) for key, scope in known.items()}

    def waiting(self) -> list[Reservation]:
        """The reservations that wait in this process, the first of each scope first."""
        return self._registry.waiting()

    def _run_at(self, store: Store, operation: Callable[[], object]) -> None:
        if store.shared:
            self._worker.settle(operation)
        else:
            operation()

    def _report_wait(self, one: Reservation, on_wait: OnWait | None) -> OnWait | None:
        """Call `on_wait` once the store lets it wait; returns what is still to be called."""
        if one.expected_s is None:
            return on_wait
        self._worker.watch()
        if on_wait is not None:
            on_wait(one.expected_s if isfinite(one.expected_s) else None, one.limit)
        return None

    def _nap_s(self, one: Reservation) -> float:
        """Seconds until the next step for this reservation."""
        until_s = one.deadline_s
        if self._registry.is_first(one):
            until_s = min(until_s, one.due_s)
        return max(0.0, until_s - self._clock())

    def _skips(self, one: Reservation) -> bool:
        """Whether the wait was skipped on a clock of the user's own.

        A reservation that waits until its deadline waits for other requests to give something back.
        They run in real time, so it waits in real time, too.

        Raises:
            ConfigError: the clock stands still, so the wait would never end.
        """
        if self._skip is None:
            return False
        seconds, before_s = self._nap_s(one), self._clock()
        if seconds >= one.deadline_s - before_s:
            return False
        self._skip(seconds)
        if seconds > 0 and not self._clock() > before_s:
            raise ConfigError("Throttle.clock", f"sleep({seconds:g}) does not advance now()")
        return True

    def _continue(
        self, one: Reservation, run: Callable[[Callable[[], object]], object] | None = None
    ) -> None:
        """Ask the store again after a wait, if it is time to."""
        run = run or _run_now
        if one.outcome is not None:
            return
        if one.was_passed:  # its event loop was stopped, and runs again
            run(partial(self._enter, one, wakes=True))
        elif self._registry.is_first(one):
            if self._clock() >= min(one.due_s, one.deadline_s):
                one.due_s = inf  # until the store has answered
                run(partial(self._serve, one.scope.name, one))
        elif self._clock() >= one.deadline_s:
            raise one.too_long(None, inf, self.max_wait_s)

    def _enter(self, one: Reservation, *, wakes: bool = False) -> None:
        """Enter this process's queue and the store's; it may be admitted at once."""
        with self._door:
            if not self._registry.enter(one):
                return
            self._remember(one)
            self._serve_one(one)
        if wakes:
            one.signal.set()

    def _remember(self, one: Reservation) -> None:
        """Remember the buckets for `snapshots` and, with a shared store, for `_renew`."""
        for account in one.accounts:
            key = one.scope.key(account)
            self._scopes[key] = one.scope
            self._scopes.move_to_end(key)
            if self.store.shared:
                self._renewed[key] = one.scope.meters
                self._worker.watch()
        while len(self._scopes) > _MAX_SCOPES:
            self._scopes.popitem(last=False)

    def _serve(self, scope: str, asker: Reservation | None = None) -> None:
        """Ask for the first in the queue and, each time that it leaves the queue, for the next."""
        with self._door:
            while (first := self._first(scope)) is not None:
                has_left = self._serve_one(first)
                if first is not asker or self.store.shared:
                    first.signal.set()
                if not has_left:
                    return

    def _first(self, scope: str) -> Reservation | None:
        first, passed = self._registry.first(scope)
        if passed:
            self._give_back_passed(passed)
        return first

    def _give_back_passed(self, passed: Sequence[Removed]) -> None:
        for one, ticket in passed:
            self._give_back(one, ticket)
            one.signal.set()  # in case its event loop continues after all

    def _serve_one(self, one: Reservation) -> bool:
        """Ask the store for a reservation, in any thread.

        Returns:
            Whether the reservation has left the queue.
        """
        ticket = one.ticket
        answer: float | Account | Exception
        try:
            answer = self._ask_store(one)
        except Exception as error:
            answer = error  # raised in the request, not in the thread that asks
        if isinstance(answer, float):
            one.due_s = self._clock() + answer
            has_left = was_late = one.is_gone or one.was_passed
        else:
            has_left, was_late = True, not self._registry.conclude(one, answer)
        if was_late:  # the request gave up while the store was asked
            self._give_back(one, ticket)
        return has_left

    def _leave(self, one: Reservation) -> None:
        """Give up, and give back what was admitted meanwhile."""
        self._registry.leave(one)
        # A reservation that the store rejected at once is not in a queue.
        if one.expected_s is not None or not isinstance(one.outcome, LimitExceeded):
            self._give_back(one, one.ticket)
        self._wake(one.scope.name)

    def _give_back(self, one: Reservation, ticket: str) -> None:
        scope, store = one.scope, one.entered
        if store is None and self.store.shared:
            store = self.store  # the worker may be about to register it
        for account in one.accounts if store is not None else ():
            assert store is not None
            leave = partial(store.leave, scope.key(account), scope.meters, ticket)
            self._run_at(store, leave)

    def _wake(self, scope: str) -> None:
        """Let the first reservation ask the store now. May be called by a finaliser."""
        first = self._first(scope)
        if first is not None:
            first.due_s = -inf
            first.signal.set()

    def _ask_store(self, one: Reservation) -> float | Account:
        """Ask the store, or its fallback.

        Returns:
            Seconds until the store should be asked again, or the account that admits it.
        """
        store = self.store if self._fallback is None else self._usable()
        try:
            return self._reserve(one, store)
        except StoreUnavailable as error:
            if self._fallback is None or isinstance(error, StoreRefused):
                raise
            _log.warning("%s; the limits are kept in this process until it is back", error)
            self._down_until_s = self._clock() + _STORE_REST_S
            return self._reserve(one, self._fallback)

    def _usable(self) -> Store:
        rests = self._fallback is not None and self._clock() < self._down_until_s
        return self._fallback if rests and self._fallback is not None else self.store

    def _reserve(self, one: Reservation, store: Store) -> float | Account:
        scope, replies = one.scope, list[Admission]()
        if one.entered is not store:
            if one.entered is not None:
                self._give_back(one, one.ticket)
            one.entered = store
        left_s = one.deadline_s - self._clock()
        for account in one.accounts:
            reply = store.reserve(
                scope.key(account),
                scope.meters,
                one.amounts,
                one.ticket,
                priority=one.order,
                owner=self._owner if store.shared else "",
                max_wait_s=max(0.0, left_s),
            )
            if reply.status == "admitted":
                for other in one.accounts:
                    if other is not account:  # it leaves the queues of the other accounts
                        store.leave(scope.key(other), scope.meters, one.ticket)
                return account
            replies.append(reply)
            if one.prefers_first and reply.status == "waiting" and reply.wait_s <= _PREFERS_S:
                break
        best = min(replies, key=lambda reply: (reply.status != "waiting", reply.wait_s))
        if best.status == "never":
            raise one.too_large(best.limit)
        if best.status == "late":
            raise one.too_long(best.limit, best.wait_s, self.max_wait_s)
        if one.expected_s is None:
            one.limit = scope.limit(best.limit)
            one.expected_s = best.expected_s
        if left_s <= 0:
            raise one.too_long(best.limit, inf, self.max_wait_s)
        wait_s = min(best.wait_s, _POLL_S) if store.shared else best.wait_s
        return min(wait_s, left_s)

    def _beat(self) -> bool:
        """Called by the worker at each beat.

        Returns:
            Whether the beat must go on.
        """
        self._remove_gone()
        if self.store.shared:
            self._renew()
        for scope in self._registry.scopes():
            self._serve(scope)
        self._look_at_idle_streams()
        return bool(self._registry.scopes() or self._renewed)

    def _look_at_idle_streams(self) -> None:
        """Free the places of dropped streams and warn of forgotten ones, if a request waits."""
        idle = [stream.may_be_garbage() for stream, _ in self._streams_in_the_way()]
        if any(idle):
            gc.collect()
        for stream, limit in self._streams_in_the_way():
            stream.warn(limit)

    def _streams_in_the_way(self) -> list[tuple[OpenStream, object]]:
        """The streams that hold a place that a request waits for, and the limit of that place."""
        waits = {
            one.scope.name: one.limit
            for one in reversed(self._registry.waiting())
            if one.expected_s == inf
        }
        return [
            (one.stream, waits[one.scope.name])
            for one in (self._registry.all() if waits else ())
            if one.stream is not None and one.scope.name in waits and one.request() is not None
        ]

    def _remove_gone(self) -> None:
        """Give back the reservations of threads, tasks and requests that no longer exist."""
        waited, held = self._registry.remove_gone()
        self._give_back_passed(waited)
        for one, ticket in held:
            # It is unknown what the request has used, so the whole reservation counts as spent.
            settle = partial(one.store.settle, one.key, one.scope.meters, ticket, one.amounts)
            self._run_at(one.store, settle)

    def _renew(self) -> None:
        """Report to the store that this process is alive and which tickets it has.

        The store drops all other tickets of this process. An account without tickets is reported
        once more, so that a ticket that was left there is dropped, too.
        """
        if self._clock() < self._down_until_s:
            return
        with self._door:
            tickets_by_key: dict[str, list[str]] = {key: [] for key in self._renewed}
            for one in self._registry.all():
                if one.entered is self.store:
                    for key in one.keys:
                        tickets_by_key[key].append(one.ticket)
            try:
                for key, tickets in tickets_by_key.items():
                    self.store.renew(key, self._renewed[key], self._owner, tickets)
                    if not tickets:
                        del self._renewed[key]
            except StoreUnavailable:
                self._down_until_s = self._clock() + _STORE_REST_S
                raise


def _run_now(operation: Callable[[], object]) -> None:
    operation()


def _farewell(
    worker: Worker, store: Store, owner: str, renewed: dict[str, Sequence[LimitMeter]]
) -> None:
    """Let the store drop all tickets of a limiter that was garbage collected."""
    for key, meters in renewed.items():
        worker.settle(partial(store.renew, key, meters, owner, ()))

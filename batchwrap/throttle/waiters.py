"""Who waits in this process, and who holds something: the part of the limiter that only counts.

A waiter may be gone without a word: an event loop can be closed, or simply not run any more,
while tasks wait in it. Nobody waits for those: they are passed over when it is their turn, and
enter the queue again should their loop ever go on.
"""

from __future__ import annotations

import secrets
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from math import inf
from operator import attrgetter
from threading import RLock
from weakref import ref

from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.asks import Ask, Grant, key_of
from batchwrap.throttle.signal import TaskSignal, ThreadSignal
from batchwrap.throttle.stores import Store

# Told that a wait begins: its expected length, if anybody knows, and the limit in the way.
OnWait = Callable[[float | None, Limit | None], None]

_numbers = count()
_by_rank = attrgetter("rank")


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that wants to be admitted, until it is settled.

    Attributes:
        ask: what it asks for.
        began_s: when it came.
        deadline_s: it gives up then.
        signal: wakes it.
        ticket: its id in the store.
        rank: its place among those that wait here.
        store: where it is in the queue; None: nowhere yet.
        due_s: when the store should be asked again.
        expected_s: how long it would wait if time alone gave something back; None before the
            store has said that it must wait.
        limit: the limit in the way, if it is one.
        outcome: the account that admits it and the store, or why it is not admitted.
        grant: what it took; None before it has.
        is_gone: it gave up.
        was_passed: it was taken out of the queue, since its event loop did not run.
    """

    ask: Ask
    began_s: float
    deadline_s: float
    signal: ThreadSignal | TaskSignal
    ticket: str = field(default_factory=lambda: secrets.token_hex(8))
    rank: tuple[int, int] = (0, 0)
    store: Store | None = None
    due_s: float = inf
    expected_s: float | None = None
    limit: Limit | None = None
    outcome: tuple[Account, Store] | Exception | None = None
    grant: ref[Grant] | None = None
    is_gone: bool = False
    was_passed: bool = False

    @property
    def keys(self) -> Iterator[str]:
        """The accounts at which it waits or holds something."""
        if isinstance(self.outcome, tuple):
            yield key_of(self.outcome[0], self.ask.scope)
        else:
            for account in self.ask.accounts:
                yield key_of(account, self.ask.scope)


# A waiter, and the ticket that it had when it was found to be gone.
Gone = tuple[Waiter, str]


class Waiters:
    """All waiters of a limiter; safe for threads, and for finalisers."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._queues: dict[str, list[Waiter]] = {}  # by scope
        self._held: dict[str, Waiter] = {}  # by ticket: those that wait and those that hold

    def enter(self, waiter: Waiter) -> bool:
        """Into the queue, as a new waiter. False if it has given up meanwhile."""
        with self.lock:
            if waiter.is_gone:
                return False
            if waiter.was_passed:
                waiter.was_passed, waiter.ticket = False, secrets.token_hex(8)
            else:
                waiter.rank = waiter.ask.rank, next(_numbers)
            insort(self._queues.setdefault(waiter.ask.scope.name, []), waiter, key=_by_rank)
            self._held[waiter.ticket] = waiter
            return True

    def conclude(self, waiter: Waiter, outcome: tuple[Account, Store] | Exception) -> bool:
        """The store has decided. False if the waiter has given up, or was passed over."""
        with self.lock:
            if waiter.is_gone or waiter.was_passed:
                return False
            waiter.outcome = outcome
            self._out(waiter)
            return True

    def take(self, waiter: Waiter, now_s: float) -> Grant | None:
        """What the waiter was granted; None if it must wait. Raises what stands in the way."""
        with self.lock:
            outcome = waiter.outcome
            if outcome is None:
                return None
            if isinstance(outcome, Exception):
                raise outcome
            waited_s = 0.0 if waiter.expected_s is None else now_s - waiter.began_s
            grant = Grant(waiter.ask, *outcome, waiter.ticket, waited_s)
            waiter.grant = ref(grant)
            return grant

    def leave(self, waiter: Waiter) -> None:
        """It gives up, wherever it is."""
        with self.lock:
            waiter.is_gone = True
            self._out(waiter)
            self._held.pop(waiter.ticket, None)

    def settled(self, ticket: str) -> None:
        """It holds nothing any more."""
        self._held.pop(ticket, None)

    def first(self, scope: str) -> tuple[Waiter | None, list[Gone]]:
        """The first one that can run, and those that were passed over for it."""
        passed: list[Gone] = []
        with self.lock:
            while queue := self._queues.get(scope):
                if not queue[0].signal.is_gone:
                    return queue[0], passed
                passed.append(self._pass_over(queue[0]))
        return None, passed

    def is_first(self, waiter: Waiter) -> bool:
        """Whether all others of its scope wait behind it."""
        queue = self._queues.get(waiter.ask.scope.name)
        return bool(queue) and queue[0] is waiter  # type: ignore[index]

    def collect(self) -> tuple[list[Gone], list[Gone]]:
        """Those that are gone: who waited or never took what was granted, and who held it."""
        waited, held = list[Gone](), list[Gone]()
        with self.lock:
            for waiter in list(self._held.values()):
                if waiter.grant is not None:
                    if waiter.signal.is_closed or waiter.grant() is None:
                        self._held.pop(waiter.ticket, None)
                        held.append((waiter, waiter.ticket))
                elif waiter.signal.is_closed or (waiter.outcome and waiter.signal.is_gone):
                    waited.append(self._pass_over(waiter))
        return waited, held

    def waiting(self) -> list[Waiter]:
        """All that wait, the first of each scope first."""
        with self.lock:
            return [waiter for queue in self._queues.values() for waiter in queue]

    def holding(self) -> list[Waiter]:
        """All that wait or hold something."""
        return list(self._held.values())

    def scopes(self) -> list[str]:
        """Where anybody waits."""
        return list(self._queues)

    def _pass_over(self, waiter: Waiter) -> Gone:
        waiter.was_passed, waiter.outcome = True, None
        self._out(waiter)
        self._held.pop(waiter.ticket, None)
        return waiter, waiter.ticket

    def _out(self, waiter: Waiter) -> None:
        name = waiter.ask.scope.name
        queue = self._queues.get(name, [])
        if waiter in queue:
            queue.remove(waiter)
        if not queue:
            self._queues.pop(name, None)

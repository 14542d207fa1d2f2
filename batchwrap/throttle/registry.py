"""The reservations of one process: those that wait, in order, and those that are held.

A task may stop without leaving the queue: its event loop can be closed, or may not run any more.
The others do not wait for it. When it is the first, its reservation is passed over, and it enters
the queue again if its loop ever continues.
"""

from __future__ import annotations

import secrets
from bisect import insort
from itertools import count
from operator import attrgetter
from threading import RLock

from batchwrap.throttle.accounts import Account
from batchwrap.throttle.reservation import Reservation

_numbers = count()
_by_place = attrgetter("place")

# A reservation that was taken out, and the ticket that it had at that time.
Removed = tuple[Reservation, str]


class Registry:
    """All reservations of a limiter. Safe to use by threads and finalisers."""

    def __init__(self) -> None:
        # Reentrant, since a finaliser may run in the thread that holds the lock.
        self.lock = RLock()
        self._queues: dict[str, list[Reservation]] = {}  # by scope
        self._by_ticket: dict[str, Reservation] = {}  # waiting and held ones

    def enter(self, one: Reservation) -> bool:
        """Enter the queue, or enter it again under a new ticket.

        Returns:
            False if its request has given up.
        """
        with self.lock:
            if one.is_gone:
                return False
            if one.was_passed:
                # The old ticket is given back to the store.
                one.was_passed, one.ticket = False, secrets.token_hex(8)
            else:
                one.place = one.order, next(_numbers)
            insort(self._queues.setdefault(one.scope.name, []), one, key=_by_place)
            self._by_ticket[one.ticket] = one
            return True

    def conclude(self, one: Reservation, outcome: Account | Exception) -> bool:
        """Record the store's decision.

        Returns:
            False if the request gave up or was passed over while the store decided.
        """
        with self.lock:
            if one.is_gone or one.was_passed:
                return False
            one.outcome = outcome
            self._dequeue(one)
            return True

    def take(self, one: Reservation, now_s: float) -> bool:
        """Hand an admitted reservation to its request.

        Returns:
            False if it still has to wait.

        Raises:
            Exception: the error that the store answered with.
        """
        with self.lock:
            if one.outcome is None:
                return False
            if isinstance(one.outcome, Exception):
                raise one.outcome
            one.waited_s = 0.0 if one.expected_s is None else now_s - one.began_s
            one.is_held = True
            return True

    def leave(self, one: Reservation) -> None:
        """Remove a reservation whose request gives up, whatever its state is."""
        with self.lock:
            one.is_gone = True
            self._dequeue(one)
            self._by_ticket.pop(one.ticket, None)

    def settled(self, ticket: str) -> None:
        """Remove a reservation that was settled."""
        self._by_ticket.pop(ticket, None)

    def first(self, scope: str) -> tuple[Reservation | None, list[Removed]]:
        """The first reservation whose request can run, and those that were passed over for it."""
        passed: list[Removed] = []
        with self.lock:
            while queue := self._queues.get(scope):
                if not queue[0].signal.is_gone:
                    return queue[0], passed
                passed.append(self._pass_over(queue[0]))
        return None, passed

    def is_first(self, one: Reservation) -> bool:
        """Whether it is the first of its scope's queue."""
        queue = self._queues.get(one.scope.name)
        return bool(queue) and queue[0] is one  # type: ignore[index]

    def remove_gone(self) -> tuple[list[Removed], list[Removed]]:
        """Take out the reservations whose request no longer exists.

        Returns:
            Those that waited or were admitted but not taken, and those that were held.
        """
        waited, held = list[Removed](), list[Removed]()
        with self.lock:
            for one in list(self._by_ticket.values()):
                if one.is_held:
                    if one.signal.is_closed or one.request() is None:
                        self._by_ticket.pop(one.ticket, None)
                        held.append((one, one.ticket))
                elif one.signal.is_closed or (one.outcome and one.signal.is_gone):
                    waited.append(self._pass_over(one))
        return waited, held

    def waiting(self) -> list[Reservation]:
        """The waiting reservations, the first of each scope first."""
        with self.lock:
            return [one for queue in self._queues.values() for one in queue]

    def all(self) -> list[Reservation]:
        """The waiting and the held reservations."""
        return list(self._by_ticket.values())

    def scopes(self) -> list[str]:
        """The scopes in which a request waits."""
        return list(self._queues)

    def _pass_over(self, one: Reservation) -> Removed:
        one.was_passed, one.outcome = True, None
        self._dequeue(one)
        self._by_ticket.pop(one.ticket, None)
        return one, one.ticket

    def _dequeue(self, one: Reservation) -> None:
        name = one.scope.name
        queue = self._queues.get(name, [])
        if one in queue:
            queue.remove(one)
        if not queue:
            self._queues.pop(name, None)

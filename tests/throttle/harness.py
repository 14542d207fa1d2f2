"""A limiter over some limits, with reservations that can be settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.core.limits.state import Snapshot
from batchwrap.options import Limit, Throttle
from batchwrap.throttle.accounts import Account, Origin
from batchwrap.throttle.admission import AdmissionRequest
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.reservation import Reservation
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.stores import MemoryStore, Store

# Longer than any test needs for anything.
LONG_S = 60


@dataclass
class Held:
    """A reservation that was admitted."""

    request: AdmissionRequest

    @property
    def reservation(self) -> Reservation:
        """What the limiter keeps of it."""
        assert self.request._held is not None
        return self.request._held

    @property
    def waited_s(self) -> float:
        """How long it waited."""
        return self.request.waited_s

    @property
    def account(self) -> str:
        """The account that took it."""
        return self.reservation.account.name

    def settle(self, spent: Cost) -> None:
        """Settle it."""
        self.request.settle(spent, None)


class Bench:
    """One scope, on the real clock unless a store with another one is given."""

    def __init__(
        self,
        *limits: Limit,
        max_wait_s: float = 60,
        store: Store | None = None,
        accounts: tuple[str, ...] = ("a",),
        **options: Any,
    ) -> None:
        self.budget = Budget(Throttle(limits=limits))
        self.budget.limiter = Limiter(store or MemoryStore(), max_wait_s=max_wait_s, **options)
        self.accounts = tuple(Account(name) for name in accounts)

    @property
    def limiter(self) -> Limiter:
        """The limiter."""
        return self.budget.limiter

    @property
    def scope(self) -> LimitScope:
        """The limits."""
        return self.request().scope()

    def request(self, priority: int = 0) -> AdmissionRequest:
        """An admission request."""
        made = self.budget.request({}, Origin())
        made.scope_name, made.accounts, made.priority = "test", self.accounts, priority
        return made

    def acquire(self, cost: Cost, headroom: Cost = NOTHING, **fields: Any) -> Held:
        """Wait in this thread; the request arrives at once."""
        request = self.request(**fields)
        request.reserve(cost, cost, headroom)
        request.arrived()
        return Held(request)

    async def acquire_async(self, cost: Cost, headroom: Cost = NOTHING, **fields: Any) -> Held:
        """Wait in this task; the request arrives at once."""
        request = self.request(**fields)
        await request.reserve_async(cost, cost, headroom)
        request.arrived()
        return Held(request)

    def snapshot(self, account: str = "a") -> Snapshot:
        """How full the buckets of an account are."""
        return self.limiter.snapshots()[f"{account}:test"][1]

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(s.waiting for _, s in self.limiter.snapshots().values())


def until(condition: Callable[[], bool]) -> None:
    """Let other threads run until something is so."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

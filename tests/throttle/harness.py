"""A limiter over some limits, with leases that can be settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchwrap.core.limits.cost import Cost
from batchwrap.core.limits.state import Snapshot
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.asks import Ask, Grant, Scope
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.stores import MemoryStore, Store


@dataclass
class Held:
    """A reservation."""

    limiter: Limiter
    grant: Grant

    @property
    def waited_s(self) -> float:
        """How long it waited."""
        return self.grant.waited_s

    @property
    def account(self) -> str:
        """The account that took it."""
        return self.grant.account.name

    def settle(self, spent: Cost) -> None:
        """Settle it."""
        self.limiter.settle(self.grant, spent)


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
        self.scope = Scope("test", limits, meters(limits))
        self.accounts = tuple(Account(name) for name in accounts)
        self.limiter = Limiter(store or MemoryStore(), max_wait_s=max_wait_s, **options)

    def ask(self, cost: Cost, **fields: Any) -> Ask:
        """The question for a cost that is certain."""
        return Ask(self.scope, self.accounts, cost, fields.pop("sure", cost), **fields)

    def acquire(self, cost: Cost, **fields: Any) -> Held:
        """Wait in this thread; the request arrives at once."""
        return self._arrived(self.limiter.acquire(self.ask(cost, **fields)))

    async def acquire_async(self, cost: Cost, **fields: Any) -> Held:
        """Wait in this task; the request arrives at once."""
        return self._arrived(await self.limiter.acquire_async(self.ask(cost, **fields)))

    def _arrived(self, grant: Grant) -> Held:
        self.limiter.arrived(grant)
        return Held(self.limiter, grant)

    def snapshot(self, account: str = "a") -> Snapshot:
        """How full the buckets of an account are."""
        return self.limiter.snapshots()[f"{account}:test"][1]

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(s.waiting for _, s in self.limiter.snapshots().values())


def until(condition: Callable[[], bool]) -> None:
    """Let other threads run until something is so."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

"""What is asked of the limiter, what it grants, and how it says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from os import getpid

from batchwrap.core.limits.cost import AMOUNT_OF, NOTHING, Cost
from batchwrap.core.limits.windows import Meter
from batchwrap.errors import LimitExceeded, QuotaExhausted, RequestTooLarge
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.stores import Store
from batchwrap.throttle.streams import OpenStream

# Headroom that takes longer to refill costs more than the refusal that it may avoid.
_HEADROOM_S = 1.0
# Limits of this length and longer are quotas: nobody waits for the next day.
_QUOTA_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What shares one set of buckets.

    Attributes:
        name: tells it apart: the plan, and the model where each has buckets of its own.
        limits: the limits.
        meters: the same, as the arithmetic needs them.
    """

    name: str
    limits: tuple[Limit, ...]
    meters: tuple[Meter, ...]

    def amounts(self, cost: Cost) -> list[float]:
        """What a cost takes of each limit."""
        return [AMOUNT_OF[limit.kind](cost) for limit in self.limits]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that wants to be admitted.

    Attributes:
        scope: the limits that it must pass.
        accounts: those that may take it, the preferred one first.
        cost: what it may need.
        minimum: the part of it that is certain; only that can be too large.
        headroom: what it may need beyond, where it is estimated.
        caution_s: what is kept free besides where costs are estimated, in seconds of refill.
        priority: higher ones go first.
        sticks: whether it waits a little for the first of the accounts.
        pace: below 1, costs count for more: the provider asked for slower growth.
        again: it was admitted before, and refused: it is the first of its priority.
    """

    scope: Scope
    accounts: Sequence[Account]
    cost: Cost
    minimum: Cost
    headroom: Cost = NOTHING
    caution_s: float = 0.0
    priority: int = 0
    sticks: bool = False
    pace: float = 1.0
    again: bool = False

    @property
    def amounts(self) -> list[float]:
        """What is asked for of each limit."""
        amounts = []
        for limit, meter in zip(self.scope.limits, self.scope.meters, strict=True):
            amount_of = AMOUNT_OF[limit.kind]
            amount = amount_of(self.cost)
            if headroom := amount_of(self.headroom):
                # Who was refused needs all of it, it seems.
                amount += headroom if self.again else min(headroom, meter.rate * _HEADROOM_S)
                amount += meter.rate * self.caution_s
            amounts.append(min(amount / self.pace, max(amount_of(self.minimum), meter.capacity)))
        return amounts

    @property
    def rank(self) -> int:
        """Lower ones go first. Between two priorities there is room for those that come again."""
        return -2 * self.priority - self.again


@dataclass(eq=False, slots=True, weakref_slot=True)
class Grant:
    """A reservation that was admitted.

    Attributes:
        ask: what was asked for.
        account: whose it is.
        store: what holds it.
        lease: its id there.
        waited_s: how long it waited.
        pid: the process to which it was granted; a fork of it has no part in it.
        stream: the answer, if it is streamed and still under way.
    """

    ask: Ask
    account: Account
    store: Store
    lease: str
    waited_s: float
    pid: int = field(default_factory=getpid)
    stream: OpenStream | None = None

    @property
    def key(self) -> str:
        """Its account in the store."""
        return key_of(self.account, self.ask.scope)


def key_of(account: Account, scope: Scope) -> str:
    """The name of an account's buckets in a store."""
    return f"{account.name}:{scope.name}"


def limit_of(ask: Ask, index: int | None) -> Limit | None:
    """The limit with this index, if it is one."""
    return None if index is None else ask.scope.limits[index]


def too_large(ask: Ask, index: int | None) -> RequestTooLarge:
    """The error for what one of the limits never admits."""
    limit = limit_of(ask, index)
    assert limit is not None
    requested = ask.minimum.of(limit.kind)
    return RequestTooLarge(
        f"the request needs {requested:,.0f} {limit.kind}, and {limit} never admits more than "
        f"{limit.capacity:,.0f} at once",
        limit=str(limit),
        requested=requested,
        retry_after_s=None,
    )


def too_long(ask: Ask, index: int | None, wait_s: float, max_wait_s: float) -> LimitExceeded:
    """The error for what would wait longer than it may."""
    limit = limit_of(ask, index)
    reason = f" for {limit}" if limit is not None else ""
    wait = f"about {wait_s:,.0f} s" if wait_s < inf else "longer"
    is_quota = limit is not None and limit.per_s >= _QUOTA_S and limit.kind != "concurrency"
    kind = QuotaExhausted if is_quota else LimitExceeded
    return kind(
        f"the request would wait {wait}{reason}, above max_wait_s={max_wait_s:g}",
        limit=str(limit) if limit is not None else "",
        requested=ask.cost.of(limit.kind) if limit is not None else 0.0,
        retry_after_s=wait_s if wait_s < inf else None,
    )

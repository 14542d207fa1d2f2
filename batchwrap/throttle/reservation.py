"""The limiter's record of one attempt, from the queue to the settlement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from os import getpid
from weakref import ref

from batchwrap.core.limits.cost import Cost
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.errors import LimitExceeded, QuotaExhausted, RequestTooLarge
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.signal import TaskSignal, ThreadSignal
from batchwrap.throttle.stores import Store
from batchwrap.throttle.streams import OpenStream

# Called when a wait begins, with its expected length, if known, and the limit that causes it.
OnWait = Callable[[float | None, Limit | None], None]
# Limits with this period or a longer one are quotas, since no request waits for the next day.
_QUOTA_S = 3_600.0


@dataclass(eq=False, slots=True)
class Reservation:
    """An amount of each limit that one attempt waits for, then holds until it is settled.

    Attributes:
        scope: the limits that it must pass.
        accounts: the accounts that may take it, the preferred one first.
        cost: what the request is expected to need.
        minimum: the certain part of that; only this can be too large.
        amounts: what it takes of each limit.
        order: lower ones go first.
        prefers_first: whether it waits for some time for the first account.
        pace: below 1, its amounts were increased to slow growth down.
        began_s: when it was made.
        deadline_s: when it gives up.
        signal: wakes the waiting thread or task.
        ticket: its id in the store.
        request: the admission request that it was made for. Once that is dropped, nothing can
            settle the reservation, and the limiter gives it back.
        place: its place in this process's queue.
        entered: the store where it waits or is held; None before it has entered one.
        due_s: when the store should be asked again.
        expected_s: how long it would wait if only time gave something back; None until the store
            has let it wait.
        limit: the limit that causes the wait, if one does.
        outcome: the account that admits it, or the error; None while it waits.
        waited_s: how long it waited.
        is_held: whether its request holds it.
        is_gone: whether its request gave up.
        was_passed: whether it was taken out of the queue because its event loop did not run.
        stream: the answer, if it is streamed and not complete.
        pid: the process that made it; a fork of that process does not settle it.
    """

    scope: LimitScope
    accounts: tuple[Account, ...]
    cost: Cost
    minimum: Cost
    amounts: list[float]
    signal: ThreadSignal | TaskSignal
    ticket: str
    request: ref[object]
    order: int = 0
    prefers_first: bool = False
    pace: float = 1.0
    began_s: float = 0.0
    deadline_s: float = inf
    place: tuple[int, int] = (0, 0)
    entered: Store | None = None
    due_s: float = inf
    expected_s: float | None = None
    limit: Limit | None = None
    outcome: Account | Exception | None = None
    waited_s: float = 0.0
    is_held: bool = False
    is_gone: bool = False
    was_passed: bool = False
    stream: OpenStream | None = None
    pid: int = field(default_factory=getpid)

    @property
    def account(self) -> Account:
        """The account that holds it, once it is admitted."""
        assert isinstance(self.outcome, Account)
        return self.outcome

    @property
    def store(self) -> Store:
        """The store that holds it, once it is admitted."""
        assert self.entered is not None
        return self.entered

    @property
    def key(self) -> str:
        """The key of the buckets that it is held in."""
        return self.scope.key(self.account)

    @property
    def keys(self) -> Iterator[str]:
        """The keys of all buckets where it waits or is held."""
        if isinstance(self.outcome, Account):
            yield self.key
        else:
            for account in self.accounts:
                yield self.scope.key(account)

    def too_large(self, index: int | None) -> RequestTooLarge:
        """The error for a request that exceeds the limit at this index."""
        limit = self.scope.limit(index)
        assert limit is not None
        requested = self.minimum.of(limit.kind)
        return RequestTooLarge(
            f"the request needs {requested:,.0f} {limit.kind}, and {limit} never admits more than "
            f"{limit.capacity:,.0f} at once",
            limit=str(limit),
            requested=requested,
            retry_after_s=None,
        )

    def too_long(self, index: int | None, wait_s: float, max_wait_s: float) -> LimitExceeded:
        """The error for a request that would wait longer than `max_wait_s`."""
        limit = self.scope.limit(index)
        reason = f" for {limit}" if limit is not None else ""
        wait = f"about {wait_s:,.0f} s"
        if wait_s >= LONGEST_S:
            wait = "more than a year" if wait_s < inf else "longer"
        is_quota = limit is not None and limit.per_s >= _QUOTA_S and limit.kind != "concurrency"
        kind = QuotaExhausted if is_quota else LimitExceeded
        return kind(
            f"the request would wait {wait}{reason}, above max_wait_s={max_wait_s:g}",
            limit=str(limit) if limit is not None else "",
            requested=self.cost.of(limit.kind) if limit is not None else 0.0,
            retry_after_s=wait_s if wait_s < inf else None,
        )

"""What a limiter keeps of one attempt, from its first question at the store to its settlement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from os import getpid
from weakref import ref

from batchwrap.core.limits.cost import Cost
from batchwrap.errors import LimitExceeded, QuotaExhausted, RequestTooLarge
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.signal import TaskSignal, ThreadSignal
from batchwrap.throttle.stores import Store
from batchwrap.throttle.streams import OpenStream

# Called when a wait begins: with its expected length, if anybody knows, and the limit in the way.
OnWait = Callable[[float | None, Limit | None], None]
# Limits of this length and longer are quotas: nobody waits for the next day.
_QUOTA_S = 3_600.0


@dataclass(eq=False, slots=True)
class Reservation:
    """An amount of each limit that one attempt waits for, then holds until it is settled.

    Attributes:
        scope: the limits that it must pass.
        accounts: those that may take it, the preferred one first.
        cost: what the request may need.
        minimum: the part of it that is certain; only that can be too large.
        amounts: what it takes of each limit.
        order: lower ones go first.
        prefers_first: whether it waits a little for the first of the accounts.
        pace: below 1, its amounts were made larger to slow growth down.
        began_s: when it came.
        deadline_s: it gives up then.
        signal: wakes the thread or task that waits for it.
        ticket: its id in the store.
        request: the admission request that it was made for. Once that one is dropped, nobody can
            settle the reservation any more, and the limiter gives it back.
        place: its place among those that wait in this process.
        entered: the store where it waits or is held; None: nowhere yet.
        due_s: when the store should be asked again.
        expected_s: how long it would wait if time alone gave something back; None before the
            store has said that it must wait.
        limit: the limit in the way, if it is one.
        outcome: the account that admits it, or why it is not admitted; None while it waits.
        waited_s: how long it waited.
        is_held: whether its request has it.
        is_gone: whether its request gave up.
        was_passed: whether it was taken out of the queue, since its event loop did not run.
        stream: the answer, if it is streamed and still under way.
        pid: the process that made it; a fork of that process has no part in it.
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
        """The name in the store of the buckets that it is held in."""
        return self.scope.key(self.account)

    @property
    def keys(self) -> Iterator[str]:
        """The names in the store of all buckets where it waits or is held."""
        if isinstance(self.outcome, Account):
            yield self.key
        else:
            for account in self.accounts:
                yield self.scope.key(account)

    def too_large(self, index: int | None) -> RequestTooLarge:
        """The error for a request that the limit at this index never admits."""
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
        """The error for a request that would wait longer than it may."""
        limit = self.scope.limit(index)
        reason = f" for {limit}" if limit is not None else ""
        wait = f"about {wait_s:,.0f} s" if wait_s < inf else "longer"
        is_quota = limit is not None and limit.per_s >= _QUOTA_S and limit.kind != "concurrency"
        kind = QuotaExhausted if is_quota else LimitExceeded
        return kind(
            f"the request would wait {wait}{reason}, above max_wait_s={max_wait_s:g}",
            limit=str(limit) if limit is not None else "",
            requested=self.cost.of(limit.kind) if limit is not None else 0.0,
            retry_after_s=wait_s if wait_s < inf else None,
        )

"""The base of the stores that do the arithmetic in this process: memory and SQLite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import inf
from typing import Any, TypeVar

from batchwrap.core.limits import account
from batchwrap.core.limits.state import AccountState, Admission, Seen, Snapshot, empty
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.throttle.stores.contract import (
    DAY_S,
    DAYS_KEPT_S,
    MINUTE_S,
    MINUTES_KEPT_S,
    BookLine,
    TokenTotals,
)
from batchwrap.throttle.stores.turnstile import Turnstile

T = TypeVar("T")


class LocalStore(ABC):
    """A store with one state for each account; see `contract.Store` for the methods.

    Args:
        name: its URL.
        clock: seconds since 1970.
    """

    shared = False

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self._clock = clock
        self._minute = 0  # the last minute in which usage was added to the books
        self._turnstile = Turnstile(before_fork=self._let_go)

    @abstractmethod
    def _atomic(self) -> AbstractContextManager[None]:
        """A context whose operations are done alone, and all of them or none."""

    @abstractmethod
    def _let_go(self) -> None:
        """Close what a child must not share; called before a fork, when no operation runs."""

    def _attend(self, state: AccountState) -> None:  # noqa: B027  # optional
        """Update which owners are alive, if processes share the store."""

    @abstractmethod
    def _load(self, key: str) -> AccountState | None: ...

    @abstractmethod
    def _save(self, key: str, state: AccountState, meters: Sequence[LimitMeter]) -> None: ...

    @abstractmethod
    def _keys(self) -> list[str]: ...

    @abstractmethod
    def _enter(self, line: BookLine) -> None: ...

    @abstractmethod
    def _forget(self, span: str, before_unix_s: float) -> None: ...

    @abstractmethod
    def _lines(self, key: str | None) -> list[BookLine]: ...

    def reserve(
        self,
        key: str,
        meters: Sequence[LimitMeter],
        amounts: Sequence[float],
        ticket: str,
        *,
        priority: int = 0,
        owner: str = "",
        max_wait_s: float = inf,
    ) -> Admission:
        """Reserve an amount of each limit. See `account.reserve`."""
        return self._change(
            key,
            meters,
            account.reserve,
            amounts,
            ticket,
            priority=priority,
            owner=owner,
            max_wait_s=max_wait_s,
        )

    def arrived(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Record that the provider has the ticket's request. See `account.arrived`."""
        self._change(key, meters, account.arrived, ticket)

    def learn(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, seen: Sequence[Seen]
    ) -> None:
        """Correct the account by an answer's headers. See `account.learn`."""
        self._change(key, meters, account.learn, ticket, seen)

    def settle(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, spent: Sequence[float]
    ) -> None:
        """Replace what is reserved by what was spent. See `account.settle`."""
        self._change_soon(key, meters, account.settle, ticket, spent)

    def leave(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Give up, admitted or not. See `account.leave`."""
        self._change_soon(key, meters, account.leave, ticket)

    def renew(
        self, key: str, meters: Sequence[LimitMeter], owner: str, holders: Sequence[str]
    ) -> None:
        """Record that an owner is alive and which tickets it has. See `account.renew`."""
        self._change(key, meters, account.renew, owner, holders)

    def close_for(self, key: str, seconds: float) -> None:
        """Admit nothing for this long. See `account.close_for`."""

        def close(state: AccountState, _: Sequence[LimitMeter], *, now: float) -> None:
            account.close_for(state, seconds, now=now)

        self._change(key, (), close)

    def crowded(self, key: str, meters: Sequence[LimitMeter], ticket: str, seconds: float) -> None:
        """Record a refusal because too many requests run. See `account.crowded`."""
        self._change(key, meters, account.crowded, ticket, seconds)

    def snapshot(self, key: str, meters: Sequence[LimitMeter]) -> Snapshot:
        """The levels of the buckets. See `account.snapshot`."""
        return self._change(key, meters, account.snapshot)

    def spend(self, key: str, model: str, spent: TokenTotals) -> None:
        """Add usage to the books, under the current minute and day."""

        def enter() -> None:
            with self._atomic():
                now = self._clock()
                minute, day = int(now // MINUTE_S * MINUTE_S), int(now // DAY_S * DAY_S)
                self._enter(BookLine(key, model, "minute", minute, spent))
                self._enter(BookLine(key, model, "day", day, spent))
                if minute != self._minute:  # lines can only have expired if a new minute began
                    self._minute = minute
                    self._forget("minute", now - MINUTES_KEPT_S)
                    self._forget("day", now - DAYS_KEPT_S)

        self._turnstile.run_soon(enter)

    def accounts(self) -> list[str]:
        """The keys of all accounts that are kept, in alphabetical order."""

        def read() -> list[str]:
            with self._atomic():
                return sorted(self._keys())

        return self._turnstile.run(read)

    def usage(self, key: str | None = None) -> list[BookLine]:
        """The books, of one account or of all, oldest first."""

        def read() -> list[BookLine]:
            with self._atomic():
                return self._lines(key)

        return sorted(
            self._turnstile.run(read),
            key=lambda line: (line.start_unix_s, line.span, line.key, line.model),
        )

    @abstractmethod
    def close(self) -> None:
        """Close files and connections."""

    def _change(
        self,
        key: str,
        meters: Sequence[LimitMeter],
        operation: Callable[..., T],
        *args: Any,
        **options: Any,
    ) -> T:
        return self._turnstile.run(partial(self._apply, key, meters, operation, args, options))

    def _change_soon(
        self, key: str, meters: Sequence[LimitMeter], operation: Callable[..., None], *args: Any
    ) -> None:
        self._turnstile.run_soon(partial(self._apply, key, meters, operation, args, {}))

    def _apply(
        self,
        key: str,
        meters: Sequence[LimitMeter],
        operation: Callable[..., T],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> T:
        with self._atomic():
            # Read inside, so that an operation that had to wait does not use an older time.
            now = self._clock()
            kept = self._load(key)
            state = empty(now) if kept is None else kept
            if self.shared:  # in one process all owners live as long as the process
                self._attend(state)
            result = operation(state, meters, *args, now=now, **options)
            self._save(key, state, meters)
            return result

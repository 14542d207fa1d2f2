"""Accounts in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from batchwrap._forks import renew_in_child
from batchwrap.core.limits import account
from batchwrap.core.limits.state import AccountState
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.throttle.stores.contract import BookLine
from batchwrap.throttle.stores.local import LocalStore

# Nothing more is needed, since the turnstile runs one operation at a time.
_ALONE = nullcontext()
# Above this number, accounts that are as good as new are dropped.
_MANY = 1_024
# Lines of the books (by account, model, minute and day). Usage beyond that is summed up in one line
# as of "(other models)".
MAX_LINES = 16_384
_OTHER_MODELS = "(other models)"


class MemoryStore(LocalStore):
    """One budget for all threads and tasks of a process.

    A child process begins with a copy of what was spent and without reservations.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__("memory", clock)
        self._accounts: dict[str, tuple[AccountState, Sequence[LimitMeter]]] = {}
        self._sweep_at = _MANY
        renew_in_child(self)
        self._books: dict[tuple[str, str, str, int], BookLine] = {}

    def close(self) -> None:
        """Does nothing, since nothing is open."""

    def _atomic(self) -> AbstractContextManager[None]:
        return _ALONE

    def after_fork(self) -> None:
        """Drop the parent's reservations in a child process."""
        for state, _ in self._accounts.values():
            state["leases"], state["queue"] = {}, []

    def _let_go(self) -> None:
        """Does nothing, since nothing is open."""

    def _load(self, key: str) -> AccountState | None:
        kept = self._accounts.get(key)
        return None if kept is None else kept[0]

    def _save(self, key: str, state: AccountState, meters: Sequence[LimitMeter]) -> None:
        if not meters and key in self._accounts:  # `close_for` is called without limits
            meters = self._accounts[key][1]
        self._accounts[key] = state, meters
        if len(self._accounts) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Drop the accounts that are as good as new; again after as many more accounts."""
        now = self._clock()
        for key, (state, meters) in list(self._accounts.items()):
            if now + state["skew"] - state["at"] > account.over_s(state, meters):
                del self._accounts[key]
        self._sweep_at = max(_MANY, 2 * len(self._accounts))

    def _keys(self) -> list[str]:
        return list(self._accounts)

    def _enter(self, line: BookLine) -> None:
        place = (line.key, line.model, line.span, line.start_unix_s)
        if len(self._books) >= MAX_LINES and place not in self._books:
            place = (line.key, _OTHER_MODELS, line.span, line.start_unix_s)
        before = self._books.get(place)
        spent = line.spent if before is None else before.spent + line.spent
        self._books[place] = BookLine(*place, spent)

    def _forget(self, span: str, before_unix_s: float) -> None:
        old = [
            place
            for place, line in self._books.items()
            if line.span == span and line.start_unix_s < before_unix_s
        ]
        for place in old:
            del self._books[place]

    def _lines(self, key: str | None) -> list[BookLine]:
        return [line for line in self._books.values() if key in (None, line.key)]

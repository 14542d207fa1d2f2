"""Accounts in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple

from batchwrap.core.limits.state import State
from batchwrap.throttle.stores.contract import Spent, Used
from batchwrap.throttle.stores.local import LocalStore

# The turnstile lets in one at a time.
_ALONE = nullcontext()


class MemoryStore(LocalStore):
    """One budget for all threads and tasks of a process. A child process begins with a copy.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__("memory", clock)
        self._accounts: dict[str, State] = {}
        self._books: dict[tuple[str, str, str, int], Used] = {}

    def close(self) -> None:
        """Nothing is open."""

    def _atomic(self) -> AbstractContextManager[None]:
        return _ALONE

    def _load(self, key: str) -> State | None:
        return self._accounts.get(key)

    def _save(self, key: str, state: State) -> None:
        self._accounts[key] = state

    def _keys(self) -> list[str]:
        return list(self._accounts)

    def _enter(self, line: Used) -> None:
        place = (line.key, line.model, line.span, line.start_unix_s)
        before = astuple(self._books[place].spent) if place in self._books else (0, 0, 0, 0)
        both = zip(before, astuple(line.spent), strict=True)
        self._books[place] = Used(*place, Spent(*(old + new for old, new in both)))

    def _forget(self, span: str, before_unix_s: float) -> None:
        old = [
            place
            for place, line in self._books.items()
            if line.span == span and line.start_unix_s < before_unix_s
        ]
        for place in old:
            del self._books[place]

    def _lines(self, key: str | None) -> list[Used]:
        return [line for line in self._books.values() if key in (None, line.key)]

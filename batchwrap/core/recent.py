"""A mapping that is bounded in number and age: the least recently used entry is dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_UNLOCKED = nullcontext()


class Recent(Generic[Key, Value]):
    """Keeps the recently used entries.

    Args:
        most: the largest number of entries.
        most_age_s: the seconds for which an entry is kept after its last use.
        lock: held during each operation; needed if several threads use the mapping.
    """

    def __init__(
        self,
        most: int,
        most_age_s: float = float("inf"),
        lock: AbstractContextManager[Any] = _UNLOCKED,
    ) -> None:
        self._kept: _Kept[Key, Value] = _Kept(most, most_age_s, lock)
        self._owner = ""
        self._note: Callable[[Key, Value], None] | None = None

    def __len__(self) -> int:
        return len(self._kept.entries)

    def of(self, owner: str) -> Recent[Key, Value]:
        """A view with the entries of one owner only. All owners share the bounds."""
        own = copy(self)
        own._owner = owner
        return own

    def noting(self, note: Callable[[Key, Value], None]) -> Recent[Key, Value]:
        """A view that reports each entry that `put` adds or replaces by another value."""
        own = copy(self)
        own._note = note
        return own

    def aside(self) -> Recent[Key, Value]:
        """A copy whose changes do not reach the original."""
        own = copy(self)
        with self._kept.lock:
            own._kept = copy(self._kept)
            own._kept.entries = self._kept.entries.copy()
        return own

    def put(self, key: Key, value: Value, now_s: float = 0.0) -> None:
        """Keep a value, and drop entries that are too many or too old."""
        own = self._owner, key
        with self._kept.lock:
            is_new = self._note is not None and self._kept.get(own, now_s) != value
            self._kept.put(own, value, now_s)
        if is_new and self._note is not None:
            self._note(key, value)

    def get(self, key: Key, now_s: float = 0.0) -> Value | None:
        """The value, or None if it was dropped. This counts as a use."""
        if not self._kept.entries:
            return None
        with self._kept.lock:
            return self._kept.get((self._owner, key), now_s)

    def change(self, key: Key, change: Callable[[Value | None], Value], now_s: float = 0.0) -> None:
        """Replace a value by what a function makes of it, atomically; it gets None if missing."""
        own = self._owner, key
        with self._kept.lock:
            self._kept.put(own, change(self._kept.get(own, now_s)), now_s)


class _Kept(Generic[Key, Value]):
    """The entries of all owners. The caller holds the lock."""

    def __init__(self, most: int, most_age_s: float, lock: AbstractContextManager[Any]) -> None:
        self.entries: OrderedDict[tuple[str, Key], tuple[float, Value]] = OrderedDict()
        self.lock = lock
        self._most = most
        self._most_age_s = most_age_s

    def put(self, key: tuple[str, Key], value: Value, now_s: float) -> None:
        """Keep a value, and drop entries that are too many or too old."""
        self.entries[key] = now_s, value
        self.entries.move_to_end(key)
        while len(self.entries) > self._most or self._is_old(next(iter(self.entries)), now_s):
            self.entries.popitem(last=False)

    def get(self, key: tuple[str, Key], now_s: float) -> Value | None:
        """The value, or None if it was dropped."""
        found = self.entries.get(key)
        if found is None or now_s - found[0] > self._most_age_s:
            return None
        self.entries[key] = now_s, found[1]
        self.entries.move_to_end(key)
        return found[1]

    def _is_old(self, key: tuple[str, Key], now_s: float) -> bool:
        return now_s - self.entries[key][0] > self._most_age_s

"""A mapping bounded in number and age: what was not asked for the longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import RLock
from typing import Generic, TypeVar

from batchwrap._forks import renew_in_child

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps what was used lately; safe for threads.

    Args:
        most: most entries.
        most_age_s: seconds for which an entry is kept without being asked for.
    """

    def __init__(self, most: int, most_age_s: float = float("inf")) -> None:
        self._most = most
        self._most_age_s = most_age_s
        self._kept: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._lock = RLock()  # the garbage collector may settle a stream while this is held
        renew_in_child(self)

    def after_fork(self) -> None:
        """The thread that held the lock does not exist in a child."""
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, key: Key, value: Value, now_s: float = 0.0) -> None:
        """Keep a value, and let go of those that are too many or too old."""
        with self._lock:
            self._kept[key] = now_s, value
            self._kept.move_to_end(key)
            while len(self._kept) > self._most or self._is_old(next(iter(self._kept)), now_s):
                self._kept.popitem(last=False)

    def get(self, key: Key, now_s: float = 0.0) -> Value | None:
        """The value, or None if it is forgotten; being asked for keeps it longer."""
        with self._lock:
            if key not in self._kept or self._is_old(key, now_s):
                return None
            value = self._kept[key][1]
            self._kept[key] = now_s, value
            self._kept.move_to_end(key)
            return value

    def _is_old(self, key: Key, now_s: float) -> bool:
        return now_s - self._kept[key][0] > self._most_age_s

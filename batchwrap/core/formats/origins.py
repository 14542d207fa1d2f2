"""Finds the model's call from which a call in the agent view was made."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from batchwrap.core.formats.format import OriginOf

T = TypeVar("T")


class Origins(Generic[T]):
    """The model's calls of one answer, by the ids that they have in the agent view.

    Args:
        origin_of: returns the part of a provider's id that derived ids hold.
    """

    __slots__ = ("_known", "_nameless", "_origin_of")

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._known: dict[str, T] = {}
        # Calls without an id of the provider's. The agent gets each under a new id, in this order.
        self._nameless: deque[T] = deque()

    def came(self, call_id: object, call: T) -> None:
        """Record a call that the provider has begun."""
        origin, _ = self._read(call_id)
        if origin:
            self._known[origin] = call
        else:
            self._nameless.append(call)

    def of(self, call_id: object) -> tuple[T | None, bool]:
        """The model's call for an id in the agent view, and whether the id is that of an item.

        The call is None if it is unknown.
        """
        origin, is_derived = self._read(call_id)
        call = self._known.get(origin)
        if call is None and self._nameless:
            call = self._nameless.popleft()
            if origin:
                self._known[origin] = call
        return call, is_derived

    def _read(self, call_id: object) -> tuple[str, bool]:
        return self._origin_of(call_id) if isinstance(call_id, str) else ("", False)

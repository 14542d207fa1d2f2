"""Which of the model's calls a call comes from that the agent has got."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from batchwrap.core.formats.format import OriginOf

T = TypeVar("T")


class Origins(Generic[T]):
    """The model's calls, found by the ids that the agent knows them or their items by.

    Args:
        origin_of: tells what derived ids keep of an id.
    """

    __slots__ = ("_known", "_nameless", "_origin_of")

    def __init__(self, origin_of: OriginOf) -> None:
        self._origin_of = origin_of
        self._known: dict[str, T] = {}
        self._nameless: deque[T] = deque()  # without an id: the agent gets each under a new one

    def came(self, call_id: object, call: T) -> None:
        """The provider has begun a call."""
        origin, _ = self._read(call_id)
        if origin:
            self._known[origin] = call
        else:
            self._nameless.append(call)

    def of(self, call_id: object) -> tuple[T | None, bool]:
        """Where a call comes from that goes out, and whether it is only an item of that."""
        origin, is_derived = self._read(call_id)
        call = self._known.get(origin)
        if call is None and self._nameless:
            call = self._nameless.popleft()
            if origin:
                self._known[origin] = call
        return call, is_derived

    def _read(self, call_id: object) -> tuple[str, bool]:
        return self._origin_of(call_id) if isinstance(call_id, str) else ("", False)

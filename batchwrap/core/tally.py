"""What happened in one exchange: counters and events, handed to `stats` at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from batchwrap.options import Event, EventName

# A stream may need a repair in each of its chunks; all of them are counted, not all are told.
MOST_EVENTS = 1_000


class Tally:
    """Counters by the field names of `Stats`, and the events in their order.

    Args:
        clock: tells when an event happens, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = float) -> None:
        self._clock = clock
        self.counts: Counter[str] = Counter()
        self.events: list[Event] = []

    def add(self, counter: str, amount: float = 1) -> None:
        """Count something."""
        self.counts[counter] += amount  # type: ignore[assignment]  # seconds are floats

    def note(self, name: EventName, **data: Any) -> None:
        """Record an event; never contents, never keys."""
        if len(self.events) == MOST_EVENTS:
            self.events.pop()  # the newest takes the last place: it may say how it ended
        self.events.append(Event(name=name, data=data, at_unix_s=self._clock()))

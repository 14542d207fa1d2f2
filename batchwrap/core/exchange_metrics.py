"""What is counted and recorded of one exchange. `stats` adds it up when the exchange ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from batchwrap.options import Event, EventName

# A stream may need a repair in every chunk. All are counted; the number of events is bounded.
MOST_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class ScriptTrace:
    """The course of one script of the model, told when nothing of it waits any more.

    Attributes:
        tool: the tool that the model called to run it.
        ended: how it ended, as in the event ``script``.
        waves: when each wave of its calls was handed out, in seconds since 1970, and how many.
        ended_at_unix_s: when the model is told of it.
    """

    tool: str
    ended: str
    waves: Sequence[tuple[float, int]]
    ended_at_unix_s: float


class ExchangeMetrics:
    """Counters by the field names of `Stats`, and the events in their order.

    Args:
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = float) -> None:
        self._clock = clock
        self.counts: Counter[str] = Counter()
        self.events: list[Event] = []
        self.scripts: list[ScriptTrace] = []

    @property
    def now_unix_s(self) -> float:
        """The current time in seconds since 1970."""
        return self._clock()

    def add(self, counter: str, amount: float = 1) -> None:
        """Count something."""
        self.counts[counter] += amount  # type: ignore[assignment]  # seconds are floats

    def note(self, name: EventName, **data: Any) -> None:
        """Record an event. `data` never holds contents or keys."""
        if len(self.events) == MOST_EVENTS:
            self.events.pop()  # the newest replaces the last: it may be the outcome
        self.events.append(Event(name=name, data=data, at_unix_s=self._clock()))

"""The last turns of the last conversations, and the last refusals: names, sizes and times.

A conversation is numbered in the order in which it was first seen, or, if several processes serve
one port, has a name that is the same in all of them. It is found again by a digest of its
beginning, which is shown to nobody.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import count
from typing import Any

from batchwrap.core.exchange.outline import readable
from batchwrap.options import Event

MOST_CONVERSATIONS, MOST_TURNS, MOST_REFUSALS = 8, 12, 12
LONGEST_NAME = 100
# What of the end of a request is shown of a turn.
_SHOWN = (
    *("model", "status", "error", "local", "stream", "said", "got", "held", "round_trips"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "duration_s", "waited_s"),
)


class Recents:
    """Keeps what happened last, fed with the events of a wrapped client.

    Args:
        alias: returns what a conversation is called, given its digest; None: they are numbered.
    """

    def __init__(self, alias: Callable[[str], str] | None = None) -> None:
        numbers = count(1)
        self._number: Callable[[str], int | str] = alias or (lambda digest: next(numbers))
        self._named: OrderedDict[str, tuple[int | str, deque[dict[str, Any]]]] = OrderedDict()
        self._refusals: deque[dict[str, Any]] = deque(maxlen=MOST_REFUSALS)

    def take(self, event: Event) -> None:
        """Keep an event, if it is the end of a request or a refusal."""
        if event.name == "refused":
            self._refusals.append({"at": event.at_unix_s, **_short(event.data)})
        elif event.name == "ended":
            name = event.data.get("conversation", "")
            found = self._named.pop(name, None)
            if found is None:
                found = self._number(name) if name else 0, deque(maxlen=MOST_TURNS)
            self._named[name] = found  # the newest is the last
            facts = {key: event.data[key] for key in _SHOWN if key in event.data}
            found[1].append({"at": event.at_unix_s, **_short(facts)})
            if len(self._named) > MOST_CONVERSATIONS:
                self._named.popitem(last=False)

    @property
    def conversations(self) -> list[dict[str, Any]]:
        """The last conversations, the newest first, each with its last turns, oldest first.

        Requests that were not understood have no conversation and are listed as number 0.
        """
        return [
            {"number": number, "turns": list(turns)}
            for number, turns in reversed(list(self._named.values()))
        ]

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """The last refusals, the newest first."""
        return list(reversed(self._refusals))


def _short(facts: Any) -> dict[str, Any]:
    """The facts, with long texts cut: clients choose the names of models."""
    return {
        name: readable(fact, LONGEST_NAME) if isinstance(fact, str) else fact
        for name, fact in facts.items()
    }

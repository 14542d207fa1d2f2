"""What the provider did in one arm: from its own journal, or from batchwrap's counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import batchwrap
from batchwrap.lab import Entry
from batchwrap.options import Event

Clock = Callable[[], float]

# Options of `wrap` with which it counts, and does nothing else.
ONLY_COUNTS: Mapping[str, Any] = dict.fromkeys(("batching", "reminders", "throttle", "repair"))


@dataclass(frozen=True, slots=True)
class TokensSpent:
    """Tokens, prompt and output, of one answer.

    Attributes:
        at_s: when it was complete, in seconds from the arm's start.
        tokens: how many.
    """

    at_s: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the provider did in one arm. Seconds are the provider's.

    Attributes:
        round_trips: requests that were answered with status 200.
        prompt_tokens: as the provider counted them; None if it did not say.
        completion_tokens: the same of the output.
        refusals: requests that were answered with status 429.
        served_s: the durations of the requests that were answered, added up.
        spent: the tokens over time.
        refused_at_s: when the refusals came, from the arm's start.
    """

    round_trips: int
    prompt_tokens: int | None
    completion_tokens: int | None
    refusals: int
    served_s: float
    spent: tuple[TokensSpent, ...]
    refused_at_s: tuple[float, ...]


def read_journal(journal: Sequence[Entry], started_s: float) -> Book:
    """The book of a simulated provider.

    Args:
        journal: what the lab wrote down.
        started_s: when the arm started, by the lab's clock.
    """
    chats = [entry for entry in journal if entry.is_chat]
    served = [entry for entry in chats if entry.status == 200]
    refused = [entry for entry in chats if entry.status == 429]
    return Book(
        round_trips=len(served),
        prompt_tokens=sum(entry.prompt_tokens for entry in served),
        completion_tokens=sum(entry.completion_tokens for entry in served),
        refusals=len(refused),
        served_s=sum(entry.ended_s - entry.started_s for entry in served),
        spent=tuple(
            TokensSpent(entry.ended_s - started_s, entry.prompt_tokens + entry.completion_tokens)
            for entry in served
        ),
        refused_at_s=tuple(entry.ended_s - started_s for entry in refused),
    )


class UsageBook:
    """Keeps the book of a real provider, by `batchwrap.stats` after each turn of the agent.

    `asked` is for the http client's request hook, `event` for `wrap(on_event=…)`.

    Args:
        clock: gives seconds; those of a simulated provider, where there is one.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._client: object = None
        self._asked_s = self._served_s = 0.0
        self._tokens = self._local = 0
        self._spent: list[TokensSpent] = []
        self._refused_at_s: list[float] = []

    def watch(self, client: object) -> None:
        """Name the wrapped client whose counters are read."""
        self._client = client

    def asked(self, _: object) -> None:
        """The SDK sends a request, or sends one again."""
        self._asked_s = self._clock()

    def event(self, event: Event) -> None:
        """batchwrap did something. What it retried itself it tells when the request is over."""
        if event.name == "refused":
            self._refused_at_s.append(self._clock())

    def turn(self) -> None:
        """An answer is complete. One that came without a round trip is not in the book."""
        stats, now_s = batchwrap.stats(self._client), self._clock()
        if stats.local_answers > self._local:
            self._local = stats.local_answers
            return
        total = stats.prompt_tokens + stats.completion_tokens
        self._spent.append(TokensSpent(now_s, total - self._tokens))
        self._tokens = total
        self._served_s += now_s - self._asked_s

    def book(self, started_s: float) -> Book:
        """The book as it is now.

        Args:
            started_s: when the arm started, by the same clock.
        """
        stats = batchwrap.stats(self._client)
        is_reported = stats.prompt_tokens > 0
        return Book(
            round_trips=stats.round_trips - stats.refusals,
            prompt_tokens=stats.prompt_tokens if is_reported else None,
            completion_tokens=stats.completion_tokens if is_reported else None,
            refusals=stats.refusals,
            # What batchwrap itself waits lies between the hook and the answer.
            served_s=max(0.0, self._served_s - stats.waited_s),
            spent=tuple(TokensSpent(one.at_s - started_s, one.tokens) for one in self._spent),
            refused_at_s=tuple(at_s - started_s for at_s in self._refused_at_s),
        )

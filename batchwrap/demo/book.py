"""The figures of one arm (its `Book`), from the provider's journal or from batchwrap's counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import batchwrap
from batchwrap.lab import Entry
from batchwrap.options import Event

Clock = Callable[[], float]

# The options of `wrap` with every part switched off, so that it only counts.
ONLY_COUNTS: Mapping[str, Any] = dict.fromkeys(
    ("batching", "reminders", "throttle", "repair", "config")
)


@dataclass(frozen=True, slots=True)
class TokensSpent:
    """The tokens of prompt and output of one answer.

    Attributes:
        at_s: when the answer was complete, in seconds from the arm's start.
        tokens: the number of tokens.
    """

    at_s: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the provider did in one arm. Times are provider time.

    Attributes:
        round_trips: the requests that were answered with status 200.
        prompt_tokens: the prompt tokens; None if the provider reports none.
        completion_tokens: the output tokens; None if the provider reports none.
        refusals: the requests that were answered with status 429.
        served_s: the total duration of the requests that were answered.
        spent: the tokens over time.
        refused_at_s: the times of the refusals, from the arm's start.
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
        journal: the entries of the lab's journal.
        started_s: the start of the arm, by the lab's clock.
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
    """Keeps the book of a real provider, with `batchwrap.stats` after each turn of the agent.

    `asked` is for the http client's request hook, `event` for `wrap(on_event=…)`.

    Args:
        clock: returns seconds: the simulated provider's, or real ones.
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
        """Record that the SDK sends a request, or sends one again."""
        self._asked_s = self._clock()

    def event(self, event: Event) -> None:
        """Record a refusal. Refusals that batchwrap retried come when the request has ended."""
        if event.name == "refused":
            self._refused_at_s.append(self._clock())

    def turn(self) -> None:
        """Record that an answer is complete. One without a round trip is not in the book."""
        stats, now_s = batchwrap.stats(self._client), self._clock()
        if stats.local_answers > self._local:
            self._local = stats.local_answers
            return
        total = stats.prompt_tokens + stats.completion_tokens
        self._spent.append(TokensSpent(now_s, total - self._tokens))
        self._tokens = total
        self._served_s += now_s - self._asked_s

    def book(self, started_s: float) -> Book:
        """The current book.

        Args:
            started_s: the start of the arm, by the same clock.
        """
        stats = batchwrap.stats(self._client)
        is_reported = stats.prompt_tokens > 0
        return Book(
            round_trips=stats.round_trips - stats.refusals,
            prompt_tokens=stats.prompt_tokens if is_reported else None,
            completion_tokens=stats.completion_tokens if is_reported else None,
            refusals=stats.refusals,
            # The time that batchwrap itself waited is between the hook and the answer.
            served_s=max(0.0, self._served_s - stats.waited_s),
            spent=tuple(TokensSpent(one.at_s - started_s, one.tokens) for one in self._spent),
            refused_at_s=tuple(at_s - started_s for at_s in self._refused_at_s),
        )

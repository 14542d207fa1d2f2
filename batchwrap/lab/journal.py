"""The journal: the requests that the simulated provider got, and their outcomes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# How the paths end where a model is asked for a turn: those of the APIs, Google's, and Amazon's.
_TURNS = (
    *("/chat/completions", "/responses", "/messages", ":rawPredict", ":streamRawPredict"),
    *("/invoke", "/invoke-with-response-stream"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request that has ended.

    Attributes:
        method: the HTTP method.
        path: the path, without the query.
        query: the query, without its question mark.
        headers: the request's headers by lower-case name; a repeated one joined by commas.
        body: the request's body, to the byte.
        json: the parsed body; None if it is not JSON.
        status: the status that was sent; 499 if the client left before there was one.
        prompt_tokens: tokens of the prompt; 0 if it was not counted.
        completion_tokens: tokens generated, over all choices, until the request ended.
        started_s: provider seconds from the server's start until the request came.
        ended_s: the same until it ended.
        stream: whether a stream was asked for.
        cancelled: whether the client left before the response was complete.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    json: Any
    status: int
    prompt_tokens: int
    completion_tokens: int
    started_s: float
    ended_s: float
    stream: bool
    cancelled: bool

    @property
    def is_chat(self) -> bool:
        """Whether it is a request for a chat completion."""
        return self.path.endswith("/chat/completions")

    @property
    def is_turn(self) -> bool:
        """Whether it asks for a turn of a conversation, at whichever API."""
        is_count = self.path.endswith("/count-tokens:rawPredict")
        return self.method == "POST" and self.path.endswith(_TURNS) and not is_count


class Journal:
    """Entries in the order in which the requests ended. Thread-safe.

    An entry is in it before the client has the last bytes of the response.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._running = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Record that a request has come."""
        with self._changed:
            self._running += 1

    def end(self, entry: Entry) -> None:
        """Record that a request has ended."""
        with self._changed:
            # Both under one lock, so `wait_idle` never returns before the last entry is there.
            self._running -= 1
            self._entries.append(entry)
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove all entries; running requests stay counted."""
        with self._changed:
            self._entries.clear()

    def entries(self) -> list[Entry]:
        """A copy of the entries."""
        with self._changed:
            return list(self._entries)

    @property
    def round_trips(self) -> int:
        """How many turns, at whichever API, were answered with status 200."""
        return sum(entry.is_turn and entry.status == 200 for entry in self.entries())

    @property
    def refusals(self) -> int:
        """How many requests were answered with status 429."""
        return sum(entry.status == 429 for entry in self.entries())

    def wait_idle(self, timeout_s: float) -> None:
        """Return when no request is running.

        Raises:
            TimeoutError: one still is after `timeout_s` seconds of wall time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._running == 0, timeout_s):
                raise TimeoutError(f"{self._running} requests still run after {timeout_s:g} s")

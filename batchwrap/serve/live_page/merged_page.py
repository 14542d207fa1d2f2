"""What several processes show on the page, as one.

Counters add up, also those of processes that have ended. Buckets are shared: those of the process
that was asked count, and those that only another one has used are added. A conversation whose
requests went to several processes has the turns of all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import add
from typing import Any

import orjson

from batchwrap.serve.live_page.recent_turns import (
    MOST_CONVERSATIONS,
    MOST_REFUSALS,
    MOST_TURNS,
)
from batchwrap.serve.peers import Publication
from batchwrap.serve.sampler import KEPT, MOST_ACCOUNTS, PERIOD_S

MOST_WAITING = 20
State = dict[str, Any]


def merge(states: Sequence[State], numbers: Iterable[int]) -> State:
    """What the page shows of several processes.

    Args:
        states: what each of them shows, the one that was asked first.
        numbers: those of the samples that are wanted.
    """
    return {
        "began": min(one["began"] for one in states),
        "counters": _sums(states, "counters"),
        "repairs": _sums(states, "repairs"),
        "defects": _sums(states, "defects"),
        "accounts": _accounts(states),
        "waiting": longest_waiting(_all(states, "waiting")),
        "waiting_count": sum(one["waiting_count"] for one in states),
        "refusals": sorted(_all(states, "refusals"), key=_at, reverse=True)[:MOST_REFUSALS],
        "conversations": _conversations(_all(states, "conversations")),
        "samples": _samples(states, numbers),
    }


def read(texts: Iterable[bytes]) -> list[State]:
    """What processes have published; a file that a failing disk has changed is left out."""
    found: list[State] = []
    for text in texts:
        with suppress(orjson.JSONDecodeError):
            found.append(orjson.loads(text))
    return found


def longest_waiting(waiting: Iterable[State]) -> list[State]:
    """Of the waiting requests, those that are shown."""
    return sorted(waiting, key=lambda one: one["waited_s"], reverse=True)[:MOST_WAITING]


def _absorb(ended: bytes, own: bytes) -> bytes:
    """What stays of processes that have ended: they use no buckets, and nobody waits in them."""
    states = [
        {**one, "accounts": [], "waiting": [], "waiting_count": 0} for one in read([ended, own])
    ]
    if not states:
        return b""
    numbers = sorted({row["n"] for row in _all(states, "samples")})[-KEPT:]
    merged = merge(states, numbers)
    merged["samples"] = [{**row, "levels": {}} for row in merged["samples"]]
    return orjson.dumps(merged)


PAGE_STATE = Publication("page", _absorb)


def _all(states: Iterable[State], name: str) -> Iterable[State]:
    return (it for one in states for it in one[name])


def _at(one: State) -> float:
    at: float = one["at"]
    return at


def _sums(states: Iterable[State], name: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for one in states:
        counts.update(one[name])
    return dict(counts)


def _accounts(states: Iterable[State]) -> list[State]:
    """The accounts of all, always in the same order."""
    found: dict[tuple[str, str], State] = {}
    for one in _all(states, "accounts"):
        key = one["account"], one["scope"]
        # A process that has had no answer yet may not know the limits that the provider tells.
        if not found.get(key, {"limits": []})["limits"]:
            found[key] = one
    return [one for _, one in sorted([*found.items()][:MOST_ACCOUNTS], key=lambda item: item[0])]


def _conversations(parts: Iterable[State]) -> list[State]:
    """The last conversations, the newest first, each with its last turns, oldest first."""
    turns: dict[Any, list[State]] = {}
    for part in parts:
        turns.setdefault(part["number"], []).extend(part["turns"])
    found = [
        {"number": number, "turns": sorted(of_one, key=_at)[-MOST_TURNS:]}
        for number, of_one in turns.items()
    ]
    found.sort(key=lambda one: _at(one["turns"][-1]), reverse=True)
    return found[:MOST_CONVERSATIONS]


def _samples(states: Iterable[State], numbers: Iterable[int]) -> list[State]:
    """The samples with these numbers. What a process has not changed, it has not published again.

    Tokens add up, levels of buckets do not.
    """
    published = [
        (one["began"] // PERIOD_S, [row["n"] for row in one["samples"]], one["samples"])
        for one in states
        if one["samples"]
    ]
    found = []
    for number in numbers:
        tokens, levels = [0, 0, 0], dict[str, Any]()
        for began, known, rows in published:
            if number < began:
                continue
            # Before the first one that is kept, nothing else is known.
            row = rows[max(0, bisect_right(known, number) - 1)]
            tokens = [*map(add, tokens, row["tokens"])]
            if row["n"] <= number:
                levels = row["levels"] | levels
        found.append({"n": number, "tokens": tokens, "levels": levels})
    return found

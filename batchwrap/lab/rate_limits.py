"""The simulated provider's rate limits: pure arithmetic that takes the time as an argument.

It shares no code with batchwrap's limiter on purpose: a mistake in shared code would cancel out,
and no test could find it. The rule is the one that Cerebras documents
(https://inference-docs.cerebras.ai/support/rate-limits): a request reserves its prompt and
the output that it may have, and is settled to real use when it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from batchwrap.errors import ConfigError

# A tolerance for the rounding of floats, far below one token.
_TOLERANCE = 1e-6
# It is unknown when a running request ends, so providers name a round number.
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit that the simulated provider enforces.

    Args:
        kind: what is counted: ``"requests"``, ``"tokens"`` (prompt and output), or
            ``"concurrency"`` (requests that run at the same time; it has no period).
        amount: how many in `per_s`.
        per_s: the period in provider seconds: 60 for "per minute".
        mode: ``"continuous"`` is a bucket that starts full and refills evenly up to
            `amount`; ``"fixed"`` are windows of `per_s`, the first beginning when the
            server starts.

    Raises:
        ConfigError: a value is invalid.
    """

    kind: Literal["requests", "tokens", "concurrency"]
    amount: float
    per_s: float = 60.0
    mode: Literal["continuous", "fixed"] = "continuous"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("kind", self.kind, ("requests", "tokens", "concurrency")),
            ("mode", self.mode, ("continuous", "fixed")),
        ):
            if value not in allowed:
                raise ConfigError(f"RateLimit.{name}", f"{value!r} is not one of {allowed}")
        for name, number in (("amount", self.amount), ("per_s", self.per_s)):
            if not (number > 0 and math.isfinite(number)):
                raise ConfigError(f"RateLimit.{name}", f"{number!r} is not a number above 0")


@dataclass(frozen=True, slots=True)
class RateLimitStanding:
    """The state of a limit.

    Attributes:
        limit: the limit.
        remaining: what can be taken now, in the limit's unit.
        reset_s: provider seconds until it is full again.
    """

    limit: RateLimit
    remaining: float
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateLimitRefusal:
    """Why a request was not admitted: the limit with the longest wait.

    Attributes:
        limit: the limit.
        requested: what the request needs of it.
        remaining: what is left of it now.
        wait_s: provider seconds until it would have enough; infinite if it never will.
    """

    limit: RateLimit
    requested: float
    remaining: float
    wait_s: float


@dataclass(slots=True)
class RateLimitReservation:
    """What an admitted request holds until it is settled.

    Attributes:
        tokens: how many were reserved.
        marks: one for each limit: the period in which it was taken.
        settled: whether it is settled already.
    """

    tokens: float
    marks: tuple[int, ...]
    settled: bool = False


class RateLimitLedger:
    """The ledger of one account over all its limits. Not thread-safe.

    `now_s` is the time in provider seconds since the server's start; it never decreases.
    """

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._buckets = [_bucket(limit) for limit in limits]

    def reserve(self, now_s: float, tokens: float) -> RateLimitReservation | RateLimitRefusal:
        """Take one request and `tokens` from all limits, or nothing from any."""
        refusals = []
        for bucket in self._buckets:
            # Every limit is checked before anything is taken, so a refusal costs nothing.
            cost, remaining = _cost(bucket.limit, tokens), bucket.remaining(now_s)
            if cost > remaining + _TOLERANCE:
                wait_s = bucket.wait_s(now_s, cost) if cost <= bucket.limit.amount else math.inf
                refusals.append(RateLimitRefusal(bucket.limit, cost, max(0.0, remaining), wait_s))
        if refusals:
            # A 429 names one limit: the one for which the client has to wait longest.
            return max(refusals, key=lambda refusal: refusal.wait_s)
        marks = tuple(b.take(now_s, _cost(b.limit, tokens)) for b in self._buckets)
        return RateLimitReservation(tokens, marks)

    def settle(self, now_s: float, reservation: RateLimitReservation, tokens: float) -> None:
        """Replace a reservation by the tokens that were used; a second call does nothing."""
        if reservation.settled:
            return
        reservation.settled = True
        for bucket, mark in zip(self._buckets, reservation.marks, strict=True):
            if bucket.limit.kind == "tokens":
                bucket.give_back(now_s, reservation.tokens - tokens, mark)
            elif bucket.limit.kind == "concurrency":
                bucket.give_back(now_s, 1.0, mark)

    def standings(self, now_s: float) -> list[RateLimitStanding]:
        """The state of each limit with a period, in the order in which they were given."""
        return [
            RateLimitStanding(b.limit, max(0.0, b.remaining(now_s)), b.reset_s(now_s))
            for b in self._buckets
            if b.limit.kind != "concurrency"
        ]


class _Bucket(Protocol):
    limit: RateLimit

    def remaining(self, now_s: float) -> float: ...
    def take(self, now_s: float, cost: float) -> int: ...
    def give_back(self, now_s: float, cost: float, mark: int) -> None: ...
    def wait_s(self, now_s: float, cost: float) -> float: ...
    def reset_s(self, now_s: float) -> float: ...


class _Continuous:
    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._level = float(limit.amount)
        self._at_s = 0.0
        self._rate = limit.amount / limit.per_s

    def remaining(self, now_s: float) -> float:
        refilled = self._level + max(0.0, now_s - self._at_s) * self._rate
        self._level = min(float(self.limit.amount), refilled)
        self._at_s = max(self._at_s, now_s)
        return self._level

    def take(self, now_s: float, cost: float) -> int:
        self._level = self.remaining(now_s) - cost
        return 0

    def give_back(self, now_s: float, cost: float, mark: int) -> None:
        # A negative cost means that a request used more than it reserved: the bucket goes
        # into debt. "Available quota = min(limit, limit + replenished - usage)".
        self._level = min(float(self.limit.amount), self.remaining(now_s) + cost)

    def wait_s(self, now_s: float, cost: float) -> float:
        return max(0.0, cost - self.remaining(now_s)) / self._rate

    def reset_s(self, now_s: float) -> float:
        return self.wait_s(now_s, self.limit.amount)


class _Fixed:
    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._window = 0
        self._used = 0.0

    def remaining(self, now_s: float) -> float:
        window = int(now_s // self.limit.per_s)
        if window > self._window:
            self._window, self._used = window, 0.0
        return self.limit.amount - self._used

    def take(self, now_s: float, cost: float) -> int:
        self.remaining(now_s)
        self._used += cost
        return self._window

    def give_back(self, now_s: float, cost: float, mark: int) -> None:
        self.remaining(now_s)
        if mark == self._window:  # usage in an earlier window stays there
            self._used = max(0.0, self._used - cost)

    def wait_s(self, now_s: float, cost: float) -> float:
        return self.limit.per_s - now_s % self.limit.per_s

    def reset_s(self, now_s: float) -> float:
        return self.limit.per_s - now_s % self.limit.per_s


class _Running:
    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._running = 0.0

    def remaining(self, now_s: float) -> float:
        return self.limit.amount - self._running

    def take(self, now_s: float, cost: float) -> int:
        self._running += cost
        return 0

    def give_back(self, now_s: float, cost: float, mark: int) -> None:
        self._running -= cost

    def wait_s(self, now_s: float, cost: float) -> float:
        return _PAUSE_S

    def reset_s(self, now_s: float) -> float:
        return 0.0


def _bucket(limit: RateLimit) -> _Bucket:
    if limit.kind == "concurrency":
        return _Running(limit)
    return _Continuous(limit) if limit.mode == "continuous" else _Fixed(limit)


def _cost(limit: RateLimit, tokens: float) -> float:
    return tokens if limit.kind == "tokens" else 1.0

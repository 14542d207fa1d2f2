"""Token buckets with continuous refill: all limits of a request together, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchwrap.core.limits.cost import Cost
from batchwrap.options import Limit


@dataclass(slots=True)
class _Bucket:
    limit: Limit
    level: float
    at_s: float

    def refill(self, now_s: float) -> None:
        # A clock that goes back refills nothing and loses nothing.
        passed = max(0.0, now_s - self.at_s)
        self.level = min(self.limit.capacity, self.level + passed * self.limit.rate)
        self.at_s = max(self.at_s, now_s)


class Buckets:
    """The buckets of one account. Time comes in as an argument, in seconds of any clock."""

    def __init__(self, limits: Sequence[Limit], now_s: float) -> None:
        self._buckets = [_Bucket(limit, limit.capacity, now_s) for limit in limits]
        self._closed_until_s = now_s

    def never_fits(self, cost: Cost) -> Limit | None:
        """The first limit that a request of this cost can never pass, or None."""
        for bucket in self._buckets:
            if cost.of(bucket.limit.kind) > bucket.limit.capacity:
                return bucket.limit
        return None

    def wait_s(self, cost: Cost, now_s: float) -> tuple[float, Limit | None]:
        """Seconds until this cost could be taken if nobody else came, and what it waits for.

        For a cost above a bucket's capacity (several requests in a row, say) it is the
        time in which so much is refilled.
        """
        longest, slowest = max(0.0, self._closed_until_s - now_s), None
        for bucket in self._buckets:
            bucket.refill(now_s)
            missing = cost.of(bucket.limit.kind) - bucket.level
            wait = missing / bucket.limit.rate
            if wait > longest:
                longest, slowest = wait, bucket.limit
        return longest, slowest

    def take(self, cost: Cost, now_s: float) -> None:
        """Take this cost from every bucket; a level may fall below zero."""
        self.give(Cost() - cost, now_s)

    def give(self, cost: Cost, now_s: float) -> None:
        """Give back what was reserved and not used (negative: take what was used beyond)."""
        for bucket in self._buckets:
            bucket.refill(now_s)
            level = bucket.level + cost.of(bucket.limit.kind)
            bucket.level = min(bucket.limit.capacity, level)

    def arrived(self, cost: Cost, now_s: float) -> None:
        """Take note that the provider has taken this cost by now.

        Its buckets were full at most when the request came. Ours began to refill when the
        cost was reserved, a network's delay before; without this they would run ahead of the
        provider's by that delay, and the first tight request would be refused.
        """
        for bucket in self._buckets:
            bucket.refill(now_s)
            most = bucket.limit.capacity - cost.of(bucket.limit.kind)
            bucket.level = min(bucket.level, most)

    def close(self, until_s: float) -> None:
        """Admit nothing before this time: the provider said so."""
        self._closed_until_s = max(self._closed_until_s, until_s)

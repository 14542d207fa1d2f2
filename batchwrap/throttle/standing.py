"""How full the buckets of one account are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from batchwrap.core.limits.state import Level, Snapshot
from batchwrap.options import Limit
from batchwrap.throttle.scope import LimitScope


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one account's buckets.

    Attributes:
        account: the name of the account.
        scope: the limits, which belong to the plan or to one of its models.
        now: their levels, and the running and waiting requests.
    """

    account: str
    scope: LimitScope
    now: Snapshot

    @property
    def levels(self) -> Iterator[tuple[Limit, Level, float | None]]:
        """Each limit, its level, and the seconds until it is full; None if that is unknown."""
        for limit, level in zip(self.scope.limits, self.now.levels, strict=True):
            ends = limit.kind != "concurrency"  # nobody knows when a running request ends
            yield limit, level, level.full_s if ends else None

"""The limits that share one set of buckets."""

from __future__ import annotations

from dataclasses import dataclass

from batchwrap.core.limits.cost import AMOUNT_OF, Cost
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account

# Headroom that takes longer to refill costs more time than the refusal that it may avoid.
_HEADROOM_S = 1.0


@dataclass(frozen=True, slots=True)
class LimitScope:
    """Limits that share one set of buckets in each account.

    Attributes:
        name: the name of the buckets: the plan, and the model if each model has its own buckets.
        limits: the limits.
        meters: the same limits, as the arithmetic needs them.
    """

    name: str
    limits: tuple[Limit, ...]
    meters: tuple[LimitMeter, ...]

    def key(self, account: Account) -> str:
        """The key of an account's buckets in a store."""
        return f"{account.name}:{self.name}"

    def limit(self, index: int | None) -> Limit | None:
        """The limit at an index that the arithmetic has returned; None for None."""
        return None if index is None else self.limits[index]

    def spent(self, cost: Cost, pace: float) -> list[float]:
        """What a settled request takes of each limit.

        Args:
            cost: what was used.
            pace: the pace at which the request was admitted.
        """
        return [AMOUNT_OF[limit.kind](cost) / pace for limit in self.limits]

    def reserved(
        self,
        cost: Cost,
        minimum: Cost,
        headroom: Cost,
        *,
        caution_s: float,
        pace: float,
        again: bool,
    ) -> list[float]:
        """What a request reserves of each limit.

        Args:
            cost: the estimate.
            minimum: the certain part of it; only this part can be too large.
            headroom: what the request may need beyond the estimate.
            caution_s: what is kept free beyond the estimate, in seconds of refill.
            pace: below 1, costs count for more, since the provider asked for slower growth.
            again: whether the provider has refused this request before.
        """
        amounts = []
        for limit, meter in zip(self.limits, self.meters, strict=True):
            amount_of = AMOUNT_OF[limit.kind]
            amount = amount_of(cost)
            if extra := amount_of(headroom):
                # A refused request seems to need the whole headroom.
                amount += extra if again else min(extra, meter.rate * _HEADROOM_S)
                amount += meter.rate * caution_s
            amounts.append(min(amount / pace, max(amount_of(minimum), meter.capacity)))
        return amounts

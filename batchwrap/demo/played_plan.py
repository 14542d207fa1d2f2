"""A plan's limits as the simulated provider enforces them, and as a wrapped client keeps them.

The lab counts requests, all tokens, and concurrency. It caches no prompts, so a limit of uncached
tokens is one of all tokens; limits of the input or the output alone are left out, and said to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from batchwrap.lab import RateLimit
from batchwrap.lab.dialects import period
from batchwrap.options import Limit
from batchwrap.providers import plan

_KINDS: Mapping[str, Literal["requests", "tokens", "concurrency"]] = {
    "requests": "requests",
    "tokens": "tokens",
    "uncached_tokens": "tokens",
    "concurrency": "concurrency",
}


@dataclass(frozen=True, slots=True)
class PlayedPlan:
    """The limits of a simulation.

    Attributes:
        name: the plan that they are like.
        limits: those that the simulated provider enforces.
        left_out: those that it cannot count.
    """

    name: str
    limits: tuple[RateLimit, ...] = ()
    left_out: tuple[Limit, ...] = ()

    def kept(self, time_scale: float) -> list[Limit]:
        """The same limits for a client, which waits in real seconds.

        Args:
            time_scale: provider seconds in one real second.
        """
        return [
            # When a fixed period of the lab begins is not known to a client; the last seconds of
            # any length are safe.
            Limit(
                it.kind,
                it.amount,
                it.per_s / time_scale,
                "rolling" if it.mode == "fixed" else "continuous",
            )
            for it in self.limits
        ]

    def __str__(self) -> str:
        return " and ".join(map(_in_words, self.limits)) or "no limits"


def played(name: str) -> PlayedPlan:
    """A plan of batchwrap's, or of the user's own file, to be played in the lab.

    Raises:
        ConfigError: the plan does not exist, or the file is wrong.
    """
    limits = plan(name).limits
    return PlayedPlan(
        name,
        tuple(_enforced(it) for it in limits if it.kind in _KINDS),
        tuple(it for it in limits if it.kind not in _KINDS),
    )


def _enforced(limit: Limit) -> RateLimit:
    mode: Literal["continuous", "fixed"] = "fixed" if limit.mode == "fixed" else "continuous"
    return RateLimit(_KINDS[limit.kind], limit.amount, limit.per_s, mode)


def _in_words(limit: RateLimit) -> str:
    if limit.kind == "concurrency":
        return f"{limit.amount:,.0f} requests at a time"
    return f"{limit.amount:,.0f} {limit.kind} per {period(limit)}"

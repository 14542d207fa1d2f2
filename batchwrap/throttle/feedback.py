"""What a provider's answers teach about the limits of one scope.

Amounts are learned from headers only if the user names no limits and no plan; nothing is guessed.
Refusals change how much is reserved: if the provider asks for slower growth, every request counts
for more; if it refuses although the ledger had room, more is kept free.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchwrap._forks import ForkSafeLock
from batchwrap.core.limits.account import MAX_AMOUNT
from batchwrap.core.limits.cost import NOTHING, Cost
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.options import Limit, LimitMode

_log = logging.getLogger("batchwrap")

# A refusal for growth halves the pace, which recovers within some fifty requests.
_SLOWER, _FASTER, _SLOWEST = 0.5, 1.02, 0.05
# If a request is refused although the ledger had room, another client uses the account, or the
# estimates are poor. Each such refusal keeps another second of refill free, up to the maximum; each
# answer gives some back, half within some twenty. In the benchmark this halves the refusals beside
# another client.
_CAUTION_S, _FADES, _MAX_CAUTION_S = 1.0, 0.97, 12.0
# The shortest period of a limit that is used; the longest is `LONGEST_S`.
_SHORTEST_S = 1.0


@dataclass(eq=False, slots=True)
class Feedback:
    """What was learned about one scope. Thread-safe.

    Attributes:
        lock: held while any other attribute changes.
        limits: the limits that headers have named.
        pace: below 1, costs count for more, since the provider asked for slower growth.
        caution_s: what is kept free beyond the estimates, in seconds of refill.
    """

    lock: ForkSafeLock
    limits: tuple[Limit, ...] = ()
    pace: float = 1.0
    caution_s: float = 0.0
    _by_period: dict[tuple[str, float], Limit] = field(default_factory=dict)
    _has_warned: bool = False

    def learn_limits(
        self, observations: Sequence[Observation], proven: Cost = NOTHING
    ) -> list[float]:
        """Learn the limits that the provider's headers name.

        Args:
            observations: what an answer's headers say.
            proven: what the provider has just admitted for certain. A limit below that, or below 1,
                or with a period that no limit has, is not used.

        Returns:
            What was used of each limit before it was known; empty if nothing has changed.
        """
        with self.lock:
            before = self._by_period
            known, used = dict(before), dict[tuple[str, float], float]()
            for one in observations:
                if not one.limit or not one.per_s:
                    continue
                period = one.kind, one.per_s
                if not _is_plausible(one.limit, one.per_s, proven.of(one.kind)):
                    known.pop(period, None)
                    self._warn(one.kind, one.limit, one.per_s)
                    continue
                mode: LimitMode = "fixed" if one.reset_means == "window" else "continuous"
                known[period] = Limit(one.kind, one.limit, one.per_s, mode)
                if one.remaining is not None:
                    used[period] = max(0.0, one.limit - one.remaining)
            if known == before:
                return []
            self._by_period, self.limits = known, tuple(known.values())
            return [0.0 if period in before else used.get(period, 0.0) for period in known]

    def _warn(self, kind: str, limit: float, per_s: float) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the provider's headers name a limit of %g %s per %g s, which cannot be right, so "
                "it is not used",
                *(limit, kind.replace("_", " "), per_s),
            )

    def refused_for_growth(self) -> None:
        """Record that the provider asked for slower growth."""
        with self.lock:
            self.pace = max(_SLOWEST, self.pace * _SLOWER)

    def refused_for_bucket(self) -> None:
        """Record that the provider's bucket was empty although the ledger had room."""
        with self.lock:
            self.caution_s = min(self.caution_s + _CAUTION_S, _MAX_CAUTION_S)

    def answered(self) -> None:
        """Record an answer, after which pace and caution recover a little."""
        if self.pace < 1.0 or self.caution_s:
            with self.lock:
                self.pace = min(1.0, self.pace * _FASTER)
                self.caution_s *= _FADES


def _is_plausible(limit: float, per_s: float, proven: float) -> bool:
    """Whether a limit can be true: a request fits, and limits have such amounts and periods."""
    return max(1.0, proven) <= limit <= MAX_AMOUNT and _SHORTEST_S <= per_s <= LONGEST_S

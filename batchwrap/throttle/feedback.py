"""What a provider's answers teach about the limits of one scope.

Amounts are learned from headers only if the user names no limits and no plan; nothing is guessed.
Refusals change how much is reserved: if the provider asks for slower growth, every request counts
for more; if it refuses although the ledger had room, more is kept free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchwrap._forks import ForkSafeLock
from batchwrap.core.limits.headers import Observation
from batchwrap.options import Limit, LimitMode

# A refusal for growth halves the pace, which recovers within some fifty requests.
_SLOWER, _FASTER, _SLOWEST = 0.5, 1.02, 0.05
# If a request is refused although the ledger had room, another client uses the account, or the
# estimates are poor. Each such refusal keeps another second of refill free, up to the maximum; each
# answer gives some back, half within some twenty. In the benchmark this halves the refusals beside
# another client.
_CAUTION_S, _FADES, _MAX_CAUTION_S = 1.0, 0.97, 12.0


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

    def learn_limits(self, observations: Sequence[Observation]) -> list[float]:
        """Learn the limits that the provider's headers name.

        Returns:
            What was used of each limit before it was known; empty if nothing has changed.
        """
        with self.lock:
            before = self._by_period
            known, used = dict(before), dict[tuple[str, float], float]()
            for one in observations:
                if one.limit and one.limit > 0 and one.per_s:
                    mode: LimitMode = "fixed" if one.reset_means == "window" else "continuous"
                    known[one.kind, one.per_s] = Limit(one.kind, one.limit, one.per_s, mode)
                    if one.remaining is not None:
                        used[one.kind, one.per_s] = max(0.0, one.limit - one.remaining)
            if known == before:
                return []
            self._by_period, self.limits = known, tuple(known.values())
            return [0.0 if period in before else used.get(period, 0.0) for period in known]

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

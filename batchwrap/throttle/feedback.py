"""What the provider's answers say about the limits of one scope, as far as nobody else knows it.

Amounts are taken over from headers only where the user names no limits and no plan; nothing is
guessed. Refusals change how much is reserved: a provider that asks for slower growth makes every
request count for more, and a refusal although the ledger here had room keeps more free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchwrap._forks import ForkSafeLock
from batchwrap.core.limits.headers import Observation
from batchwrap.options import Limit, LimitMode

# A growth limit halves the pace; it comes back within some fifty requests.
_SLOWER, _FASTER, _SLOWEST = 0.5, 1.02, 0.05
# A refusal although the ledger had room: another client uses the account, or estimates are poor.
# So many seconds of refill more are kept free for each, up to the largest; an answer takes some of
# it back, half within some twenty. In the benchmark that halves the refusals beside another client.
_CAUTION_S, _FADES, _MAX_CAUTION_S = 1.0, 0.97, 12.0


@dataclass(eq=False, slots=True)
class Feedback:
    """What was learned about one scope; safe for threads.

    Attributes:
        lock: held while any of this changes.
        limits: those that headers have named.
        pace: below 1, costs count for more: the provider asked for slower growth.
        caution_s: what is kept free besides estimates, in seconds of refill.
    """

    lock: ForkSafeLock
    limits: tuple[Limit, ...] = ()
    pace: float = 1.0
    caution_s: float = 0.0
    _by_period: dict[tuple[str, float], Limit] = field(default_factory=dict)

    def learn_limits(self, observations: Sequence[Observation]) -> list[float]:
        """Take over the amounts that the provider names itself.

        Returns:
            What was used up of each limit before it was known; empty if nothing has changed.
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
        """The provider asked for slower growth."""
        with self.lock:
            self.pace = max(_SLOWEST, self.pace * _SLOWER)

    def refused_for_bucket(self) -> None:
        """The provider's bucket was empty when the ledger here had room."""
        with self.lock:
            self.caution_s = min(self.caution_s + _CAUTION_S, _MAX_CAUTION_S)

    def answered(self) -> None:
        """A request was answered: both recover a little."""
        if self.pace < 1.0 or self.caution_s:
            with self.lock:
                self.pace = min(1.0, self.pace * _FASTER)
                self.caution_s *= _FADES

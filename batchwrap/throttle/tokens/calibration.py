"""Learns from real usage by which factor a model's estimates are wrong.

A provider's tokenizer, its chat template and the text that it adds differ from ours by a factor
that hardly changes for one model. It is the weighted mean of the factors of the answers so far; the
latest ones count most.

The deviation of single answers from the factor is learned as well, as TCP does for its timeouts: an
estimate plus twice this deviation is hardly ever too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from batchwrap._forks import ForkSafeLock

# No tokenizer differs by more. Other reasons (usage that is counted in another way) must not make
# the limiter reserve nothing, or twice what fits.
LEAST, MOST = 0.5, 2.0
# The weight of the estimate before the first answer, whose own weight is below 1.
_PRIOR = 0.15
# Each new answer reduces the weight of earlier ones to this part: to half after three.
_KEPT = 0.8
# A prompt of this size has weight 0.5: in shorter ones the provider's own preamble dominates.
_HALF = 1_000
# After this many answers, a single answer may differ from the factor by this step only.
_SURE, _STEP = 3, 1.25
# The mean deviation. It begins with the error of another family's tokenizer, and moves towards each
# answer's by a tenth. Evenly distributed errors are all within twice their mean.
_UNKNOWN_SPREAD, _SPREAD_GAIN, _MARGIN = 0.1, 0.1, 2.0
_MOST_MODELS = 256


@dataclass(frozen=True, slots=True)
class Ratio:
    """The number of real tokens for each estimated one, as learned so far.

    Attributes:
        value: the factor, from `LEAST` to `MOST`.
        weight: the fading weight of the answers that it is based on.
        answers: how many there were.
        spread: the mean deviation of a single answer, as a part of the factor.
    """

    value: float = 1.0
    weight: float = _PRIOR
    answers: int = 0
    spread: float = _UNKNOWN_SPREAD

    def after(self, estimated: int, real: int) -> Ratio:
        """The ratio after one more answer; both arguments are tokens, above zero."""
        least, most = LEAST, MOST
        if self.answers >= _SURE:
            least, most = max(least, self.value / _STEP), min(most, self.value * _STEP)
        # The numbers are bounded first, since a usage may be too large for a float.
        seen = max(min(real, most * estimated), least * estimated) / estimated
        kept, new = self.weight * _KEPT, estimated / (estimated + _HALF)
        value = self.value + (seen - self.value) * new / (kept + new)
        spread = self.spread
        if self.answers >= _SURE:  # before that, the factor itself is not reliable
            spread += (abs(seen / self.value - 1) - spread) * new * _SPREAD_GAIN
        return Ratio(min(max(value, LEAST), MOST), kept + new, self.answers + 1, spread)


class Calibration:
    """The ratios of the models that were used recently. Thread-safe."""

    def __init__(self) -> None:
        self._ratios: dict[str, Ratio] = {}
        # Not a plain lock, since the garbage collector may close a stream, which calls `learn`,
        # while this thread holds the lock.
        self._lock = ForkSafeLock()

    def learn(self, model: str, estimated: int, real: int) -> None:
        """Learn from a prompt with this raw estimate and this real number of tokens."""
        if estimated <= 0 or real <= 0:
            return
        with self._lock:
            # Inserted again, so that the first one is always the least recently used.
            ratio = self._ratios.pop(model, Ratio())
            self._ratios[model] = ratio.after(estimated, real)
            if len(self._ratios) > _MOST_MODELS:
                del self._ratios[next(iter(self._ratios))]

    def apply(self, model: str, estimated: int) -> int:
        """The estimate, corrected by the model's answers so far and rounded up."""
        return ceil(estimated * self._ratio(model).value)

    def most(self, model: str, estimated: int) -> int:
        """The corrected estimate plus a margin, which prompts hardly ever exceed."""
        ratio = self._ratio(model)
        return ceil(estimated * ratio.value * (1 + _MARGIN * ratio.spread))

    def _ratio(self, model: str) -> Ratio:
        with self._lock:
            return self._ratios.get(model, Ratio())

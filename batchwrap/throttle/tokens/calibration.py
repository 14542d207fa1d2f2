"""What real usage teaches: by how much a model's estimates are off.

A provider's tokenizer and chat template differ from ours by a factor that hardly changes
for one model; so does what it adds itself. The factor is a weighted mean of what the
answers so far showed, the latest ones counting most.

By how much single answers are off from the factor is learned as well, as TCP does for its
timeouts: with twice that on top an estimate is hardly ever too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from batchwrap._forks import ForkSafeLock

# Further off is no tokenizer; what else it may be (usage counted in another way) must not
# make us reserve nothing, or twice what fits.
LEAST, MOST = 0.5, 2.0
# So much an estimate weighs before the first answer, whose own weight is below 1.
_PRIOR = 0.15
# Of what earlier answers weigh, after each new one: half after three.
_KEPT = 0.8
# A prompt of so many tokens weighs half: in short ones the provider's own preamble shows.
_HALF = 1_000
# After so many answers a single one is believed only so far from what they showed.
_SURE, _STEP = 3, 1.25
# The mean deviation. Before the first answers: as much as the tokenizer of another family is off.
# It follows an answer by a tenth. Errors that are spread evenly are all within twice their mean.
_UNKNOWN_SPREAD, _SPREAD_GAIN, _MARGIN = 0.1, 0.1, 2.0
_MOST_MODELS = 256


@dataclass(frozen=True, slots=True)
class Ratio:
    """Real tokens for each estimated one, as far as it is known.

    Attributes:
        value: the factor, from `LEAST` to `MOST`.
        weight: of the answers that it rests on, which fades.
        answers: how many there were.
        spread: by what part of the factor a single answer is off, on average.
    """

    value: float = 1.0
    weight: float = _PRIOR
    answers: int = 0
    spread: float = _UNKNOWN_SPREAD

    def after(self, estimated: int, real: int) -> Ratio:
        """The ratio after one more answer; both in tokens, above zero."""
        least, most = LEAST, MOST
        if self.answers >= _SURE:
            least, most = max(least, self.value / _STEP), min(most, self.value * _STEP)
        # The numbers are bounded first: a usage may be too large for a float.
        seen = max(min(real, most * estimated), least * estimated) / estimated
        kept, new = self.weight * _KEPT, estimated / (estimated + _HALF)
        value = self.value + (seen - self.value) * new / (kept + new)
        spread = self.spread
        if self.answers >= _SURE:  # before, it is the factor that is off
            spread += (abs(seen / self.value - 1) - spread) * new * _SPREAD_GAIN
        return Ratio(min(max(value, LEAST), MOST), kept + new, self.answers + 1, spread)


class Calibration:
    """The ratios of the models that were used lately. Safe to share by threads."""

    def __init__(self) -> None:
        self._ratios: dict[str, Ratio] = {}
        # Not a plain lock: the garbage collector may close a stream, which teaches us, while
        # this thread is in here.
        self._lock = ForkSafeLock()

    def learn(self, model: str, estimated: int, real: int) -> None:
        """Take in that a prompt estimated at so many tokens, uncalibrated, had so many."""
        if estimated <= 0 or real <= 0:
            return
        with self._lock:
            # Put in anew, so that the first one is always the one not used for longest.
            ratio = self._ratios.pop(model, Ratio())
            self._ratios[model] = ratio.after(estimated, real)
            if len(self._ratios) > _MOST_MODELS:
                del self._ratios[next(iter(self._ratios))]

    def apply(self, model: str, estimated: int) -> int:
        """The estimate as the model's answers so far suggest it, rounded up."""
        return ceil(estimated * self._ratio(model).value)

    def most(self, model: str, estimated: int) -> int:
        """What a prompt will hardly have more of."""
        ratio = self._ratio(model)
        return ceil(estimated * ratio.value * (1 + _MARGIN * ratio.spread))

    def _ratio(self, model: str) -> Ratio:
        with self._lock:
            return self._ratios.get(model, Ratio())

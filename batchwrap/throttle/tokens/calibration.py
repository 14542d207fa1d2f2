"""What real usage teaches: by how much a model's estimates are off.

A provider's tokenizer and chat template differ from ours by a factor that hardly changes
for one model; so does what it adds itself. The factor is a weighted mean of what the
answers so far showed, the latest ones counting most.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from threading import RLock

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
_MOST_MODELS = 256


@dataclass(frozen=True, slots=True)
class Ratio:
    """Real tokens for each estimated one, as far as it is known.

    Attributes:
        value: the factor, from `LEAST` to `MOST`.
        weight: of the answers that it rests on, which fades.
        answers: how many there were.
    """

    value: float = 1.0
    weight: float = _PRIOR
    answers: int = 0

    def after(self, estimated: int, real: int) -> Ratio:
        """The ratio after one more answer; both in tokens, above zero."""
        least, most = LEAST, MOST
        if self.answers >= _SURE:
            least, most = max(least, self.value / _STEP), min(most, self.value * _STEP)
        # The numbers are bounded first: a usage may be too large for a float.
        seen = max(min(real, most * estimated), least * estimated) / estimated
        kept, new = self.weight * _KEPT, estimated / (estimated + _HALF)
        value = self.value + (seen - self.value) * new / (kept + new)
        return Ratio(min(max(value, LEAST), MOST), kept + new, self.answers + 1)


class Calibration:
    """The ratios of the models that were used lately. Safe to share by threads."""

    def __init__(self) -> None:
        self._ratios: dict[str, Ratio] = {}
        # Not a plain lock: the garbage collector may close a stream, which teaches us, while
        # this thread is in here.
        self._lock = RLock()

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
        with self._lock:
            ratio = self._ratios.get(model)
        return estimated if ratio is None else ceil(estimated * ratio.value)

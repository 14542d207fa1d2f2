"""Counts ended requests by model and status, and how long they took and waited.

Clients choose the names of models and the upstream chooses the statuses, so both are bounded: what
comes beyond `MOST_MODELS` models or `MOST_OUTCOMES` outcomes is counted together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate

from batchwrap.core.exchange.outline import readable
from batchwrap.options import Event
from batchwrap.stats import OTHER_MODELS, bounded

MOST_MODELS, MOST_OUTCOMES = 64, 32
LONGEST_MODEL = 100
OTHER_OUTCOME = "other"
# The upper bounds of the histograms: 10 ms, 20 ms, … 164 s.
BOUNDS_S = tuple(0.01 * 2**power for power in range(15))
TOKENS = ("prompt", "cached", "completion")
_OK = 200

By = tuple[str, ...]


class Histogram:
    """How many durations there were up to each of `BOUNDS_S`, and their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Each bound as Prometheus writes it, and the number of durations up to it."""
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))


class Traffic:
    """The counts, fed with the events of a wrapped client.

    Attributes:
        ended: by model, outcome and source: the ended requests. The outcome is the HTTP status, or
            the kind of the error if there is none; the source is ``provider`` or ``local``.
        tokens: by model and one of `TOKENS`.
        round_trips: by model.
        durations: by model and source: from the request to the end of its answer.
        firsts: by model: from the request to the first event of its stream.
        waits: by model: for limits and after refusals; requests that did not wait count as 0.
    """

    def __init__(self) -> None:
        self.ended: Counter[By] = Counter()
        self.tokens: Counter[By] = Counter()
        self.round_trips: Counter[By] = Counter()
        self.durations: dict[By, Histogram] = {}
        self.firsts: dict[By, Histogram] = {}
        self.waits: dict[By, Histogram] = {}
        self._models: set[str] = set()
        self._outcomes: set[str] = set()

    def take(self, event: Event) -> None:
        """Count an event, if it is the end of a request."""
        if event.name != "ended":
            return
        data = event.data
        name = readable(str(data.get("model", "")), LONGEST_MODEL)
        model = bounded(name, self._models, MOST_MODELS, OTHER_MODELS)
        source = "local" if data.get("local") else "provider"
        said = data.get("error") or data.get("status") or (_OK if source == "local" else "none")
        outcome = bounded(str(said), self._outcomes, MOST_OUTCOMES, OTHER_OUTCOME)
        self.ended[model, outcome, source] += 1
        _add(self.durations, (model, source), data["duration_s"])
        if source == "local":
            return
        self.round_trips[model,] += data.get("round_trips", 0)
        _add(self.waits, (model,), data.get("waited_s", 0.0))
        if "first_s" in data:
            _add(self.firsts, (model,), data["first_s"])
        for kind in TOKENS:
            self.tokens[model, kind] += data.get(f"{kind}_tokens", 0)


def _add(histograms: dict[By, Histogram], by: By, seconds: float) -> None:
    if by not in histograms:
        histograms[by] = Histogram()
    histograms[by].add(seconds)

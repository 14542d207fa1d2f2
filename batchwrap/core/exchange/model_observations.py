"""What models and their endpoints turn out to do. It is forgotten with the process."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from batchwrap.core.moves.cap import Cap, Outcome

# What may be made of a request, and switched off by itself; `offer` is all but the others: `fold`
# is the history alone, and `usage` the question for a stream's usage.
Rewrite = Literal["offer", "fold", "usage"]

# Malformed multi-calls in a row after which a model is offered one step less.
_MOST_MALFORMED = 3
# Providers cache prompts of 1,024 tokens and more; a cache may miss once or twice.
_CACHEABLE_TOKENS = 2_048
_ENOUGH_MISSES = 3
# One batch in twenty reminders is where they break even: a reminder costs some 60 tokens in
# each of the requests that follow, a round trip the whole context. A directive that 15 % of
# the time is followed has none in twenty once in 26 times.
_ENOUGH_REMINDERS = 20
_WORTH_IT = 0.05
# The middle one of the last answers: one that the agent read slowly does not count.
_PACES = 9


# Callers of `serve` name models, one for each request if they like; what is known of the one that
# was not used for longest is dropped.
MOST_MODELS = 256


@dataclass(slots=True)
class _Observed:
    """What one model turned out to do.

    Attributes:
        off: rewrites that its endpoint does not take.
        malformed: malformed multi-calls in a row.
        steps: how often these were so many that it is offered less.
        misses: prompts that could have been cached and were not.
        caches: whether any prompt was.
        cap: of its batches of edits.
        judged: reminders that were judged, by directive.
        followed: those of them that were followed.
        paces: tokens in a second, of its last answers.
    """

    off: set[Rewrite] = field(default_factory=set)
    malformed: int = 0
    steps: int = 0
    misses: int = 0
    caches: bool = False
    cap: Cap | None = None
    judged: Counter[str] = field(default_factory=Counter)
    followed: Counter[str] = field(default_factory=Counter)
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=_PACES))

    def converts(self, directive: str) -> bool:
        """Whether a directive is followed often enough, as far as is known."""
        judged = self.judged[directive]
        return judged < _ENOUGH_REMINDERS or self.followed[directive] >= _WORTH_IT * judged


class ModelObservations:
    """By model, since endpoints differ in what they do for each.

    Args:
        lock: held during each change; without one it is for a single thread.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        self._models: OrderedDict[str, _Observed] = OrderedDict()
        self._lock = lock or nullcontext()

    def __len__(self) -> int:
        return len(self._models)

    def aside(self) -> ModelObservations:
        """A copy: what it takes note of nobody else sees."""
        own = copy(self)
        with self._lock:
            own._models = deepcopy(self._models)
        return own

    def switch_off(self, model: object, rewrite: Rewrite) -> None:
        """Remember that this model's endpoint does not take what a rewrite makes of requests."""
        with self._lock:
            self._noted(model).off.add(rewrite)

    def is_off(self, model: object, rewrite: Rewrite) -> bool:
        """Whether requests to this model go out without a rewrite."""
        return rewrite in self._known(model).off

    def judge_call(self, model: object, *, malformed: bool) -> None:
        """Take note of how a model's multi-call turned out."""
        with self._lock:
            seen = self._noted(model)
            in_a_row = seen.malformed + 1 if malformed else 0
            seen.steps += in_a_row == _MOST_MALFORMED
            seen.malformed = in_a_row % _MOST_MALFORMED

    def steps_back(self, model: object) -> int:
        """How often a model made so many malformed multi-calls in a row that it needs less."""
        return self._known(model).steps

    def judge_edits(self, model: object, outcomes: Sequence[Outcome], ceiling: int) -> None:
        """Take note of how a model's edits turned out."""
        if not outcomes:
            return
        with self._lock:
            seen = self._noted(model)
            seen.cap = seen.cap or Cap.of(ceiling)
            for outcome in outcomes:
                seen.cap.take(outcome)

    def most_items(self, model: object, ceiling: int) -> int:
        """The cap for the model's next conversation."""
        cap = self._known(model).cap
        return ceiling if cap is None else cap.most

    def judge_cache(self, model: object, cached: int, prompt: int) -> None:
        """Take note of the usage of a follow-up request, whose prompt could have been cached.

        Args:
            model: the model.
            cached: tokens of the prompt that came out of the provider's cache.
            prompt: all tokens of the prompt.
        """
        with self._lock:
            if cached > 0:
                self._noted(model).caches = True
            elif prompt >= _CACHEABLE_TOKENS:
                self._noted(model).misses += 1

    def caches_prompts(self, model: object) -> bool | None:
        """Whether the model's endpoint caches prompts, as usage shows; None: nobody knows."""
        seen = self._known(model)
        if seen.caches:
            return True
        return False if seen.misses >= _ENOUGH_MISSES else None

    def judge_reminder(self, model: object, directive: str, *, followed: bool) -> bool:
        """Take note of whether a reminder was followed; whether that switched it off."""
        with self._lock:
            seen = self._noted(model)
            before = seen.converts(directive)
            seen.judged[directive] += 1
            seen.followed[directive] += followed
            return before and not seen.converts(directive)

    def ignored(self, model: object, directives: Iterable[str]) -> frozenset[str]:
        """Those of some directives that the model does not follow often enough."""
        seen = self._known(model)
        return frozenset(one for one in directives if not seen.converts(one))

    def judge_pace(self, model: object, tokens_per_s: float) -> None:
        """Take note of how fast a model generated an answer."""
        with self._lock:
            self._noted(model).paces.append(tokens_per_s)

    def tokens_per_s(self, model: object) -> float | None:
        """How fast a model generates; None: it was not measured."""
        with self._lock:
            paces = sorted(self._known(model).paces)
        return paces[len(paces) // 2] if paces else None

    def _known(self, model: object) -> _Observed:
        """What is known of a model; looking it up does not make it known."""
        return self._models.get(str(model)) or _Observed()

    def _noted(self, model: object) -> _Observed:
        """What is known of a model, to be added to; whoever calls holds the lock."""
        seen = self._models.setdefault(str(model), _Observed())
        self._models.move_to_end(str(model))
        if len(self._models) > MOST_MODELS:
            self._models.popitem(last=False)
        return seen

"""What models and their endpoints have done, observed from their answers.

The offer, the caps and the reminders of later conversations adapt to it. It lives as long as the
process.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from batchwrap.core.moves.cap import Cap, Outcome

# The changes of a request that can be switched off one by one: `fold` is the folded history alone,
# `usage` the question for a stream's usage, and `offer` everything else.
Rewrite = Literal["offer", "fold", "usage"]

# Malformed multi-calls in a row after which a model is offered one step less.
_MOST_MALFORMED = 3
# Providers cache prompts from 1,024 tokens on. A cache may miss once or twice, so one miss does
# not mean that there is none.
_CACHEABLE_TOKENS = 2_048
_ENOUGH_MISSES = 3
# Reminders break even at one batch in twenty: a reminder costs about 60 tokens in each of the
# requests that follow, a round trip costs the whole context. A directive that is followed 15 % of
# the time is switched off wrongly, with none in twenty, once in 26 cases.
_ENOUGH_REMINDERS = 20
_WORTH_IT = 0.05
# A server error for a rewritten request, and none for the agent's own right after it, may be
# chance. So often in a row it is not, and what it has cost by then is as many quick errors.
_ENOUGH_TRIALS = 3
# If the agent's own request failed, too, the server is in trouble. It is not asked twice for one
# request again before this many seconds have passed.
_TROUBLE_S = 10.0
# So many requests may be repeated while it is not known what the first of them meets. Hundreds of
# requests may run at once, and an overloaded server must not get all of them twice.
MOST_TRIALS = 8
# The median of the last answers is used, so an answer that the agent read slowly does not count.
_PACES = 9


# Callers of `serve` choose the names of models, possibly a new one in each request. What is known
# of the model that was not used for longest is dropped.
MOST_MODELS = 256


@dataclass(slots=True)
class _Observed:
    """What was observed of one model.

    Attributes:
        off: rewrites that its endpoint does not accept.
        suspected: how often in a row a rewrite met a server error that the agent's own request did
            not meet.
        trouble_s: when the agent's own request last met one, too.
        trials: when the agent's own requests were sent of which nothing is known yet.
        malformed: the number of malformed multi-calls in a row.
        steps: how often that number reached the maximum, so that the model is offered less.
        misses: the number of prompts that could have been cached and were not.
        caches: whether any prompt was cached.
        cap: the cap of its batches of edits.
        judged: the number of reminders that were judged, by directive.
        followed: the number of those that were followed.
        paces: tokens per second of its last answers.
    """

    off: set[Rewrite] = field(default_factory=set)
    suspected: Counter[Rewrite] = field(default_factory=Counter)
    trouble_s: float = float("-inf")
    trials: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TRIALS))
    malformed: int = 0
    steps: int = 0
    misses: int = 0
    caches: bool = False
    cap: Cap | None = None
    judged: Counter[str] = field(default_factory=Counter)
    followed: Counter[str] = field(default_factory=Counter)
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=_PACES))

    def converts(self, directive: str) -> bool:
        """Whether a directive is followed often enough; True while too few were judged."""
        judged = self.judged[directive]
        return judged < _ENOUGH_REMINDERS or self.followed[directive] >= _WORTH_IT * judged


_UNSEEN = _Observed()  # only looked at


class ModelObservations:
    """Observations by model, since one endpoint serves models that differ.

    Args:
        lock: held during each change; None if only one thread uses them.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        self._models: OrderedDict[str, _Observed] = OrderedDict()
        self._lock = lock or nullcontext()

    def __len__(self) -> int:
        return len(self._models)

    def aside(self) -> ModelObservations:
        """A copy whose changes do not reach the original."""
        own = copy(self)
        with self._lock:
            own._models = deepcopy(self._models)
        return own

    def switch_off(self, model: object, rewrite: Rewrite) -> None:
        """Remember that this model's endpoint does not accept a rewrite's requests."""
        with self._lock:
            self._noted(model).off.add(rewrite)

    def is_off(self, model: object, rewrite: Rewrite) -> bool:
        """Whether requests to this model go out without a rewrite."""
        return rewrite in self._known(model).off

    def takes_trial(self, model: object, now_s: float) -> bool:
        """Whether the agent's own request is sent after a server error, to find its cause."""
        with self._lock:
            seen = self._noted(model)
            is_full = len(seen.trials) == MOST_TRIALS and now_s - seen.trials[0] < _TROUBLE_S
            if is_full or now_s - seen.trouble_s < _TROUBLE_S:
                return False
            seen.trials.append(now_s)
            return True

    def judge_trial(self, model: object, rewrite: Rewrite, now_s: float, *, accepted: bool) -> None:
        """Record whether the agent's own request was accepted right after a server error."""
        with self._lock:
            seen = self._noted(model)
            if not accepted:
                seen.trouble_s = now_s
                return
            seen.trials.clear()
            seen.suspected[rewrite] += 1
            if seen.suspected[rewrite] >= _ENOUGH_TRIALS:
                seen.off.add(rewrite)

    def judge_accepted(self, model: object, rewrite: Rewrite) -> None:
        """Record that a rewritten request was accepted: earlier server errors were chance."""
        if self._known(model).suspected:
            with self._lock:
                self._noted(model).suspected.pop(rewrite, None)

    def judge_call(self, model: object, *, malformed: bool) -> None:
        """Record whether a model's multi-call was malformed."""
        with self._lock:
            seen = self._noted(model)
            in_a_row = seen.malformed + 1 if malformed else 0
            seen.steps += in_a_row == _MOST_MALFORMED
            seen.malformed = in_a_row % _MOST_MALFORMED

    def steps_back(self, model: object) -> int:
        """The number of steps by which the model's offer is reduced."""
        return self._known(model).steps

    def judge_edits(self, model: object, outcomes: Sequence[Outcome], ceiling: int) -> None:
        """Record the outcomes of a model's edits."""
        if not outcomes:
            return
        with self._lock:
            seen = self._noted(model)
            seen.cap = seen.cap or Cap.of(ceiling)
            for outcome in outcomes:
                seen.cap.take(outcome)

    def most_items(self, model: object, ceiling: int) -> int:
        """The largest number of items in a batch, for the model's next conversation."""
        cap = self._known(model).cap
        return ceiling if cap is None else cap.most

    def judge_cache(self, model: object, cached: int, prompt: int) -> None:
        """Record the usage of a follow-up request, whose prompt could have been cached.

        Args:
            model: the model.
            cached: the tokens of the prompt that were read from the provider's cache.
            prompt: all tokens of the prompt.
        """
        with self._lock:
            if cached > 0:
                self._noted(model).caches = True
            elif prompt >= _CACHEABLE_TOKENS:
                self._noted(model).misses += 1

    def caches_prompts(self, model: object) -> bool | None:
        """Whether the model's endpoint caches prompts, according to usage; None if unknown."""
        seen = self._known(model)
        if seen.caches:
            return True
        return False if seen.misses >= _ENOUGH_MISSES else None

    def judge_reminder(self, model: object, directive: str, *, followed: bool) -> bool:
        """Record whether a reminder was followed; True if that switches its directive off."""
        with self._lock:
            seen = self._noted(model)
            before = seen.converts(directive)
            seen.judged[directive] += 1
            seen.followed[directive] += followed
            return before and not seen.converts(directive)

    def ignored(self, model: object, directives: Iterable[str]) -> frozenset[str]:
        """Return those of the directives that the model does not follow often enough."""
        seen = self._known(model)
        return frozenset(one for one in directives if not seen.converts(one))

    def judge_pace(self, model: object, tokens_per_s: float) -> None:
        """Record the speed at which a model generated an answer."""
        with self._lock:
            self._noted(model).paces.append(tokens_per_s)

    def tokens_per_s(self, model: object) -> float | None:
        """The speed at which a model generates; None if it was not measured."""
        with self._lock:
            paces = sorted(self._known(model).paces)
        return paces[len(paces) // 2] if paces else None

    def _known(self, model: object) -> _Observed:
        """The observations of a model, to read; an unknown model is not added."""
        return self._models.get(str(model)) or _UNSEEN

    def _noted(self, model: object) -> _Observed:
        """The observations of a model, to change. The caller holds the lock."""
        seen = self._models.setdefault(str(model), _Observed())
        self._models.move_to_end(str(model))
        if len(self._models) > MOST_MODELS:
            self._models.popitem(last=False)
        return seen

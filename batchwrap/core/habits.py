"""What models and their endpoints turn out to do. It is forgotten with the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from threading import Lock
from typing import Any, Literal

from batchwrap._forks import renew_in_child
from batchwrap.core.views.cap import Cap, Outcome

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


class Habits:
    """By model, since endpoints differ in what they do for each."""

    def __init__(self) -> None:
        self._off: set[tuple[str, Rewrite]] = set()
        self._malformed: Counter[str] = Counter()  # in a row
        self._steps: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()
        self._caching: set[str] = set()
        self._caps: dict[str, Cap] = {}
        self._reminders: Counter[tuple[str, str]] = Counter()  # judged
        self._followed: Counter[tuple[str, str]] = Counter()
        self._paces: dict[str, deque[float]] = {}
        self._lock = Lock()
        renew_in_child(self)

    def after_fork(self) -> None:
        """The thread that held the lock does not exist in a child."""
        self._lock = Lock()

    def switch_off(self, model: object, rewrite: Rewrite) -> None:
        """Remember that this model's endpoint does not take what a rewrite makes of requests."""
        self._off.add((str(model), rewrite))

    def is_off(self, model: object, rewrite: Rewrite) -> bool:
        """Whether requests to this model go out without a rewrite."""
        return (str(model), rewrite) in self._off

    def judge_call(self, model: object, *, malformed: bool) -> None:
        """Take note of how a model's multi-call turned out."""
        with self._lock:
            in_a_row = self._malformed[str(model)] + 1 if malformed else 0
            self._steps[str(model)] += in_a_row == _MOST_MALFORMED
            self._malformed[str(model)] = in_a_row % _MOST_MALFORMED

    def steps_back(self, model: object) -> int:
        """How often a model made so many malformed multi-calls in a row that it needs less."""
        return self._steps[str(model)]

    def judge_edits(self, model: object, outcomes: Iterable[Outcome], ceiling: int) -> None:
        """Take note of how a model's edits turned out."""
        with self._lock:
            cap = self._caps.setdefault(str(model), Cap.of(ceiling))
            for outcome in outcomes:
                cap.take(outcome)

    def most_items(self, model: object, ceiling: int) -> int:
        """The cap for the model's next conversation."""
        cap = self._caps.get(str(model))
        return ceiling if cap is None else cap.most

    def judge_cache(self, model: object, usage: Any) -> None:
        """Take note of a follow-up request's usage: does it report cached tokens?"""
        details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if not isinstance(cached, int) or not isinstance(prompt, int):
            return
        with self._lock:
            if cached > 0:
                self._caching.add(str(model))
            elif prompt >= _CACHEABLE_TOKENS:
                self._misses[str(model)] += 1

    def caches_prompts(self, model: object) -> bool | None:
        """Whether the model's endpoint caches prompts, as usage shows; None: nobody knows."""
        if str(model) in self._caching:
            return True
        return False if self._misses[str(model)] >= _ENOUGH_MISSES else None

    def judge_reminder(self, model: object, directive: str, *, followed: bool) -> bool:
        """Take note of whether a reminder was followed; whether that switched it off."""
        key = str(model), directive
        with self._lock:
            before = self._converts(key)
            self._reminders[key] += 1
            self._followed[key] += followed
            return before and not self._converts(key)

    def ignored(self, model: object, directives: Iterable[str]) -> frozenset[str]:
        """Those of some directives that the model does not follow often enough."""
        return frozenset(one for one in directives if not self._converts((str(model), one)))

    def _converts(self, key: tuple[str, str]) -> bool:
        judged = self._reminders[key]
        return judged < _ENOUGH_REMINDERS or self._followed[key] >= _WORTH_IT * judged

    def judge_pace(self, model: object, tokens_per_s: float) -> None:
        """Take note of how fast a model generated an answer."""
        with self._lock:
            self._paces.setdefault(str(model), deque(maxlen=_PACES)).append(tokens_per_s)

    def tokens_per_s(self, model: object) -> float | None:
        """How fast a model generates; None: it was not measured."""
        with self._lock:
            paces = sorted(self._paces.get(str(model), ()))
        return paces[len(paces) // 2] if paces else None

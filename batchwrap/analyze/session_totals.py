"""The counting: what batching would save in recorded sessions, by scope, rule, tool and model.

Saved tokens are those of the requests that vanish, less what batchwrap adds to those that
stay. With a cache only what was already paid for comes back cheap: the results of a run are
new to the model all the same, so they are read at full price by the request behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappush, heappushpop
from itertools import pairwise

from batchwrap.analyze.bounds import (
    EDITS,
    IN_ORDER,
    READS,
    RULES,
    SEARCHES,
    WRITES,
    Classes,
    ClassOf,
    Rule,
    Run,
    by_kind,
    runs_of,
)
from batchwrap.analyze.kinds import is_batch
from batchwrap.analyze.lapses import Lapse, lapses
from batchwrap.analyze.recorded_session import RecordedCall, RecordedTurn, Session

# What the offer of multi-tools adds to each request, in tokens (`make benchmark-offer`).
OFFER_TOKENS = 500
# Items that a batch has at most, unless told otherwise.
MOST_ITEMS = 8
_FILES = (READS | SEARCHES | EDITS | WRITES,)
ITSELF, DECLARED = "by itself", "with declared tools"
_MOST_LAPSES = 10


@dataclass(frozen=True, slots=True)
class SavingScope:
    """Which calls are batched.

    Attributes:
        classes: kinds that may be in one batch.
        among: tells which calls count at all.
    """

    classes: Classes
    among: Callable[[RecordedCall], bool]

    @property
    def class_of(self) -> ClassOf:
        """Tells turns apart that cannot be in one run."""
        return by_kind(self.classes, self.among)

    def has(self, call: RecordedCall) -> bool:
        """Whether a call is of a tool that is offered in batches."""
        return self.among(call) and any(call.kind in kinds for kinds in self.classes)


SCOPES: Mapping[str, SavingScope] = {
    ITSELF: SavingScope(_FILES, lambda call: call.own),
    DECLARED: SavingScope(IN_ORDER, lambda call: not call.as_text),
}


@dataclass(slots=True)
class Saving:
    """What one rule would save in one scope.

    Attributes:
        round_trips: requests that vanish.
        batches: multi-calls that the model would have to make for that.
        calls: the calls in them.
        largest: most calls in one of them.
        prompt_tokens: of the requests that vanish, less the offer in those that stay.
        uncached_tokens: of these, what is not read out of a cache.
    """

    round_trips: int = 0
    batches: int = 0
    calls: int = 0
    largest: int = 0
    prompt_tokens: int = 0
    uncached_tokens: int = 0

    def add(self, other: Saving) -> None:
        """Take in another one."""
        self.round_trips += other.round_trips
        self.batches += other.batches
        self.calls += other.calls
        self.largest = max(self.largest, other.largest)
        self.prompt_tokens += other.prompt_tokens
        self.uncached_tokens += other.uncached_tokens


@dataclass(slots=True)
class ToolCount:
    """The calls of one tool.

    Attributes:
        calls: how often it was called.
        alone: in a turn of that call only.
        failed: how many results read as failed.
        result_tokens: size of its results.
        own: calls in which batchwrap would find the tool by itself.
        as_text: calls that are text, and no tool calls of the API.
        upper, safe: of its calls, those whose request would vanish, tools declared.
    """

    calls: int = 0
    alone: int = 0
    failed: int = 0
    result_tokens: int = 0
    own: int = 0
    as_text: int = 0
    upper: int = 0
    safe: int = 0


@dataclass(slots=True)
class ModelCount:
    """What one model did.

    Attributes:
        requests: its answers.
        acting: those of them with a call, and
        batching: those that did several things at once.
        prompt_tokens, cached_tokens, output_tokens: their sums.
        lapses: single calls in a row that could have been one batch of their own tool.
        upper, safe: requests that would vanish, tools declared.
    """

    requests: int = 0
    acting: int = 0
    batching: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    lapses: int = 0
    upper: int = 0
    safe: int = 0


@dataclass(slots=True)
class Totals:
    """Everything counted so far; its size does not grow with the sessions.

    Args:
        most: items that a batch has at most, by the safe rule.

    Attributes:
        sessions: how many.
        requests: round trips.
        estimated: of these, those whose tokens are an estimate.
        savings: by scope and rule.
        tools, models: by name.
        sources: sessions by the agent or program that wrote them.
        lapses: how many.
        worst: those that cost most.
        batch_sizes: how many safe batches have so many calls, tools declared.
        shares: how many sessions save so many tenths of their round trips, likewise.
    """

    most: int = MOST_ITEMS
    sessions: int = 0
    requests: int = 0
    estimated: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    savings: dict[tuple[str, Rule], Saving] = field(default_factory=dict)
    tools: dict[str, ToolCount] = field(default_factory=dict)
    models: dict[str, ModelCount] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    lapses: int = 0
    worst: list[Lapse] = field(default_factory=list)
    batch_sizes: Counter[int] = field(default_factory=Counter)
    shares: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.savings = {(scope, rule): Saving() for scope in SCOPES for rule in RULES}

    def add(self, session: Session) -> None:
        """Count a session."""
        turns = session.turns
        self.sessions += 1
        self.sources[session.source] += 1
        for turn in turns:
            self._add_turn(turn)
        for (scope, rule), saving in self.savings.items():
            runs = runs_of(session, SCOPES[scope].class_of, rule, self.most)
            saving.add(_saving(turns, runs, SCOPES[scope]))
            if scope == DECLARED and rule in ("upper", "safe"):
                self._add_runs(runs, rule, len(turns))
        for lapse in lapses(session):
            self._add_lapse(lapse)
            self._model(turns[lapse.turn]).lapses += 1

    def saving(self, scope: str, rule: Rule) -> Saving:
        """What a rule saves in a scope."""
        return self.savings[scope, rule]

    def _add_turn(self, turn: RecordedTurn) -> None:
        model, usage = self._model(turn), turn.usage
        for counted in (self, model):
            counted.requests += 1
            counted.prompt_tokens += usage.prompt_tokens
            counted.cached_tokens += usage.cached_tokens
            counted.output_tokens += usage.completion_tokens
        self.estimated += turn.estimated
        model.acting += bool(turn.calls)
        model.batching += len(turn.calls) > 1 or any(is_batch(call.name) for call in turn.calls)
        for call in turn.calls:
            tool = self.tools.setdefault(call.name or call.kind, ToolCount())
            tool.calls += 1
            tool.alone += len(turn.calls) == 1
            tool.failed += call.failed
            tool.result_tokens += call.result_tokens
            tool.own += call.own
            tool.as_text += call.as_text

    def _add_runs(self, runs: Iterable[Run], rule: Rule, turns: int) -> None:
        gone = [turn for run in runs for turn in run[1:]]
        for turn in gone:
            tool = self.tools[turn.calls[0].name or turn.calls[0].kind]
            for counted in (tool, self._model(turn)):
                setattr(counted, rule, getattr(counted, rule) + 1)
        if rule == "safe":
            self.batch_sizes.update(map(len, runs))
            self.shares[min(9, 10 * len(gone) // max(1, turns))] += 1

    def _add_lapse(self, lapse: Lapse) -> None:
        self.lapses += 1
        if len(self.worst) < _MOST_LAPSES:
            heappush(self.worst, lapse)
        else:
            heappushpop(self.worst, lapse)

    def _model(self, turn: RecordedTurn) -> ModelCount:
        return self.models.setdefault(turn.model or "unknown", ModelCount())


def without(session: Session, runs: Sequence[Run]) -> list[RecordedTurn]:
    """The turns that are left if each run is one: its first, which then says it all."""
    gone = {turn.index for run in runs for turn in run[1:]}
    firsts = {run[0].index: run for run in runs}
    return [
        _merged(firsts.get(turn.index, [turn])) for turn in session.turns if turn.index not in gone
    ]


def _merged(run: Run) -> RecordedTurn:
    output = sum(turn.usage.completion_tokens for turn in run)
    return replace(run[0], usage=replace(run[0].usage, completion_tokens=output))


def _saving(turns: Sequence[RecordedTurn], runs: Sequence[Run], scope: SavingScope) -> Saving:
    sizes = list(map(len, runs))
    saving = Saving(sum(sizes) - len(runs), len(runs), sum(sizes), max(sizes, default=0))
    gone = {turn.index for run in runs for turn in run[1:]}
    before: dict[int, RecordedTurn] = {after.index: turn for turn, after in pairwise(turns)}
    following: dict[int, RecordedTurn] = {turn.index: after for turn, after in pairwise(turns)}
    for turn in (turn for turn in turns if turn.index in gone):
        saving.prompt_tokens += turn.usage.prompt_tokens
        saving.uncached_tokens += _uncached(before[turn.index], turn, following.get(turn.index))
    if any(scope.has(call) for turn in turns for call in turn.calls):
        _charge(saving, turns, len(turns) - len(gone))
    return saving


def _uncached(before: RecordedTurn, turn: RecordedTurn, after: RecordedTurn | None) -> int:
    """What a request that vanishes was charged in full, and nobody has to pay instead."""
    uncached = turn.usage.prompt_tokens - turn.usage.cached_tokens
    if after is not None and not after.usage.cached_tokens:
        return uncached
    new = max(0, turn.usage.prompt_tokens - before.usage.prompt_tokens)
    return max(0, uncached - new)


def _charge(saving: Saving, turns: Sequence[RecordedTurn], left: int) -> None:
    """Take off the offer, which is in every request."""
    is_cached = any(turn.usage.cached_tokens for turn in turns)
    saving.prompt_tokens -= OFFER_TOKENS * left
    saving.uncached_tokens -= OFFER_TOKENS * (min(1, left) if is_cached else left)

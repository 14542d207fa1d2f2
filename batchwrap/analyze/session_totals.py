"""Counts what batching would save in recorded sessions, by scope, rule, tool and model.

Saved tokens are those of the requests that are not needed any more, less what batchwrap adds to the
remaining ones. The results of a run are new to the model in any case, so they are not saved: the
next request pays the full price for them, even with a cache.
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
    SCRIPT_RULES,
    SEARCHES,
    WRITES,
    Classes,
    ClassOf,
    Rule,
    Run,
    ScriptRule,
    by_kind,
    runs_of,
    script_runs,
)
from batchwrap.analyze.kinds import is_batch
from batchwrap.analyze.lapses import Lapse, lapses, undeclared_calls
from batchwrap.analyze.recorded_session import RecordedCall, RecordedTurn, Session
from batchwrap.options import Scripts

# The tokens that the offer of multi-tools adds to each request (`make benchmark-offer`).
OFFER_TOKENS = 500
# The tokens of the tool that runs scripts, for an agent that reads, edits, writes and searches.
SCRIPT_OFFER_TOKENS = 300
# The default for the largest number of items in a batch, and of calls in a script.
MOST_ITEMS, MOST_SCRIPT_CALLS = 8, Scripts().max_calls
_FILES = (READS | SEARCHES | EDITS | WRITES,)
ITSELF, DECLARED = "by itself", "with declared tools"
_MOST_LAPSES = 10


@dataclass(frozen=True, slots=True)
class SavingScope:
    """Which calls are batched.

    Attributes:
        classes: sets of kinds that may be in one batch.
        among: whether a call counts at all.
    """

    classes: Classes
    among: Callable[[RecordedCall], bool]

    @property
    def class_of(self) -> ClassOf:
        """The function that returns the class of a turn, for `runs_of`."""
        return by_kind(self.classes, self.among)

    def has(self, call: RecordedCall) -> bool:
        """Whether a call's tool is offered in batches."""
        return self.among(call) and any(call.kind in kinds for kinds in self.classes)

    def is_in(self, turns: Iterable[RecordedTurn]) -> bool:
        """Whether any call of these turns is of such a tool."""
        return any(self.has(call) for turn in turns for call in turn.calls)


SCOPES: Mapping[str, SavingScope] = {
    ITSELF: SavingScope(_FILES, lambda call: call.own),
    DECLARED: SavingScope(IN_ORDER, lambda call: not call.as_text),
}


@dataclass(slots=True)
class Saving:
    """What one rule would save in one scope.

    Attributes:
        round_trips: the saved requests.
        batches: the multi-calls that the model would have to make.
        calls: the calls in them.
        largest: the number of calls in the largest one.
        prompt_tokens: those of the saved requests, less the offer in the remaining ones.
        uncached_tokens: the part of them that is not read from a cache.
    """

    round_trips: int = 0
    batches: int = 0
    calls: int = 0
    largest: int = 0
    prompt_tokens: int = 0
    uncached_tokens: int = 0

    def add(self, other: Saving) -> None:
        """Add another saving to this one."""
        self.round_trips += other.round_trips
        self.batches += other.batches
        self.calls += other.calls
        self.largest = max(self.largest, other.largest)
        self.prompt_tokens += other.prompt_tokens
        self.uncached_tokens += other.uncached_tokens


@dataclass(slots=True)
class ScriptSaving:
    """What scripts would save at most, by one rule in one scope.

    Results that a script keeps from the model are not counted.

    Attributes:
        round_trips: the requests that vanish.
        scripts: the scripts that the model would have to write.
        calls: the number of calls in them.
        largest: the largest number of calls in one of them.
        prompt_tokens: the tokens of the requests that vanish, less the offer in those that stay.
    """

    round_trips: int = 0
    scripts: int = 0
    calls: int = 0
    largest: int = 0
    prompt_tokens: int = 0

    def add(self, turns: Sequence[RecordedTurn], runs: Sequence[Run], *, offered: bool) -> None:
        """Take in a session.

        Args:
            turns: its turns.
            runs: the rows that one script each would stand for.
            offered: whether scripts are offered in it.
        """
        sizes = [sum(len(turn.calls) for turn in run) for run in runs]
        gone = [turn for run in runs for turn in run[1:]]
        self.round_trips += len(gone)
        self.scripts += len(runs)
        self.calls += sum(sizes)
        self.largest = max([self.largest, *sizes])
        self.prompt_tokens += sum(turn.usage.prompt_tokens for turn in gone)
        if offered:
            self.prompt_tokens -= SCRIPT_OFFER_TOKENS * (len(turns) - len(gone))


@dataclass(slots=True)
class ToolCount:
    """The calls of one tool.

    Attributes:
        calls: the number of its calls.
        alone: the calls that were the only one of their turn.
        failed: the calls whose results look like errors.
        result_tokens: the size of its results.
        own: the calls in which batchwrap would recognise the tool by itself.
        as_text: the calls that are text, and not tool calls of the API.
        in_a_row: single calls after a single call of the same tool, which has to be declared.
        upper, safe: the calls whose request would be saved if the tools were declared.
    """

    calls: int = 0
    alone: int = 0
    failed: int = 0
    result_tokens: int = 0
    own: int = 0
    as_text: int = 0
    in_a_row: int = 0
    upper: int = 0
    safe: int = 0


@dataclass(slots=True)
class ModelCount:
    """What one model did.

    Attributes:
        requests: the number of its answers.
        acting: the answers with a call.
        batching: the answers that did several things at once.
        prompt_tokens, cached_tokens, output_tokens: the sums of their usage.
        lapses: how often single calls in a row could have been one batch of their tool.
        upper, safe: the requests that would be saved if the tools were declared.
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
    """The counts over all sessions so far. Their size does not grow with the sessions.

    Args:
        most: the largest number of items in a batch, by the safe rule.

    Attributes:
        sessions: the number of sessions.
        requests: the number of round trips.
        estimated: the round trips whose tokens are estimated.
        savings: the savings by scope and rule.
        script_savings: what scripts would save at most, by scope and rule.
        tools, models: the counts by name.
        sources: the number of sessions by the agent or program that wrote them.
        lapses: the number of lapses.
        worst: the lapses that cost most.
        batch_sizes: the number of safe batches by their number of calls, with tools declared.
        shares: the number of sessions by the tenths of their round trips that are saved, by the
            safe rule with tools declared.
    """

    most: int = MOST_ITEMS
    sessions: int = 0
    requests: int = 0
    estimated: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    savings: dict[tuple[str, Rule], Saving] = field(default_factory=dict)
    script_savings: dict[tuple[str, ScriptRule], ScriptSaving] = field(default_factory=dict)
    tools: dict[str, ToolCount] = field(default_factory=dict)
    models: dict[str, ModelCount] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    lapses: int = 0
    worst: list[Lapse] = field(default_factory=list)
    batch_sizes: Counter[int] = field(default_factory=Counter)
    shares: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.savings = {(scope, rule): Saving() for scope in SCOPES for rule in RULES}
        self.script_savings = {
            (scope, rule): ScriptSaving() for scope in SCOPES for rule in SCRIPT_RULES
        }

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
        for (scope, script_rule), bound in self.script_savings.items():
            rows = script_runs(session, SCOPES[scope].has, script_rule, MOST_SCRIPT_CALLS)
            bound.add(turns, rows, offered=SCOPES[scope].is_in(turns))
        for name in undeclared_calls(session):
            self.tools[name].in_a_row += 1
        for lapse in lapses(session):
            self._add_lapse(lapse)
            self._model(turns[lapse.turn]).lapses += 1

    @property
    def calls(self) -> int:
        """The number of all calls."""
        return sum(tool.calls for tool in self.tools.values())

    @property
    def text_calls(self) -> int:
        """The number of calls that are text, and not tool calls of the API."""
        return sum(tool.as_text for tool in self.tools.values())

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
    """The turns that remain if each run is merged into its first turn."""
    gone = {turn.index for run in runs for turn in run[1:]}
    firsts = {run[0].index: run for run in runs}
    return [
        _merged(firsts.get(turn.index, [turn])) for turn in session.turns if turn.index not in gone
    ]


def _merged(run: Run) -> RecordedTurn:
    # The one answer still has to contain the output of all of them.
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
    if scope.is_in(turns):
        _charge(saving, turns, len(turns) - len(gone))
    return saving


def _uncached(before: RecordedTurn, turn: RecordedTurn, after: RecordedTurn | None) -> int:
    """The uncached tokens of a saved request that no other request has to pay instead."""
    uncached = turn.usage.prompt_tokens - turn.usage.cached_tokens
    if after is not None and not after.usage.cached_tokens:  # the provider caches nothing
        return uncached
    new = max(0, turn.usage.prompt_tokens - before.usage.prompt_tokens)
    return max(0, uncached - new)


def _charge(saving: Saving, turns: Sequence[RecordedTurn], left: int) -> None:
    """Subtract the tokens of the offer, which is in every remaining request."""
    is_cached = any(turn.usage.cached_tokens for turn in turns)
    saving.prompt_tokens -= OFFER_TOKENS * left
    # With a cache, the offer is charged in full only once.
    saving.uncached_tokens -= OFFER_TOKENS * (min(1, left) if is_cached else left)

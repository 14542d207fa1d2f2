"""Rate-limit pressure: a session's requests against a plan's buckets, on a clock that is not real.

The same arithmetic that holds real requests back says how long each would have waited. One
agent at a time, tools that take no time, and a provider of the given speed: so it is the most
that this plan slows such an agent down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchwrap.analyze.bounds import Rule, runs_of
from batchwrap.analyze.recorded_session import RecordedTurn, Session
from batchwrap.analyze.session_totals import SCOPES, without
from batchwrap.core.limits import account
from batchwrap.core.limits.cost import Cost, Usage, cost_of
from batchwrap.core.limits.cost import Rule as Counting
from batchwrap.core.limits.state import empty
from batchwrap.core.limits.windows import meters
from batchwrap.providers import Plan, plan

# From a request to the first token of its answer.
_FIRST_TOKEN_S = 0.3


@dataclass(slots=True)
class Play:
    """How requests went.

    Attributes:
        requests: how many.
        working_s: seconds in which the model answered.
        waiting_s: seconds in which a limit was in the way.
        held: requests that had to wait.
        too_large: requests that no full bucket has room for; they are left out.
    """

    requests: int = 0
    working_s: float = 0.0
    waiting_s: float = 0.0
    held: int = 0
    too_large: int = 0

    @property
    def waiting_percent(self) -> float:
        """The share of the time in which a limit was in the way."""
        return 100 * self.waiting_s / max(1e-9, self.waiting_s + self.working_s)

    def add(self, other: Play) -> None:
        """Take in another one."""
        self.requests += other.requests
        self.working_s += other.working_s
        self.waiting_s += other.waiting_s
        self.held += other.held
        self.too_large += other.too_large


class Pressure:
    """What a plan does to sessions as they were, and with batches.

    Args:
        name: the plan, as in ``limits="cerebras/code-max"``.
        tokens_per_s: the speed at which answers are written.
        most: items that a batch has at most.

    Attributes:
        plays: by what is batched: ``"as recorded"``, or a scope (by the safe rule).

    Raises:
        ConfigError: there is no such plan.
    """

    def __init__(self, name: str, tokens_per_s: float, most: int) -> None:
        self.plan, self.tokens_per_s, self._most = plan(name), tokens_per_s, most
        self.plays = {what: Play() for what in ("as recorded", *SCOPES)}

    def add(self, session: Session) -> None:
        """Play a session."""
        rule: Rule = "safe"
        self.plays["as recorded"].add(play(session.turns, self.plan, self.tokens_per_s))
        for name, scope in SCOPES.items():
            turns = without(session, runs_of(session, scope.class_of, rule, self._most))
            self.plays[name].add(play(turns, self.plan, self.tokens_per_s))


def play(turns: Sequence[RecordedTurn], plan: Plan, tokens_per_s: float) -> Play:
    """Make the requests of these turns one after the other, each as soon as the plan lets it."""
    done, now, limits = Play(), 0.0, meters(plan.limits)
    state = empty(now)
    for turn in turns:
        usage = _billed(turn.usage, plan)
        amounts = _amounts(usage, plan)
        arrived = now
        while (got := account.reserve(
            state, limits, amounts, str(turn.index), now=now
        )).status == "waiting":  # fmt: skip
            now += got.wait_s
        if got.status != "admitted":
            done.too_large += 1
            continue
        account.arrived(state, limits, str(turn.index), now=now)
        done.requests += 1
        done.waiting_s += now - arrived
        done.held += now > arrived
        took_s = _FIRST_TOKEN_S + usage.completion_tokens / tokens_per_s
        done.working_s += took_s
        now += took_s
        spent = usage.cost(plan.provider.rule) if plan.provider.rule.refunds else None
        settled = amounts if spent is None else [spent.of(limit.kind) for limit in plan.limits]
        account.settle(state, limits, str(turn.index), settled, now=now)
    return done


def _billed(usage: Usage, plan: Plan) -> Usage:
    """The usage as this plan's provider would count it; a log may be of one that caches."""
    cached = 0 if plan.provider.caches_prompts is False else usage.cached_tokens
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached)


def _amounts(usage: Usage, plan: Plan) -> list[float]:
    """What is reserved of each limit. What is only guessed of the output is never a wall."""
    rule = plan.provider.rule
    sure = cost_of(usage.prompt_tokens, 0, usage.cached_tokens, rule)
    guess = _guessed(usage, rule)
    return [
        max(sure.of(limit.kind), min(guess.of(limit.kind), limit.capacity)) for limit in plan.limits
    ]


def _guessed(usage: Usage, rule: Counting) -> Cost:
    output = rule.default_output if rule.reserves_output else 0
    return cost_of(usage.prompt_tokens, output, usage.cached_tokens, rule)

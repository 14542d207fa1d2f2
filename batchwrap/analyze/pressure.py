"""Rate-limit pressure: replays a session's requests against a plan's buckets, on a simulated clock.

The arithmetic that throttles real requests computes how long each request would have waited. The
replay assumes one agent at a time, tools that take no time, and a provider of the given speed. With
slower tools the agent would wait less, so the result is an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nextafter

from batchwrap.analyze.bounds import Rule, runs_of
from batchwrap.analyze.recorded_session import RecordedTurn, Session
from batchwrap.analyze.session_totals import SCOPES, without
from batchwrap.checks import number
from batchwrap.core.limits import account
from batchwrap.core.limits.cost import Cost, Usage, cost_of
from batchwrap.core.limits.cost import Rule as Counting
from batchwrap.core.limits.state import empty
from batchwrap.core.limits.windows import meters
from batchwrap.providers import Plan, plan

# The assumed time from a request to the first token of its answer.
_FIRST_TOKEN_S = 0.3


@dataclass(slots=True)
class Play:
    """The outcome of a replay.

    Attributes:
        requests: the number of requests.
        working_s: seconds in which the model answered.
        waiting_s: seconds in which requests waited for a limit.
        held: the number of requests that waited.
        too_large: the number of requests that exceed a full bucket; they are left out.
    """

    requests: int = 0
    working_s: float = 0.0
    waiting_s: float = 0.0
    held: int = 0
    too_large: int = 0

    @property
    def waiting_percent(self) -> float:
        """The share of the time that was spent waiting, in percent."""
        return 100 * self.waiting_s / max(1e-9, self.waiting_s + self.working_s)

    def add(self, other: Play) -> None:
        """Add another outcome to this one."""
        self.requests += other.requests
        self.working_s += other.working_s
        self.waiting_s += other.waiting_s
        self.held += other.held
        self.too_large += other.too_large


class Pressure:
    """How long a plan makes sessions wait, as they were recorded and with batches.

    Args:
        name: the plan, as in ``limits="cerebras/code-max"``.
        tokens_per_s: the speed at which the model generates.
        most: the largest number of items in a batch.

    Attributes:
        plays: the outcomes: ``"as recorded"``, and by scope, batched by the safe rule.

    Raises:
        ConfigError: the plan does not exist, or the speed is no number or below 1.
    """

    def __init__(self, name: str, tokens_per_s: float, most: int) -> None:
        number("tokens_per_s", tokens_per_s, least=1)
        self.plan, self.tokens_per_s, self._most = plan(name), tokens_per_s, most
        self.plays = {what: Play() for what in ("as recorded", *SCOPES)}

    def add(self, session: Session) -> None:
        """Replay a session, as recorded and in each scope."""
        rule: Rule = "safe"
        self.plays["as recorded"].add(play(session.turns, self.plan, self.tokens_per_s))
        for name, scope in SCOPES.items():
            turns = without(session, runs_of(session, scope.class_of, rule, self._most))
            self.plays[name].add(play(turns, self.plan, self.tokens_per_s))


def play(turns: Sequence[RecordedTurn], plan: Plan, tokens_per_s: float) -> Play:
    """Replay the requests of these turns one by one, each as soon as the plan admits it."""
    done, now, limits = Play(), 0.0, meters(plan.limits)
    state = empty(now)
    for turn in turns:
        usage = _billed(turn.usage, plan)
        amounts = _amounts(usage, plan)
        arrived = now
        while (got := account.reserve(
            state, limits, amounts, str(turn.index), now=now
        )).status == "waiting":  # fmt: skip
            # A wait too short to move so late a clock would be waited for ever.
            now = max(now + got.wait_s, nextafter(now, inf))
        if got.status != "admitted":  # it would wait for ever
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
    """The usage as this plan's provider would count it, which may not cache prompts."""
    cached = 0 if plan.provider.caches_prompts is False else usage.cached_tokens
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached)


def _amounts(usage: Usage, plan: Plan) -> list[float]:
    """The amount to reserve of each limit. An estimated output alone rejects no request."""
    rule = plan.provider.rule
    sure = cost_of(usage.prompt_tokens, 0, usage.cached_tokens, rule)
    guess = _guessed(usage, rule)
    return [
        max(sure.of(limit.kind), min(guess.of(limit.kind), limit.capacity)) for limit in plan.limits
    ]


def _guessed(usage: Usage, rule: Counting) -> Cost:
    output = rule.default_output if rule.reserves_output else 0
    return cost_of(usage.prompt_tokens, output, usage.cached_tokens, rule)

"""What may be spent: by whose account, under which limits, and what was learned about them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from math import inf

from batchwrap._forks import ForkSafeLock
from batchwrap._priority import current_priority
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import NOTHING, Cost, Usage
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.limits.state import Seen
from batchwrap.core.provider import Provider
from batchwrap.core.recent import Recent
from batchwrap.options import Limit, LimitMode, Throttle
from batchwrap.stats import Waiting
from batchwrap.throttle.accounts import Account, Origin, accounts_of
from batchwrap.throttle.asks import Ask, Grant, Scope
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.periods import meters_at
from batchwrap.throttle.pool import Pool
from batchwrap.throttle.presets import Plan, plan, provider_of
from batchwrap.throttle.stores import Spent, open_store

# A growth limit halves the pace; it comes back within some fifty requests.
_SLOWER, _FASTER, _SLOWEST = 0.5, 1.02, 0.05
# A refusal although our books had room: somebody else uses the account, or estimates are poor.
# So many seconds of refill more are kept free for each, up to the largest; an answer takes some of
# it back, half within some twenty. In the benchmark that halves the refusals beside a stranger.
_CAUTION_S, _FADES, _MOST_CAUTION_S = 1.0, 0.97, 12.0
_MOST_CONVERSATIONS = _MOST_SCOPES = 4_096
_SCOPES = {1.0: "second", 60.0: "minute", 3_600.0: "hour", 86_400.0: "day"}
# Names of models are kept in stores, with each account; longer ones are cut.
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request matters here.

    Attributes:
        provider: where it goes.
        model: its model, as text.
        scope: name of the buckets that it takes from.
        accounts: those that may take it.
        conversation: tells conversations apart, where there are accounts to stick to.
        priority: higher ones go first.
    """

    provider: Provider
    model: str
    scope: str
    accounts: tuple[Account, ...]
    conversation: bytes | None
    priority: int


class Budget:
    """The limits of one wrapped client or function.

    Args:
        throttle: the user's options; None limits nothing.
    """

    def __init__(self, throttle: Throttle | None) -> None:
        given = throttle.limits if throttle is not None else ()
        self._keys = throttle.keys if throttle is not None else None
        self._plan: Plan | None = None
        self._own: tuple[Limit, ...] | None = None
        if not isinstance(given, str):
            self._own = tuple(given)
        elif given != "auto":
            self._plan = plan(given)
        clock = self._clock = throttle.clock if throttle is not None else None
        store = open_store(
            throttle.store if throttle is not None else "memory",
            clock=None if clock is None else clock.now,
        )
        self.limiter = Limiter(
            store,
            max_wait_s=throttle.max_wait_s if throttle is not None else 0.0,
            falls_back=throttle is None or throttle.store_down == "local",
            clock=time.monotonic if clock is None else clock.now,
            skip=None if clock is None else clock.sleep,
        )
        self._max_wait_s = throttle.max_wait_s if throttle is not None else 0.0
        self._pool = Pool(time.monotonic if clock is None else clock.now)
        self._lock = lock = ForkSafeLock()
        self._learned: Recent[str, dict[tuple[str, float], Limit]] = Recent(_MOST_SCOPES, lock=lock)
        self._sticks: Recent[bytes, str] = Recent(_MOST_CONVERSATIONS, lock=lock)
        self._pace: Recent[str, float] = Recent(_MOST_SCOPES, lock=lock)
        self._caution_s: Recent[str, float] = Recent(_MOST_SCOPES, lock=lock)
        self._turn = 0

    def request(self, body: chat.Body, origin: Origin, *, pooled: bool = True) -> Request:
        """What matters of a request; `pooled`: whether another key may take it."""
        model = _name_of(body.get("model"))
        named = origin.model or model
        provider = self._plan.provider if self._plan else provider_of(origin.host or None, named)
        accounts = accounts_of(self._keys if pooled else None, origin)
        return Request(
            provider=provider,
            model=model,
            scope=self._scope_name(provider, origin, model),
            accounts=accounts,
            conversation=_conversation(body) if len(accounts) > 1 else None,
            priority=current_priority(),
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing is reserved, and nobody waits."""
        known = self.limiter.snapshots().values()
        return not any(now.running or now.waiting for _, now in known)

    def waiting(self) -> Iterator[Waiting]:
        """Who waits now."""
        now_s = time.monotonic() if self._clock is None else self._clock.now()
        for one in self.limiter.waiting():
            expected_s = one.expected_s if one.expected_s is not None else inf
            yield Waiting(
                limits=one.ask.scope.name,
                limit="" if one.limit is None else str(one.limit),
                waited_s=now_s - one.began_s,
                expected_s=expected_s if expected_s < inf else None,
            )

    def counts_tokens(self, request: Request) -> bool:
        """Whether any limit is of tokens."""
        kinds = {limit.kind for limit in self._limits(request)}
        return not kinds <= {"requests", "concurrency"}

    def ask(
        self,
        request: Request,
        cost: Cost,
        minimum: Cost,
        headroom: Cost = NOTHING,
        *,
        again: bool = False,
        tried: Sequence[Account] = (),
    ) -> Ask:
        """The question whether a request may go.

        It comes again if it was refused; `tried` are the accounts that will not take it.
        """
        scope = self._scope(request)
        pace = self._pace.get(request.scope) or 1.0
        accounts, sticks = self._in_order(request, tried)
        return Ask(
            scope,
            accounts,
            cost,
            minimum,
            headroom=headroom,
            caution_s=self._caution_s.get(request.scope) or 0.0,
            priority=request.priority,
            sticks=sticks,
            pace=pace,
            again=again,
        )

    def took(self, request: Request, account: Account) -> None:
        """An account has taken a request; the conversation stays with it."""
        if request.conversation is not None:
            self._sticks.put(request.conversation, account.name)

    def learn(self, request: Request, grant: Grant, observations: Sequence[Observation]) -> None:
        """Take over what an answer's headers say: amounts where none are known, else levels."""
        if self._own is None and self._plan is None:
            self._learn_limits(request, grant, observations)
        limits = grant.ask.scope.limits
        seen = [
            Seen(
                index,
                remaining=one.remaining,
                capacity=one.limit,
                # Of a limit that is known to have periods it is the end of one.
                ends_s=one.reset_s if one.reset_means != "full" else None,
            )
            for one in observations
            for index, limit in enumerate(limits)
            if _is_of(one, limit)
        ]
        if seen:
            self.limiter.learn(grant, seen)

    def refused(self, request: Request, grant: Grant, refusal: Refusal, seconds: float) -> None:
        """Take note of a refusal: each of its kinds has a reaction of its own."""
        if refusal.kind == "bucket":
            self._learn_level(grant, refusal)
            self.limiter.close_for(grant, seconds)
            with self._lock:
                caution_s = (self._caution_s.get(request.scope) or 0.0) + _CAUTION_S
                self._caution_s.put(request.scope, min(caution_s, _MOST_CAUTION_S))
        elif refusal.kind == "concurrency":
            self.limiter.crowded(grant, seconds)
            if refusal.retry_after_s is not None:
                self.limiter.close_for(grant, seconds)
        elif refusal.kind == "growth":
            with self._lock:
                pace = self._pace.get(request.scope) or 1.0
                self._pace.put(request.scope, max(_SLOWEST, pace * _SLOWER))

    def _learn_level(self, grant: Grant, refusal: Refusal) -> None:
        """How full the provider's bucket is that has refused a request.

        There was less in it than the request needs, and in as many seconds as it asks for there
        is just so much. Our books had more, or it would not have been sent: somebody else has used
        it. Without headers that is the only time when it shows.
        """
        limits = grant.ask.scope.limits
        hit = [index for index, limit in enumerate(limits) if _is_hit(limit, refusal)]
        if len(hit) != 1:
            return
        limit, told_s = limits[hit[0]], refusal.retry_after_s or 0.0
        if refusal.retry_after_is_window or told_s > limit.per_s:
            told_s = 0.0
        ends_s = told_s if limit.mode == "fixed" and told_s else None
        self.limiter.learn(grant, [Seen(hit[0], remaining=0.0, ends_s=ends_s)])
        if limit.mode == "continuous" and told_s:
            # All that the request had reserved comes back now, and what refills until then.
            missing = told_s * limit.rate / grant.ask.pace
            self.limiter.settle(grant, Cost(**{limit.kind: missing}))

    def takes_over(
        self, request: Request, account: Account, refusal: Refusal, tried: Sequence[Account]
    ) -> bool:
        """Whether another account may take a request that one will not take for long, or never.

        That one is out of the pool for as long as the provider says.
        """
        others = [one for one in request.accounts if one not in (account, *tried)]
        if len(request.accounts) == 1 or not _is_about_the_account(refusal):
            return False
        told_s = None if refusal.retry_after_is_window else refusal.retry_after_s
        if refusal.kind != "bucket" or (told_s or 0.0) > self._max_wait_s:
            self._pool.leave(account, request.scope, told_s)
        return self._pool.usable(others, request.scope)

    def spent(self, request: Request, grant: Grant, spent: Cost, usage: Usage | None) -> None:
        """Take note of what a request has used up."""
        if spent.requests:
            used = usage or Usage(round(spent.input_tokens), round(spent.output_tokens))
            entry = Spent(1, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
            self.limiter.spend(grant, request.model, entry)
        if spent.requests:
            self._pool.came_back(grant.account, request.scope)
            with self._lock:
                if (pace := self._pace.get(request.scope)) is not None:
                    self._pace.put(request.scope, min(1.0, pace * _FASTER))
                if (caution_s := self._caution_s.get(request.scope)) is not None:
                    self._caution_s.put(request.scope, caution_s * _FADES)

    def skips(self, seconds: float) -> bool:
        """Whether so much time has passed now, on a clock of the user's own."""
        if self._clock is not None:
            self._clock.sleep(seconds)
        return self._clock is not None

    def _scope(self, request: Request) -> Scope:
        limits = self._limits(request)
        now_s = time.time() if self._clock is None else self._clock.now()
        return Scope(request.scope, limits, meters_at(limits, now_s))

    def _limits(self, request: Request) -> tuple[Limit, ...]:
        if self._own is not None:
            return self._own
        if self._plan is not None:
            return self._plan.limits if self._plan.covers(request.model) else ()
        return tuple((self._learned.get(request.scope) or {}).values())

    def _scope_name(self, provider: Provider, origin: Origin, model: str) -> str:
        if self._own is not None:
            return "own"
        if self._plan is not None:
            return f"{self._plan.name}:{model}" if self._plan.scope == "model" else self._plan.name
        return f"{provider.name or origin.host}:{model}"

    def _learn_limits(
        self, request: Request, grant: Grant, observations: Sequence[Observation]
    ) -> None:
        """Amounts that the provider names itself; nothing is guessed."""
        before = self._learned.get(request.scope) or {}
        known, used = dict(before), dict[tuple[str, float], float]()
        for one in observations:
            if one.limit and one.limit > 0 and one.per_s:
                mode: LimitMode = "fixed" if one.reset_means == "window" else "continuous"
                known[one.kind, one.per_s] = Limit(one.kind, one.limit, one.per_s, mode)
                if one.remaining is not None:
                    used[one.kind, one.per_s] = max(0.0, one.limit - one.remaining)
        if known == before:
            return
        self._learned.put(request.scope, known)
        scope = self._scope(request)
        new = [0.0 if place in before else used.get(place, 0.0) for place in known]
        if any(new):
            self.limiter.charge(grant, scope, new)

    def _in_order(
        self, request: Request, tried: Sequence[Account]
    ) -> tuple[tuple[Account, ...], bool]:
        """The account of the conversation first, else the next one in turn; which it was."""
        accounts = tuple(one for one in request.accounts if one not in tried) or request.accounts
        stuck = None
        if request.conversation is not None:
            stuck = self._sticks.get(request.conversation)
            place = next((n for n, one in enumerate(accounts) if one.name == stuck), None)
            if place is None:
                with self._lock:
                    self._turn = place = (self._turn + 1) % len(accounts)
            accounts = (*accounts[place:], *accounts[:place])
        accounts = self._pool.choose(accounts, request.scope)
        return accounts, accounts[0].name == stuck


def _name_of(model: object) -> str:
    """A model's name as every store can keep it, whatever a request has in its place."""
    name = str(model or "").encode(errors="backslashreplace").decode()
    if len(name) <= _LONGEST_NAME:
        return name
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[:_LONGEST_NAME]}…{digest}"


def _is_of(one: Observation, limit: Limit) -> bool:
    """Whether it is about this limit. Where no period is said, the amount tells."""
    if one.per_s is None:
        return (one.kind, one.limit) == (limit.kind, limit.amount)
    return (one.kind, one.per_s) == (limit.kind, limit.per_s)


def _is_hit(limit: Limit, refusal: Refusal) -> bool:
    """Whether it may be the limit that a request was refused for."""
    is_kind = limit.kind == refusal.counts or (
        refusal.counts == "tokens" and limit.kind.endswith("_tokens")
    )
    return is_kind and refusal.scope in (None, _SCOPES.get(limit.per_s))


def _is_about_the_account(refusal: Refusal) -> bool:
    """Whether another account may be served: not where the request, or the provider, is meant."""
    if refusal.kind == "final":
        return refusal.reason != "too_large"
    return refusal.kind in ("key", "bucket")


def _is_no_answer(message: object) -> bool:
    return not isinstance(message, dict) or message.get("role") != "assistant"


def _conversation(body: chat.Body) -> bytes | None:
    """What tells a conversation apart: how it begins; None: it is none."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    start = list(takewhile(_is_no_answer, messages))
    written = fingerprint([body.get("model"), start])
    return blake2b(written, digest_size=16).digest()

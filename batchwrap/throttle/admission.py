"""One request under its limits: reserves for each attempt, and learns from its answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import ref

from batchwrap.core.limits.cost import NOTHING, Cost, Usage
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.core.limits.state import Seen
from batchwrap.core.provider import Provider
from batchwrap.options import Limit
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.feedback import Feedback
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.periods import meters_at
from batchwrap.throttle.pool import Pool
from batchwrap.throttle.reservation import OnWait, Reservation
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.signal import UNCLOSED, TaskSignal, ThreadSignal, Waits
from batchwrap.throttle.stores import TokenTotals
from batchwrap.throttle.streams import OpenStream, line_of_caller
from batchwrap.throttle.tokens.calibration import LEAST

# What a refusal calls the period of a limit, by its length.
_PERIODS = {1.0: "second", 60.0: "minute", 3_600.0: "hour", 86_400.0: "day"}


@dataclass(eq=False, slots=True, weakref_slot=True)
class AdmissionRequest:
    """A request that is admitted once for each of its attempts.

    `Budget.request` makes it. A driver reserves, reports the outcome of the attempt, and settles.
    If the request is dropped before that, the limiter gives its reservation back.

    Attributes:
        provider: the provider that the request goes to.
        model: the name of its model.
        scope_name: the name of the buckets that it takes from.
        accounts: the accounts that it may be sent with.
        limiter: admits it.
        pool: knows which of the accounts take requests now.
        feedback: what answers have taught about its limits.
        limits: the limits; None if only headers name them.
        unix_clock: seconds since 1970.
        conversation: identifies the conversation, if there are accounts to choose from.
        priority: higher ones go first.
        waits: the waits of its client; closing the client ends them.
        waited_s: how long the last attempt has waited.
    """

    provider: Provider
    model: str
    scope_name: str
    accounts: tuple[Account, ...]
    limiter: Limiter
    pool: Pool
    feedback: Feedback
    limits: tuple[Limit, ...] | None
    unix_clock: Callable[[], float]
    conversation: bytes | None = None
    priority: int = 0
    waits: Waits = UNCLOSED
    waited_s: float = 0.0
    _comes_again: bool = False
    _account: Account | None = None
    _refused_by: list[Account] = field(default_factory=list)
    _held: Reservation | None = None

    @property
    def api_key(self) -> str | None:
        """The key to send with; None for the agent's own."""
        return None if self._account is None else self._account.api_key

    @property
    def counts_tokens(self) -> bool:
        """Whether any limit counts tokens."""
        kinds = {limit.kind for limit in self._limits()}
        return not kinds <= {"requests", "concurrency"}

    def scope(self) -> LimitScope:
        """The limits as they are now."""
        limits = self._limits()
        return LimitScope(self.scope_name, limits, meters_at(limits, self.unix_clock()))

    def reserve(
        self, cost: Cost, minimum: Cost, headroom: Cost = NOTHING, on_wait: OnWait | None = None
    ) -> None:
        """Wait in this thread until the limits admit an attempt.

        Args:
            cost: what the request is expected to need.
            minimum: the certain part of that; only this part can be too large.
            headroom: what it may need beyond the cost.
            on_wait: called once if it must wait, with the expected time, if it is known, and the
                limit that causes the wait.

        Raises:
            ClientClosed: the client was closed.
            LimitExceeded: it can never fit, or the wait would be too long.
            StoreUnavailable: the store is down, and there is no fallback.
        """
        reservation = self._reservation(cost, minimum, headroom, ThreadSignal())
        self.limiter.acquire(reservation, self.waits, on_wait)
        self._hold(reservation)

    async def reserve_async(
        self, cost: Cost, minimum: Cost, headroom: Cost = NOTHING, on_wait: OnWait | None = None
    ) -> None:
        """Wait in this task until the limits admit an attempt. Raises as `reserve` does."""
        reservation = self._reservation(cost, minimum, headroom, TaskSignal())
        await self.limiter.acquire_async(reservation, self.waits, on_wait)
        self._hold(reservation)

    def pause(self, seconds: float) -> None:
        """Wait in this thread for this many seconds.

        Raises:
            ClientClosed: the client was closed.
        """
        self.limiter.pause(seconds, self.waits)

    async def pause_async(self, seconds: float) -> None:
        """Wait in this task for this many seconds. Raises as `pause` does."""
        await self.limiter.pause_async(seconds, self.waits)

    def arrived(self) -> None:
        """Report that the provider has received the request."""
        held = self._held
        if held is not None and held.scope.meters:  # else nothing is in transit
            self.limiter.run(held, held.store.arrived, held.key, held.scope.meters, held.ticket)

    def streams(self) -> OpenStream | None:
        """Report that the answer is handed out in pieces.

        Returns:
            A context to enter while the next piece is awaited; None if no request could wait for
            the place that the answer holds.
        """
        held = self._held
        if held is None or all(one.kind != "concurrency" for one in held.scope.limits):
            return None
        held.stream = OpenStream(line_of_caller())
        return held.stream

    def learn(self, observations: Sequence[Observation], *, is_accepted: bool = True) -> None:
        """Learn from an answer's headers: amounts if none are known, otherwise levels.

        Args:
            observations: what the headers say.
            is_accepted: whether the provider has accepted the request.
        """
        held = self._held
        if held is None:
            return
        if self.limits is None:
            prompt = held.minimum.input_tokens * LEAST if is_accepted else 0.0
            used = self.feedback.learn_limits(observations, proven=Cost(1, prompt, 0, prompt, 0))
            # Limits that were just learned have new buckets, so earlier usage is charged to them.
            if any(used):
                self.limiter.charge(held, self.scope(), used)
        seen = [
            Seen(
                index,
                remaining=one.remaining,
                capacity=one.limit,
                # For a limit with fixed periods, the reset is the end of the period.
                ends_s=one.reset_s if one.reset_means != "full" else None,
            )
            for one in observations
            for index, limit in enumerate(held.scope.limits)
            if _is_about(one, limit)
        ]
        if seen:
            self._learn(held, seen)

    def refused(self, refusal: Refusal, seconds: float) -> float:
        """React to a refusal, after which the request is sent again in this many seconds.

        Returns:
            How long to sleep before it reserves again. This is 0 if the whole account is closed for
            that time, since a request that waits in the queue is the first when it opens.
        """
        if (held := self._held) is not None:
            if refusal.kind == "bucket":
                self._learn_level(held, refusal)
                self._close_for(held, seconds)
                self.feedback.refused_for_bucket()
            elif refusal.kind == "concurrency":
                meters = held.scope.meters
                self.limiter.run(held, held.store.crowded, held.key, meters, held.ticket, seconds)
                # If the provider names no time, the end of another request frees a place.
                if refusal.retry_after_s is not None:
                    self._close_for(held, seconds)
            elif refusal.kind == "growth":
                self.feedback.refused_for_growth()
        return 0.0 if refusal.is_queued else seconds

    def broke_off(self, refusal: Refusal) -> None:
        """React to a refusal in the middle of a stream, which is not sent again.

        As after any other refusal, a wait above the maximum closes nothing: the provider refuses
        the next request, too, and its own error says more than one of the limiter's.
        """
        asked_s = refusal.retry_after_s or 0.0
        self.refused(refusal, asked_s if asked_s <= self.limiter.max_wait_s else 0.0)

    def takes_over(self, refusal: Refusal) -> bool:
        """Whether another account may take the request, since this one will not, or not soon.

        If so, this account leaves the pool for as long as the provider says.
        """
        account = self._account
        if account is None or len(self.accounts) == 1 or not _is_about_the_account(refusal):
            return False
        # The length of a limit's period does not say when to come back.
        asked_s = None if refusal.retry_after_is_window else refusal.retry_after_s
        if refusal.kind != "bucket" or (asked_s or 0.0) > self.limiter.max_wait_s:
            # A time longer than any period of a limit is a mistake, so it is as good as unknown.
            is_real = asked_s is None or asked_s < LONGEST_S
            self.pool.leave(account, self.scope_name, asked_s if is_real else None)
        gone = (account, *self._refused_by)
        others = [one for one in self.accounts if one not in gone]
        if not self.pool.usable(others, self.scope_name):
            return False
        self._refused_by.append(account)
        return True

    def settle(self, spent: Cost, usage: Usage | None) -> None:
        """Replace the reservation by what was spent; only the first settlement counts.

        Args:
            spent: the cost as the provider's limits count it; zero for a refused request.
            usage: the tokens as the provider has counted them, if it has reported them.
        """
        # Taken out first, since a stream may be closed, collected and ended at the same time.
        held, self._held = self._held, None
        if held is None:
            return
        self.limiter.settle(held, spent)
        if spent.requests:  # a refused request is not booked, and proves nothing about the key
            used = usage or Usage(round(spent.input_tokens), round(spent.output_tokens))
            entry = TokenTotals(1, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
            account = held.account
            self.limiter.run(held, held.store.spend, account.name, self.model, entry)
            self.pool.came_back(account, self.scope_name)
            self.feedback.answered()

    def _limits(self) -> tuple[Limit, ...]:
        return self.feedback.limits if self.limits is None else self.limits

    def _reservation(
        self, cost: Cost, minimum: Cost, headroom: Cost, signal: ThreadSignal | TaskSignal
    ) -> Reservation:
        """The reservation of the next attempt, for the limits as they are known now."""
        again, self._comes_again, self.waited_s = self._comes_again, True, 0.0
        scope, feedback = self.scope(), self.feedback
        accounts, prefers_first = self.accounts, False
        # Mostly there is one account, and nothing to choose.
        if len(accounts) > 1:
            accounts, prefers_first = self.pool.order(
                accounts, self.scope_name, self.conversation, without=self._refused_by
            )
        return Reservation(
            scope,
            accounts,
            cost,
            minimum,
            scope.reserved(
                cost,
                # A provider refuses what is above a limit of its own; headers may be wrong.
                NOTHING if self.limits is None else minimum,
                headroom,
                caution_s=feedback.caution_s,
                pace=feedback.pace,
                again=again,
            ),
            signal,
            secrets.token_hex(8),
            ref(self),
            # The factor 2 leaves room between priorities: a retried request, which has waited
            # before, is the first of its priority.
            order=-2 * self.priority - again,
            prefers_first=prefers_first,
            pace=feedback.pace,
        )

    def _hold(self, reservation: Reservation) -> None:
        self._held, self.waited_s = reservation, reservation.waited_s
        self._account = reservation.account
        if self.conversation is not None:
            self.pool.stays(self.conversation, self._account)

    def _close_for(self, held: Reservation, seconds: float) -> None:
        self.limiter.run(held, held.store.close_for, held.key, seconds)

    def _learn(self, held: Reservation, seen: Sequence[Seen]) -> None:
        meters = held.scope.meters
        self.limiter.run(held, held.store.learn, held.key, meters, held.ticket, seen)

    def _learn_level(self, held: Reservation, refusal: Refusal) -> None:
        """Learn how full the provider's bucket is that has refused a request.

        The bucket held less than the request needs, and will hold just that amount after the time
        that the provider names. The ledger here had more, or the request would not have been sent,
        so another client has used the difference. Without headers, only a refusal shows this.
        """
        limits = held.scope.limits
        hit = [index for index, limit in enumerate(limits) if _is_hit(limit, refusal)]
        if len(hit) != 1:
            return
        limit, asked_s = limits[hit[0]], refusal.retry_after_s or 0.0
        # A time beyond the limit's own period is not about this bucket.
        if refusal.retry_after_is_window or asked_s > limit.per_s:
            asked_s = 0.0
        ends_s = asked_s if limit.mode == "fixed" and asked_s else None
        self._learn(held, [Seen(hit[0], remaining=0.0, ends_s=ends_s)])
        if limit.mode == "continuous" and asked_s:
            # The request's own reservation is given back now; the rest refills until then.
            missing = asked_s * limit.rate * held.pace  # `settle` divides by the pace
            self.limiter.settle(held, Cost(**{limit.kind: missing}))


def _is_about(one: Observation, limit: Limit) -> bool:
    """Whether the observation is about this limit. Without a period, the amount decides."""
    if one.per_s is None:
        return (one.kind, one.limit) == (limit.kind, limit.amount)
    return (one.kind, one.per_s) == (limit.kind, limit.per_s)


def _is_hit(limit: Limit, refusal: Refusal) -> bool:
    """Whether a request may have been refused because of this limit."""
    is_kind = limit.kind == refusal.counts or (
        refusal.counts == "tokens" and limit.kind.endswith("_tokens")
    )
    return is_kind and refusal.scope in (None, _PERIODS.get(limit.per_s))


def _is_about_the_account(refusal: Refusal) -> bool:
    """Whether the refusal concerns this account only, so that another one may be served."""
    if refusal.kind == "final":
        return refusal.reason != "too_large"
    return refusal.kind in ("key", "bucket")

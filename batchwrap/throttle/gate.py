"""The limits of one request: which account takes it, and what becomes of its reservation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchwrap.core.limits.cost import NOTHING, Cost, Usage
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.refusal import Refusal
from batchwrap.throttle.accounts import Account
from batchwrap.throttle.asks import Ask, Grant
from batchwrap.throttle.budget import Budget, Request
from batchwrap.throttle.signal import UNCLOSED, TaskSignal, ThreadSignal, Waits
from batchwrap.throttle.streams import OpenStream, line_of_caller
from batchwrap.throttle.waiters import OnWait


class Gate:
    """What a driver passes with each attempt of one request.

    Args:
        budget: the limits.
        request: what of the request matters there.
        waits: those of its client; closing it ends them with `ClientClosed`.
    """

    def __init__(self, budget: Budget, request: Request, waits: Waits = UNCLOSED) -> None:
        self._budget = budget
        self._request = request
        self._waits = waits
        self._comes_again = False
        self._account: Account | None = None
        self._tried: list[Account] = []

    def acquire(
        self, cost: Cost, minimum: Cost, headroom: Cost = NOTHING, on_wait: OnWait | None = None
    ) -> Lease:
        """Wait in this thread until the cost is admitted.

        Args:
            cost: what the request may need.
            minimum: the part of it that is certain; only that can be too large.
            headroom: what it may need beyond.
            on_wait: told once if it must wait: for how long, if anybody knows, and for what.

        Raises:
            LimitExceeded: it can never fit, or the wait would be too long.
            StoreUnavailable: the store is down, and nothing takes its place.
        """
        ask = self._ask(cost, minimum, headroom)
        return self._lease(self._budget.limiter.acquire(ask, self._waits, on_wait))

    async def acquire_async(
        self, cost: Cost, minimum: Cost, headroom: Cost = NOTHING, on_wait: OnWait | None = None
    ) -> Lease:
        """Wait in this task until the cost is admitted. Raises as `acquire` does."""
        ask = self._ask(cost, minimum, headroom)
        return self._lease(await self._budget.limiter.acquire_async(ask, self._waits, on_wait))

    def _ask(self, cost: Cost, minimum: Cost, headroom: Cost) -> Ask:
        """Who was refused has waited before: he is the first of his priority."""
        again, self._comes_again = self._comes_again, True
        return self._budget.ask(
            self._request, cost, minimum, headroom, again=again, tried=self._tried
        )

    def takes_over(self, refusal: Refusal) -> bool:
        """Whether another account may take the request, since this one will not, or not soon."""
        account = self._account
        if account is None or not self._budget.takes_over(
            self._request, account, refusal, self._tried
        ):
            return False
        self._tried.append(account)
        return True

    def pause(self, seconds: float) -> None:
        """Wait in this thread for so long."""
        if not self._budget.skips(seconds):
            self._waits.wait(ThreadSignal(), seconds)

    async def pause_async(self, seconds: float) -> None:
        """Wait in this task for so long."""
        if not self._budget.skips(seconds):
            await self._waits.wait_async(TaskSignal(), seconds)

    def _lease(self, grant: Grant) -> Lease:
        self._account = grant.account
        self._budget.took(self._request, grant.account)
        return Lease(self._budget, self._request, grant)


class Lease:
    """A reservation. The first settlement counts, from any thread."""

    def __init__(self, budget: Budget, request: Request, grant: Grant) -> None:
        self._budget = budget
        self._request = request
        self._grant: Grant | None = grant
        self.api_key = grant.account.api_key
        self.waited_s = grant.waited_s

    def arrived(self) -> None:
        """The provider has the request."""
        self._with_grant(self._budget.limiter.arrived)

    def streams(self) -> OpenStream | None:
        """Its answer is handed out in pieces; None if nobody could wait for its place."""
        grant = self._grant
        if grant is None or all(one.kind != "concurrency" for one in grant.ask.scope.limits):
            return None
        grant.stream = OpenStream(line_of_caller())
        return grant.stream

    def learn(self, observations: Sequence[Observation]) -> None:
        """Take over what the answer's headers say about limits."""
        self._with_grant(lambda grant: self._budget.learn(self._request, grant, observations))

    def refused(self, refusal: Refusal, seconds: float) -> float:
        """The provider refused the request; it comes again after so many seconds.

        Returns:
            How long to sleep. Not at all where the whole account is closed for so long: who
            asks again at once is the first when it opens.
        """
        self._with_grant(lambda grant: self._budget.refused(self._request, grant, refusal, seconds))
        return 0.0 if refusal.is_queued else seconds

    def settle(self, spent: Cost, usage: Usage | None) -> None:
        """Replace the reservation by what was really spent."""
        grant, self._grant = self._grant, None
        if grant is not None:
            self._budget.limiter.settle(grant, spent)
            self._budget.spent(self._request, grant, spent, usage)

    def _with_grant(self, do: Callable[[Grant], None]) -> None:
        if self._grant is not None:
            do(self._grant)

"""The limits of one request: which account takes it, and what becomes of its reservation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchwrap.core.limits.cost import Cost, Usage
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.refusal import Refusal
from batchwrap.throttle.budget import Budget, Request
from batchwrap.throttle.limiter import Grant


class Gate:
    """What a driver passes with each attempt of one request."""

    def __init__(self, budget: Budget, request: Request) -> None:
        self._budget = budget
        self._request = request

    def acquire(self, cost: Cost, sure: Cost) -> Lease:
        """Wait in this thread until the cost is admitted.

        Raises:
            LimitExceeded: it can never fit, or the wait would be too long.
            StoreUnavailable: the store is down, and nothing takes its place.
        """
        return self._lease(
            self._budget.limiter.acquire(self._budget.ask(self._request, cost, sure))
        )

    async def acquire_async(self, cost: Cost, sure: Cost) -> Lease:
        """Wait in this task until the cost is admitted. Raises as `acquire` does."""
        ask = self._budget.ask(self._request, cost, sure)
        return self._lease(await self._budget.limiter.acquire_async(ask))

    def _lease(self, grant: Grant) -> Lease:
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

    def learn(self, observations: Sequence[Observation]) -> None:
        """Take over what the answer's headers say about limits."""
        self._with_grant(lambda grant: self._budget.learn(self._request, grant, observations))

    def refused(self, refusal: Refusal, seconds: float) -> None:
        """The provider refused the request; it comes again after so many seconds."""
        self._with_grant(lambda grant: self._budget.refused(self._request, grant, refusal, seconds))

    def settle(self, spent: Cost, usage: Usage | None) -> None:
        """Replace the reservation by what was really spent."""
        grant, self._grant = self._grant, None
        if grant is not None:
            self._budget.limiter.settle(grant, spent)
            self._budget.spent(self._request, grant, spent, usage)

    def _with_grant(self, do: Callable[[Grant], None]) -> None:
        if self._grant is not None:
            do(self._grant)

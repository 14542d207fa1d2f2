"""What an exchange holds while it runs, and letting go of it on every way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.limits.refusal import Refusal
from batchwrap.throttle.admission import AdmissionRequest


class Attempt:
    """The exchange and the reservation of the running attempt.

    Args:
        exchange: the machine.
        admission: has the reservation; nothing in it may fail a request that has its answer.
        on_end: called once, when everything is over.
    """

    def __init__(
        self,
        exchange: Exchange,
        admission: AdmissionRequest,
        on_end: Callable[[Exchange], None],
    ) -> None:
        self.exchange = exchange
        self._admission = admission
        self._on_end = [on_end]

    @property
    def api_key(self) -> str | None:
        """The key to send with; None for the agent's own."""
        with self.exchange.guard.step("admit"):
            return self._admission.api_key
        return None

    def streams(self) -> AbstractContextManager[None] | None:
        """The answer is handed out in pieces; each is awaited inside of what is returned."""
        with self.exchange.guard.step("settle"):
            return self._admission.streams()
        return None

    def arrived(self) -> None:
        """The provider has the request."""
        with self.exchange.guard.step("settle"):
            self._admission.arrived()

    def learn(self) -> None:
        """Take over what the answer's headers say about limits."""
        with self.exchange.guard.step("settle"):
            if self.exchange.observations:
                self._admission.learn(self.exchange.observations)

    def refused(self, refusal: Refusal, seconds: float) -> float:
        """The provider refused the attempt. How long to sleep before it asks again."""
        sleep_s = seconds
        with self.exchange.guard.step("settle"):
            sleep_s = self._admission.refused(refusal, seconds)
        self.settle()
        return sleep_s

    def settle(self) -> None:
        """Replace the reservation by what was spent; the first call counts."""
        with self.exchange.guard.step("settle"):
            if (refusal := self.exchange.broken_off) is not None:
                self.exchange.broken_off = None
                self._admission.refused(refusal, refusal.retry_after_s or 0.0)
            self._admission.settle(self.exchange.spent, self.exchange.usage)

    def stopped(self, error: BaseException) -> None:
        """The answer was read to its end, or to this error."""
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            self.exchange.observer.failed(error)

    def end(self) -> None:
        """Settle and report, once."""
        if not self._on_end:
            return
        self.settle()
        try:
            on_end = self._on_end.pop()  # one of several threads that end it gets it
        except IndexError:
            return
        self.exchange.finish()
        on_end(self.exchange)

"""One running attempt of an exchange: its reservation, and its end on every path.

Both drivers use it. An error in the limiter or in a store fails no request, so each call of the
admission runs inside the exchange's guard.
"""

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
        admission: holds the reservation.
        on_end: called once, when the exchange is over.
    """

    def __init__(
        self,
        exchange: Exchange,
        admission: AdmissionRequest,
        on_end: Callable[[Exchange], None],
    ) -> None:
        self.exchange = exchange
        self._admission = admission
        self._on_end = [on_end]  # a list, since `pop` is atomic

    @property
    def api_key(self) -> str | None:
        """The API key to send with; None for the agent's own."""
        with self.exchange.guard.step("admit"):
            return self._admission.api_key
        return None

    def streams(self) -> AbstractContextManager[None] | None:
        """The context manager in which each piece of a stream is awaited; None if not needed."""
        with self.exchange.guard.step("settle"):
            return self._admission.streams()
        return None

    def arrived(self) -> None:
        """Record that the provider has the request."""
        with self.exchange.guard.step("settle"):
            self._admission.arrived()

    def learn(self) -> None:
        """Correct the ledger by what the answer's headers say about limits."""
        if self.exchange.observations:
            with self.exchange.guard.step("settle"):
                is_accepted = (self.exchange.status or 0) < 400
                self._admission.learn(self.exchange.observations, is_accepted=is_accepted)

    def refused(self, refusal: Refusal, seconds: float) -> float:
        """Record that the provider refused the attempt; the seconds to sleep before the next."""
        sleep_s = seconds
        with self.exchange.guard.step("settle"):
            sleep_s = self._admission.refused(refusal, seconds)
        self.settle()
        return sleep_s

    def settle(self) -> None:
        """Replace the reservation by what was spent; only the first call counts."""
        with self.exchange.guard.step("settle"):
            # A stream that ended in a refusal teaches the limiter the same as a refused request.
            if (refusal := self.exchange.broken_off) is not None:
                self.exchange.broken_off = None
                self._admission.broke_off(refusal)
            self._admission.settle(self.exchange.spent, self.exchange.usage)

    def stopped(self, error: BaseException) -> None:
        """Record that the answer was read to its end, or to this error."""
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            self.exchange.observer.failed(error)

    def end(self) -> None:
        """Settle and report; later calls do nothing."""
        if not self._on_end:
            return
        self.settle()
        try:
            on_end = self._on_end.pop()  # if several threads end it, only one gets the function
        except IndexError:
            return
        self.exchange.finish()
        on_end(self.exchange)

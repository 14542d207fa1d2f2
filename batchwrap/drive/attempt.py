"""What an exchange holds while it runs, and letting go of it on every way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.limits.refusal import Refusal
from batchwrap.throttle.gate import Lease


class Attempt:
    """The reservation of the running attempt, and who wants to hear of the end."""

    def __init__(self, exchange: Exchange, on_end: Callable[[Exchange], None]) -> None:
        self.exchange = exchange
        self.lease: Lease | None = None
        self._on_end = [on_end]

    @property
    def api_key(self) -> str | None:
        """The key to send with; None for the agent's own."""
        return self.lease.api_key if self.lease is not None else None

    @property
    def waited_s(self) -> float:
        """How long the attempt waited to be admitted."""
        return self.lease.waited_s if self.lease is not None else 0.0

    def streams(self) -> AbstractContextManager[None]:
        """The answer is handed out in pieces; each is awaited inside of what is returned."""
        with self.exchange.guard.step("settle"):
            stream = self.lease.streams() if self.lease is not None else None
            return nullcontext() if stream is None else stream
        return nullcontext()

    def arrived(self) -> None:
        """The provider has the request."""
        with self.exchange.guard.step("settle"):
            if self.lease is not None:
                self.lease.arrived()

    def learn(self) -> None:
        """Take over what the answer's headers say about limits."""
        with self.exchange.guard.step("settle"):
            if self.lease is not None and self.exchange.observations:
                self.lease.learn(self.exchange.observations)

    def refused(self, refusal: Refusal, seconds: float) -> float:
        """The provider refused the attempt. How long to sleep before it asks again."""
        sleep_s = seconds
        with self.exchange.guard.step("settle"):
            if self.lease is not None:
                sleep_s = self.lease.refused(refusal, seconds)
        self.settle()
        return sleep_s

    def asks_again(self) -> None:
        """The attempt has ended, and another one follows."""
        self.settle()
        self.lease = None

    def settle(self) -> None:
        """Replace the reservation by what was spent; the first call counts."""
        with self.exchange.guard.step("settle"):
            if self.lease is not None and (refusal := self.exchange.broken_off) is not None:
                self.exchange.broken_off = None
                self.lease.refused(refusal, refusal.retry_after_s or 0.0)
            if self.lease is not None:
                self.lease.settle(self.exchange.spent, self.exchange.usage)

    def stopped(self, error: BaseException) -> None:
        """The answer was read to its end, or to this error."""
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            self.exchange.watch.failed(error)

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

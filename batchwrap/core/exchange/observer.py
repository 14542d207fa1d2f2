"""The interface through which an exchange and its driver report their progress.

Reports go one way: an observer returns nothing, so it cannot change the exchange.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange_metrics import ExchangeMetrics


class Observer(Protocol):
    """Follows one exchange. Its methods never raise."""

    def sending(self) -> AbstractContextManager[object]:
        """A context in which each attempt to send is made."""
        ...

    def began(self) -> None:
        """The first event of a stream has arrived; later calls are ignored."""
        ...

    def progressed(self, metrics: ExchangeMetrics, guard: Guard) -> None:
        """Events were recorded that should be reported now and not at the end."""
        ...

    def failed(self, error: BaseException) -> None:
        """The exchange ends with this error of the caller, the network or a limit."""
        ...


class NoObserver:
    """Ignores everything."""

    def sending(self) -> AbstractContextManager[object]:
        """A context that does nothing."""
        return nullcontext()

    def began(self) -> None:
        """Ignored."""

    def progressed(self, metrics: ExchangeMetrics, guard: Guard) -> None:
        """Ignored."""

    def failed(self, error: BaseException) -> None:
        """Ignored."""


NO_OBSERVER = NoObserver()

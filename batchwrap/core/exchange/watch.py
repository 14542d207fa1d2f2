"""Who looks on while an exchange runs. The exchange and its driver tell; nothing comes back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from batchwrap.core.exchange.guard import Guard
from batchwrap.core.tally import Tally


class Watch(Protocol):
    """Looks on at one exchange. Never raises, and changes nothing."""

    def sending(self) -> AbstractContextManager[object]:
        """What each attempt to send is made inside of."""
        ...

    def began(self) -> None:
        """The first event of a stream is here; the first call counts."""
        ...

    def progressed(self, tally: Tally, guard: Guard) -> None:
        """Something happened that whoever looks on wants to hear of now, not at the end."""
        ...

    def failed(self, error: BaseException) -> None:
        """The exchange ends in this error of the caller, the network or a limit."""
        ...


class Nobody:
    """Looks away."""

    def sending(self) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def began(self) -> None:
        """Nothing."""

    def progressed(self, tally: Tally, guard: Guard) -> None:
        """Nothing."""

    def failed(self, error: BaseException) -> None:
        """Nothing."""


NOBODY = Nobody()

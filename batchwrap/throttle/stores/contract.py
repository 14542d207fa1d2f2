"""The interface of all stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from batchwrap.core.limits.state import Admission, Seen, Snapshot
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.errors import StoreRefused

MINUTE_S, DAY_S = 60, 86_400
# How long lines of the books are kept.
MINUTES_KEPT_S, DAYS_KEPT_S = 3_600, 35 * DAY_S
# Calendars end with the year 9999.
LATEST_S = 253_402_300_799 - DAY_S


@dataclass(frozen=True, slots=True)
class TokenTotals:
    """Tokens that requests have used, as the provider counted them; prompt includes cached."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: TokenTotals) -> TokenTotals:
        """The sum of both."""
        return TokenTotals(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class BookLine:
    """One line of the books.

    Attributes:
        key: the account.
        model: the model.
        span: the length of its period.
        start_unix_s: when its period began: a minute, or a day in UTC.
        spent: the total of its period.
    """

    key: str
    model: str
    span: Literal["minute", "day"]
    start_unix_s: int
    spent: TokenTotals


def book_line(
    store: str, key: str, model: object, span: Literal["minute", "day"], *numbers: object
) -> BookLine:
    """A line of the books as a store has kept it.

    Args:
        store: the store's name.
        key: the account.
        model: the model.
        span: the length of its period.
        numbers: when its period began, and the totals, as numbers or as texts.

    Raises:
        StoreRefused: something else has written it.
    """
    try:
        start, *counts = (int(number) for number in numbers)  # type: ignore[call-overload]
        if isinstance(model, str) and 0 <= start <= LATEST_S and min(counts) >= 0:
            return BookLine(key, model, span, start, TokenTotals(*counts))
    except (OverflowError, TypeError, ValueError) as error:
        raise StoreRefused(store, f"the books of {key!r} are damaged") from error
    raise StoreRefused(store, f"the books of {key!r} are damaged")


class Store(Protocol):
    """Keeps accounts and does the operations of `core.limits.account` on them, one at a time.

    Every method is atomic, may be called from any thread, and takes the time from the store's own
    clock. `key` names an account; it is opaque and never holds an API key in clear. `settle` and
    `leave` may be called by a finaliser, even while the same thread runs another operation. All
    methods may raise `StoreUnavailable`.

    Attributes:
        name: the store's URL, without a password.
        shared: whether other processes use its accounts. They cannot wake a request here when
            they give something back, so a waiting request has to ask regularly.
    """

    name: str
    shared: bool

    def reserve(
        self,
        key: str,
        meters: Sequence[LimitMeter],
        amounts: Sequence[float],
        ticket: str,
        *,
        priority: int = 0,
        owner: str = "",
        max_wait_s: float = ...,
    ) -> Admission:
        """Reserve an amount of each limit. See `account.reserve`."""
        ...

    def arrived(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Record that the provider has the ticket's request. See `account.arrived`."""
        ...

    def learn(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, seen: Sequence[Seen]
    ) -> None:
        """Correct the account by an answer's headers. See `account.learn`."""
        ...

    def settle(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, spent: Sequence[float]
    ) -> None:
        """Replace what is reserved by what was spent. See `account.settle`."""
        ...

    def leave(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Give up, admitted or not. See `account.leave`."""
        ...

    def renew(
        self, key: str, meters: Sequence[LimitMeter], owner: str, holders: Sequence[str]
    ) -> None:
        """Record that an owner is alive and which tickets it has. See `account.renew`."""
        ...

    def close_for(self, key: str, seconds: float) -> None:
        """Admit nothing for this long. See `account.close_for`."""
        ...

    def crowded(self, key: str, meters: Sequence[LimitMeter], ticket: str, seconds: float) -> None:
        """Record a refusal because too many requests run. See `account.crowded`."""
        ...

    def snapshot(self, key: str, meters: Sequence[LimitMeter]) -> Snapshot:
        """The levels of the buckets, and the requests that run and wait. See `account.snapshot`."""
        ...

    def accounts(self) -> list[str]:
        """The keys of all accounts that are kept, in alphabetical order."""
        ...

    def spend(self, key: str, model: str, spent: TokenTotals) -> None:
        """Add usage to the books, under the current minute and day."""
        ...

    def usage(self, key: str | None = None) -> list[BookLine]:
        """The books, of one account or of all, oldest first.

        Minutes are kept for about an hour, days for some weeks.
        """
        ...

    def close(self) -> None:
        """Close files and connections. A store that is used again opens them again."""
        ...

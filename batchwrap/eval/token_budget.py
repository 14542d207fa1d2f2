"""The limits of tokens and cost of an evaluation, checked before each request."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """The tokens of some requests. Cached tokens are included in the prompt's."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def tokens(self) -> int:
        """The tokens of prompt and output together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: TokensUsed) -> TokensUsed:
        return TokensUsed(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The prices of a million tokens, in the user's currency.

    Attributes:
        prompt: the price of prompt tokens.
        completion: the price of output tokens.
        cached: the price of cached prompt tokens; None if it is the same as `prompt`.
    """

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, used: TokensUsed) -> float:
        """The cost of some tokens."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = used.prompt_tokens - used.cached_tokens
        cost = fresh * self.prompt + used.cached_tokens * cached
        return (cost + used.completion_tokens * self.completion) / _MILLION


class BudgetSpent(Exception):
    """The next request might exceed a limit, which the message names."""


class TokenBudget:
    """Adds up what all runs have used and what running requests may use. Thread-safe.

    Args:
        max_tokens: the limit for the tokens of prompt and output together; None for no limit.
        max_cost: the limit for the cost, in the currency of the prices; None for no limit.
        prices: the prices for `max_cost`.

    Attributes:
        used: the tokens of all runs so far.
    """

    def __init__(
        self,
        *,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        prices: Prices | None = None,
    ) -> None:
        self._max_tokens, self._max_cost, self._prices = max_tokens, max_cost, prices
        self._held: dict[Hashable, TokensUsed] = {}
        self._lock = Lock()
        self.used = TokensUsed()

    def hold(self, run: Hashable, used: TokensUsed) -> None:
        """Hold tokens for a run, in place of those that were held for it before.

        Args:
            run: the run.
            used: what it has used so far and what its next request may use, together.

        Raises:
            BudgetSpent: all runs together might exceed a limit; then nothing is changed.
        """
        with self._lock:
            held = {**self._held, run: used}
            total = sum(held.values(), self.used)
            if self._max_tokens is not None and total.tokens > self._max_tokens:
                raise BudgetSpent(f"the limit of {self._max_tokens:,} tokens")
            cost = 0.0 if self._prices is None else self._prices.of(total)
            if self._max_cost is not None and cost > self._max_cost:
                raise BudgetSpent(f"the limit of {self._max_cost:g} on the cost")
            self._held = held

    def settle(self, run: Hashable, used: TokensUsed) -> None:
        """Record that a run is over, with all tokens that it has used."""
        with self._lock:
            self._held.pop(run, None)
            self.used += used

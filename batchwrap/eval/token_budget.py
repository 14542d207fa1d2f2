"""The most that an evaluation may use up, checked before each request."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Tokens of some requests. Cached ones are a part of the prompt's."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Of prompt and output together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: TokensUsed) -> TokensUsed:
        return TokensUsed(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a million tokens cost, in the user's currency.

    Attributes:
        prompt: of the prompt.
        completion: of the output.
        cached: of the prompt, where it comes from the provider's cache; as `prompt` if None.
    """

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, used: TokensUsed) -> float:
        """What these tokens cost."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = used.prompt_tokens - used.cached_tokens
        cost = fresh * self.prompt + used.cached_tokens * cached
        return (cost + used.completion_tokens * self.completion) / _MILLION


class BudgetSpent(Exception):
    """The next request would pass the limit."""


class TokenBudget:
    """Adds up what all runs used, and what the requests that are under way may use. Thread-safe.

    Args:
        max_tokens: the most tokens, of prompt and output together; None: as many as it takes.
        max_cost: the most that they may cost, in the currency of the prices; the same.
        prices: for `max_cost`.

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
        """Hold so much for a run, in place of what was held for it before.

        Args:
            run: which one.
            used: what it has used so far, and what its next request may use.

        Raises:
            BudgetSpent: all runs together might pass the limit. What was held stays held.
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
        """A run is over, and has used so much in all."""
        with self._lock:
            self._held.pop(run, None)
            self.used += used

"""The limit on tokens and cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.eval.token_budget import BudgetSpent, Prices, TokenBudget, TokensUsed

tokens = st.integers(0, 5_000)
used = st.builds(TokensUsed, tokens, tokens)


def test_prices() -> None:
    """Prompt, cached prompt and output have prices of their own, per million."""
    prices = Prices(prompt=2, completion=10, cached=0.5)
    assert prices.of(TokensUsed(1_000_000, 100_000, 400_000)) == pytest.approx(1.2 + 0.2 + 1.0)
    assert Prices(prompt=2, completion=10).of(TokensUsed(1_000_000, 0, 400_000)) == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), used, st.booleans())), st.integers(0, 20_000))
def test_the_limit_is_never_passed(steps: list[tuple[str, TokensUsed, bool]], limit: int) -> None:
    """Whatever runs hold and settle, what is used is within the limit if each keeps its word."""
    budget, held = TokenBudget(max_tokens=limit), dict.fromkeys("abc", TokensUsed())
    for run, amount, ends in steps:
        try:
            budget.hold(run, amount)
            held[run] = amount
        except BudgetSpent:
            pass
        if ends:
            budget.settle(run, held.pop(run))
            held[run] = TokensUsed()
    assert budget.used.tokens + sum(it.tokens for it in held.values()) <= limit


def test_the_cost_is_limited_too() -> None:
    """A limit in money counts by the prices; output may cost more than the prompt."""
    budget = TokenBudget(max_cost=1.0, prices=Prices(prompt=1, completion=10))
    budget.hold("a", TokensUsed(500_000, 50_000))
    with pytest.raises(BudgetSpent, match="cost"):
        budget.hold("b", TokensUsed(0, 1_000))
    budget.settle("a", TokensUsed(500_000, 10_000))
    budget.hold("b", TokensUsed(0, 1_000))


def test_no_limit() -> None:
    """Without a limit everything may be used."""
    budget = TokenBudget()
    budget.hold("a", TokensUsed(10**12, 10**12))
    budget.settle("a", TokensUsed(1, 2))
    assert budget.used.tokens == 3

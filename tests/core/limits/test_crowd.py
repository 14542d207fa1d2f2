"""How many requests may run at the same time, learned from refusals."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.account import MAX_PATIENCE, PATIENCE
from batchwrap.options import Limit
from tests.core.limits.accounts import Account


def refused(one: Account, ticket: str, seconds: float = 1.0) -> None:
    """The provider refuses it, and it enters the queue again."""
    one.crowded(ticket, seconds)
    one.settle(ticket, *[0.0] * len(one.meters))


def burst(one: Account, asked: int, real: int) -> int:
    """So many ask at once; the provider takes the first ones. How many refusals that takes."""
    taken = [f"t{n}" for n in range(asked) if one.reserve(f"t{n}", *_all(one)).status == "admitted"]
    for ticket in taken[real:]:
        refused(one, ticket)
    for ticket in taken[:real]:
        one.settle(ticket, *[0.0] * len(one.meters))
    for n in range(asked):
        one.leave(f"t{n}")
    return len(taken[real:])


def _all(one: Account) -> list[float]:
    return [1.0] * len(one.meters)


def test_a_burst_teaches_the_number() -> None:
    """Of eight at once three are taken: five refusals, and from then on three at a time."""
    one = Account()
    assert burst(one, 8, 3) == 5
    states = [one.reserve(f"u{n}").status for n in range(5)]
    assert states == ["admitted"] * 3 + ["waiting"] * 2
    assert one.reserve("u3").wait_s == inf, "nobody knows when a request ends"
    one.settle("u0")
    assert one.reserve("u3").status == "admitted"
    assert one.reserve("u4").status == "waiting"


def test_where_nobody_else_runs() -> None:
    """If the only request is refused, nothing that ends makes room: the account is closed."""
    one = Account()
    one.take("a")
    refused(one, "a", 5)
    assert one.reserve("b").status == "waiting"
    one.now += 5
    assert one.reserve("b").status == "admitted"
    assert one.reserve("c").status == "waiting"


def test_it_grows_slowly_and_more_slowly() -> None:
    """One more after sixteen that went well; if that was too many, after thirty-two, …"""
    one, waits = Account(), list[int]()
    burst(one, 4, 1)
    ended = 1
    while len(waits) < 7:
        one.take("a")
        if one.reserve("b").status == "admitted":
            waits.append(ended)
            ended = 0
            refused(one, "b")
        one.settle("a")
        one.leave("b")
        ended += 1
    assert waits == [PATIENCE * 2**n for n in range(5)] + [MAX_PATIENCE] * 2


def test_a_limit_of_the_users_own_holds_as_well() -> None:
    """The smaller one counts."""
    one = Account(Limit("concurrency", 2))
    one.take("a", 1)
    one.take("b", 1)
    refused(one, "b")
    assert one.reserve("c", 1).status == "waiting"


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40)), max_size=12))
def test_no_more_than_the_provider_takes(real: int, bursts: list[tuple[int, int]]) -> None:
    """After the first refusals hardly any: one for each time that the number grows."""
    one, known = Account(), False
    for asked, rounds in bursts:
        refusals = burst(one, asked, real)
        assert refusals <= (1 if known else max(0, asked - real))
        known = known or refusals > 0
        for _ in range(rounds):
            burst(one, 1, real)
    assert one.snapshot().running == 0

"""What is told of an answer: names of the request's own tools, and sizes, however much there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.outline import (
    LONGEST_NAME,
    MOST_NAMES,
    UNKNOWN_TOOL,
    by_tool,
)
from batchwrap.stats import OTHER_TOOLS

# Half surrogates, too: agents write them.
NAMES = st.text(st.characters(), max_size=3 * LONGEST_NAME)


@given(
    calls=st.lists(st.tuples(NAMES, st.integers(0, 10**9)), max_size=60),
    known=st.sets(NAMES, max_size=40),
)
def test_nothing_is_lost(calls: list[tuple[str, int]], known: set[str]) -> None:
    """All calls and all their characters are counted, under a bounded number of short names."""
    told = by_tool(calls, known.__contains__)
    assert sum(count for _, count, _ in told) == len(calls)
    assert sum(chars for _, _, chars in told) == sum(chars for _, chars in calls)
    assert len(told) <= MOST_NAMES + 1
    assert len({name for name, _, _ in told}) == len(told)
    assert all(len(name) <= 6 * LONGEST_NAME for name, _, _ in told)
    assert all(name.encode() or not name for name, _, _ in told)


def test_no_contents() -> None:
    """A name that is no tool's may be anything that the model has written, so it is not told."""
    told = by_tool([("read", 3), ("the password is x", 9), ("read", 4)], {"read"}.__contains__)
    assert told == (("read", 2, 7), (UNKNOWN_TOOL, 1, 9))


def test_in_order() -> None:
    """The tools stand in the order of their first calls; what is too much is counted together."""
    calls = [(f"tool_{number}", 1) for number in range(MOST_NAMES + 5)]
    told = by_tool(calls, lambda name: True)
    assert [name for name, _, _ in told] == [*(name for name, _ in calls[:MOST_NAMES]), OTHER_TOOLS]
    assert told[-1] == (OTHER_TOOLS, 5, 5)

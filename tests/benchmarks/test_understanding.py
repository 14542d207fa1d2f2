"""The figures of docs/batching.md about what is understood of multi-calls."""

from __future__ import annotations

import pytest

from benchmarks import understanding


def test_the_grammar() -> None:
    """Nothing is understood as something else, and nearly everything is understood."""
    figures = understanding.of_grammar(3_000)
    assert figures.wrong == 0
    assert figures.exactly > 0.95 * figures.total


@pytest.mark.parametrize(("what", "how", "source"), understanding.of_reports())
def test_a_reported_shape(what: str, how: str, source: str) -> None:
    """What people reported of real models is read as it should be."""
    assert how in ("exactly", "not certain, as it is"), (what, source)

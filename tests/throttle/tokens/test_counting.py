"""Texts are counted once, quickly whatever they are, and not kept."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.encodings import load
from batchwrap.throttle.tokens.counting import Counts, count_text
from tests.strategies import texts


class Text(str):
    """A text that can be watched."""

    __slots__ = ("__weakref__",)


@given(texts)
def test_as_the_tokenizer_does(text: str) -> None:
    """A text of ordinary length is counted exactly."""
    assert count_text(text, "o200k_base") == len(load("o200k_base").encode_ordinary(text))


@pytest.mark.parametrize("unit", ["a", " ", "\n", "^", "é", "中", " \n", "1", "\ud800"])
def test_long_runs_do_not_hang(unit: str) -> None:
    """A million of the same character is counted; `benchmarks.growth` shows that it is linear."""
    counted = count_text(unit * (1_000_000 // len(unit)), "o200k_base")
    part = unit * (10_000 // len(unit))
    assert counted == pytest.approx(100 * count_text(part, "o200k_base"), rel=0.05)


def test_a_very_long_text_is_sampled() -> None:
    """Of a megabyte of ordinary text the estimate is within 3 % of the exact count."""
    lines = (
        f"    self.items[{n}] = entry_{n * 7}  # keeps {n % 13} of them\n" for n in range(25_000)
    )
    text = "".join(lines)
    exact = len(load("o200k_base").encode_ordinary(text))
    assert count_text(text, "o200k_base") == pytest.approx(exact, rel=0.03)


@given(st.lists(st.lists(texts, max_size=6), max_size=6), st.integers(1, 5))
def test_what_is_forgotten_is_counted_again(rounds: list[list[str]], most: int) -> None:
    """A small memory gives the same counts as none, and does not grow."""
    counts = Counts("o200k_base", most)
    for listed in rounds:
        assert counts.total(listed) == sum(count_text(text, "o200k_base") for text in listed)
        assert len(counts) <= 2 * most


def test_texts_are_not_kept() -> None:
    """Nothing but a number stays of a text that was counted."""
    counts, text = Counts("o200k_base"), Text("a text " * 1_000)
    watched = weakref.ref(text)
    assert counts.total([text]) > 1_000
    del text
    gc.collect()
    assert watched() is None
    assert len(counts) == 1


def test_a_known_key_needs_no_text() -> None:
    """What was counted under a key is not made again."""
    counts = Counts("o200k_base")
    assert counts.of(7, lambda: "hello world") == 2
    assert counts.of(7, lambda: "something else that is longer") == 2

"""The filler that stands for a real agent's system prompt."""

from __future__ import annotations

import pytest

from batchwrap.demo.prompt import system_prompt


@pytest.mark.parametrize("tokens", [200, 1_000, 10_000, 25_000])
def test_the_length_is_about_what_was_asked_for(tokens: int) -> None:
    """Within a few percent, at the four to five characters that a token of English has."""
    assert 4.2 < len(system_prompt(tokens)) / tokens < 5.0


def test_the_same_number_gives_the_same_text() -> None:
    """Nothing is left to chance, and a longer prompt goes on where a shorter one ends."""
    short, long = system_prompt(500), system_prompt(2_000)
    assert short == system_prompt(500)
    assert long.startswith(short)


def test_rules_do_not_repeat() -> None:
    """Up to 25,000 tokens no rule is there twice, as in a prompt that somebody wrote."""
    rules = [line for line in system_prompt(25_000).splitlines() if line.startswith("- ")]
    assert len(rules) == len(set(rules)) > 500


def test_a_length_of_nothing_is_refused() -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match="tokens"):
        system_prompt(0)

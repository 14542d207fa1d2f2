"""A plan in the lab: what the provider enforces, and what the client keeps."""

from __future__ import annotations

import pytest

from batchwrap.demo.played_plan import played
from batchwrap.errors import ConfigError
from batchwrap.lab import Lab
from batchwrap.options import Limit
from batchwrap.providers import plan, plan_names


@pytest.mark.parametrize("name", plan_names())
def test_every_plan_can_be_played(name: str) -> None:
    """Each limit is enforced, or named as left out; the client keeps each that is enforced."""
    it = played(name)
    assert len(it.limits) + len(it.left_out) == len(plan(name).limits)
    assert {limit.kind for limit in it.left_out} <= {"input_tokens", "output_tokens"}
    Lab(lambda _: "", limits=it.limits)  # type: ignore[arg-type, return-value]
    for theirs, ours in zip(it.limits, it.kept(10), strict=True):
        assert (ours.kind, ours.amount) == (theirs.kind, theirs.amount)
        assert ours.per_s == theirs.per_s / 10


def test_periods() -> None:
    """The client counts a fixed period as a rolling one, since it cannot know when it begins."""
    it = played("gemini/free-flash")
    assert {limit.mode for limit in it.limits} == {"fixed"}
    assert Limit("requests", 20, 8_640, "rolling") in it.kept(10)


def test_in_words() -> None:
    """The limits can be read."""
    assert str(played("cerebras/code-pro-2025-09")) == (
        "300,000 tokens per minute and 24,000,000 tokens per day"
    )
    assert str(played("deepseek/v4-pro")) == "500 requests at a time"


def test_an_unknown_plan() -> None:
    """It is refused by name."""
    with pytest.raises(ConfigError, match="no plan 'nobody/plan'"):
        played("nobody/plan")

"""What a request costs, by each provider's own rule."""

from typing import Any

import pytest

from batchwrap.core.formats.chat.usage import usage_of
from batchwrap.core.limits.cost import NOTHING, Cost, Rule, Usage, reserve

PLAIN = Rule(default_output=1_000)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 1_000),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 500, "max_tokens": 1}, 500),
        ({"max_tokens": None}, 1_000),
        ({"max_tokens": "many"}, 1_000),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": 50, "n": None}, 50),
    ],
)
def test_reserve(fields: dict[str, Any], output: int) -> None:
    """The prompt, and the most that all answers may have; a guess where none is named."""
    assert reserve(100, fields, PLAIN) == Cost(1, 100 + output, 100 + output, 100, output)


def test_reserve_without_output() -> None:
    """Some providers count the prompt only, at admission."""
    rule = Rule(reserves_output=False)
    assert reserve(100, {"max_tokens": 50}, rule) == Cost(1, 100, 100, 100, 0)


def test_cached_tokens() -> None:
    """They never count as uncached; as tokens and input by the provider's rule."""
    used = Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=80)
    assert used.cost(Rule()) == Cost(1, 110, 30, 100, 10)
    assert used.cost(Rule(counts_cached=False)) == Cost(1, 30, 30, 20, 10)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 7}}, Usage(5, 7)),
        (
            {
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 4},
                }
            },
            Usage(5, 7, 4),
        ),
        (
            {"usage": {"prompt_tokens": 5, "completion_tokens": 7, "prompt_cache_hit_tokens": 9}},
            Usage(5, 7, 5),
        ),
        ({"choices": [{"usage": {"prompt_tokens": 5, "completion_tokens": 7}}]}, Usage(5, 7)),
        ({"usage": None}, None),
        ({"usage": {"prompt_tokens": "5", "completion_tokens": 7}}, None),
        ({"choices": [None]}, None),
        ({}, None),
    ],
)
def test_usage(body: dict[str, Any], expected: Usage | None) -> None:
    """Reported at the top or, by Moonshot, in the last choice; anything odd is none."""
    assert usage_of(body) == expected


def test_amounts() -> None:
    """Costs add up by kind; a request that runs takes one place."""
    assert Cost(1, 2, 3, 4, 5) + Cost(1, 1, 1, 1, 1) - NOTHING == Cost(2, 3, 4, 5, 6)
    assert [Cost(1, 2, 3, 4, 5).of(kind) for kind in ("concurrency", "tokens")] == [1, 2]
    assert Cost(1, 2, 3, 4, 5).of("output_tokens") == 5

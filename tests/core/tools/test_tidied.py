"""Calls that an agent has tidied up, and calls that are others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchwrap.core.tools.tidied import defaults_of, is_same_call

TEXT = {"type": "string"}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"path": TEXT, "new": TEXT, "all": {"type": "boolean", "default": False}},
    "required": ["path", "new"],
}
DEFAULTS = defaults_of(PARAMETERS)
MADE = {"path": "a", "new": "x \ny"}


@pytest.mark.parametrize(
    "recorded",
    [
        {"new": "x \ny", "path": "a"},
        {"all": False, **MADE},
        {**MADE, "new": "x\ny\t"},
    ],
    ids=["order", "default", "blanks"],
)
def test_what_agents_tidy_up(recorded: dict[str, Any]) -> None:
    """A call with its defaults, or without blanks at the ends of lines, is the same call."""
    assert is_same_call(json.dumps(recorded), json.dumps(MADE), DEFAULTS)
    assert is_same_call(json.dumps(MADE), json.dumps(recorded), DEFAULTS)


@pytest.mark.parametrize(
    "recorded",
    [
        json.dumps({**MADE, "all": True}),
        json.dumps({**MADE, "more": 1}),
        json.dumps({**MADE, "path": "b"}),
        json.dumps({**MADE, "new": " x \ny"}),
        json.dumps([MADE]),
        '{"path": "a"',
        "[" * 5_000,
    ],
)
def test_what_is_another_call(recorded: str) -> None:
    """Any other change makes another call."""
    assert not is_same_call(recorded, json.dumps(MADE), DEFAULTS)
    assert is_same_call(recorded, recorded, DEFAULTS)


@pytest.mark.parametrize("odd", [{}, {"properties": []}, {"properties": {"path": True}}])
def test_odd_schemas(odd: dict[str, Any]) -> None:
    """A schema that states no defaults has none."""
    assert defaults_of(odd) == {}

"""The agent's tools as functions of a script: which calls they take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.script_functions import functions_of

PROPERTIES = {
    "path": {"$ref": "#/$defs/Path"},
    "class": {"type": ["string", "null"]},
    "max-lines": {"type": "integer"},
    "mode": {"enum": ["a", "b", None]},
    "unknown": True,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["path", "class"],
    "$defs": {"Path": {"type": "string"}},
}
READ = functions_of([SingleTool("read-file.v2", "read", "path", SCHEMA, ("path", "class"))])[
    "read_file_v2"
]


@pytest.mark.parametrize(
    ("given", "named", "made"),
    [
        (["p", None], {}, {"path": "p", "class": None}),
        (["p", "c"], {"max_lines": 3}, {"path": "p", "class": "c", "max-lines": 3}),
        (["p"], {"class_": "c", "mode": "b"}, {"path": "p", "class": "c", "mode": "b"}),
        (["p", "c"], {"mode": None}, {"path": "p", "class": "c"}),
        (
            ["p", "c"],
            {"unknown": {"x": (1, 2)}},
            {"path": "p", "class": "c", "unknown": {"x": [1, 2]}},
        ),
    ],
)
def test_calls_of_an_odd_tool(given: list[Any], named: dict[str, Any], made: Any) -> None:
    """They become the tool's own arguments, whatever Python calls them."""
    assert json.loads(READ.arguments(given, named)) == made


@pytest.mark.parametrize(
    ("given", "named", "told"),
    [
        (["p"], {}, "needs 'class_'"),
        ([3, "c"], {}, "wants string as 'path', not '3'"),
        (["p", "c"], {"mode": "z"}, "wants one of ['a', 'b', None] as 'mode', not 'z'"),
        (["p", "c"], {"max_lines": True}, "wants integer as 'max_lines', not 'True'"),
        (["p", "c"], {"max-lines": 3}, "has no parameter 'max-lines'"),
        (["p", "c"], {"unknown": float("nan")}, "takes no NaN or infinity as 'unknown'"),
    ],
)
def test_wrong_calls(given: list[Any], named: dict[str, Any], told: str) -> None:
    """What the tool's own schema does not allow is refused, with a line for the model."""
    with pytest.raises(TypeError) as caught:
        READ.arguments(given, named)
    assert told in str(caught.value)

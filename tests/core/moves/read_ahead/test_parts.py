"""The next part of a file that is read in parts."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchwrap.core.tools.find import find
from batchwrap.options import Batching
from tests.core.harness import call, specs
from tests.core.moves.read_ahead.conversations import added, lines, read, turn

DIALECTS = json.loads((Path(__file__).parents[2] / "dialects.json").read_text())


def test_the_next_part() -> None:
    """A read that goes on where the last one ended brings the part behind it."""
    messages = read("a.md", lines(100), offset=0, limit=100)
    wanted = {"path": "a.md", "offset": 200, "limit": 100}
    assert added(messages, {**wanted, "offset": 100}) == [wanted]


DIALECT_READS = [entry for entry in DIALECTS if entry["found"] == "read"]


@pytest.mark.parametrize("entry", DIALECT_READS, ids=lambda entry: f"{entry['agent']}")
def test_the_ranges_of_real_agents(entry: dict[str, Any]) -> None:
    """Whatever a real agent calls the range, the next part has no gap and is as long."""
    tool = {"name": entry["name"], "parameters": entry["parameters"]}
    singles = {
        one.name: one for one in find(specs({"type": "function", "function": tool}), Batching())
    }
    path = singles[entry["name"]].path or ""

    def part(first: int, last: int) -> dict[str, Any]:
        given: dict[str, Any] = {path: "src/a.md"}
        for name, schema in entry["parameters"]["properties"].items():
            flat = name.lower()
            if schema["type"] == "array":
                given[name] = [first, last]
            elif schema["type"] in ("number", "integer") and flat not in ("head", "tail"):
                is_end, is_start = "end" in flat, "start" in flat or flat == "offset"
                given[name] = last if is_end else first if is_start else last - first + 1
            elif schema["type"] == "boolean":
                given[name] = False
            elif name in entry["parameters"].get("required", ()) and name != path:
                given[name] = "why"
        return given

    messages = turn(entry["name"], part(1, 50), lines(50))
    found = added(messages, part(51, 100), singles=singles, name=entry["name"])
    has_range = part(1, 2) != part(1, 3)
    assert found == ([part(101, 150)] if has_range else [])


def test_parts_grow() -> None:
    """Each further part in a row is twice as long, within the budget."""
    first = read("a.md", lines(50), offset=1, limit=50)
    second = read("a.md", lines(50), offset=51, limit=50, ahead=({"path": "a.md"},))
    second[0]["tool_calls"][1] = call(
        second[0]["tool_calls"][1]["id"],
        "read_file",
        {"path": "a.md", "offset": 101, "limit": 50},
    )
    [grown] = added([*first, *second], {"path": "a.md", "offset": 151, "limit": 50})
    assert (grown["offset"], grown["limit"]) == (201, 100)
    third = {"path": "a.md", "offset": 151, "limit": 50}
    [small] = added([*first, *second], third, max_tokens=60)
    assert 1 <= small["limit"] < 50


@pytest.mark.parametrize(
    "result",
    [
        lines(20),
        lines(50) + "\n(End of file)",
        lines(50) + "\n(Showing lines 1-50 of 100 lines)",
        "Error: no such file",
    ],
)
def test_the_end_of_the_file(result: str) -> None:
    """No part is asked for behind what looks like the end of the file."""
    messages = read("a.md", result, offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": 51, "limit": 50}) == []


@pytest.mark.parametrize("offset", [1, 30, 200])
def test_jumps_are_no_sequence(offset: int) -> None:
    """A read that goes back, or somewhere else in the file, brings nothing."""
    messages = read("a.md", lines(50), offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": offset, "limit": 50}) == []


def test_parts_without_a_length() -> None:
    """Where the tool decides how much it shows, its results tell."""
    messages = read("a.md", lines(2000))
    assert added(messages, {"path": "a.md", "offset": 2000}) == [{"path": "a.md", "offset": 4000}]


def test_a_part_that_was_read_is_not_read_again() -> None:
    """A part that lies in what was read before brings nothing."""
    messages = [
        *read("a.md", lines(50), offset=101, limit=50),
        *read("a.md", lines(50), offset=1, limit=50),
    ]
    assert added(messages, {"path": "a.md", "offset": 51, "limit": 50}) == []


def test_the_models_own_overlap() -> None:
    """Parts that reach back into the ones before them go on doing so: no line is missed."""
    messages = read("a.md", lines(50), offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": 46, "limit": 50}) == [
        {"path": "a.md", "offset": 91, "limit": 50}
    ]
    assert added(messages, {"path": "a.md", "offset": 46, "limit": 5}) == []


@pytest.mark.parametrize("path", ["../a.md", ".env", "src/server.pem", "secrets/a.md"])
def test_parts_of_what_is_never_read(path: str) -> None:
    """Where the model itself reads what is secret or elsewhere, it reads all of it itself."""
    messages = read(path, lines(50), offset=1, limit=50)
    assert added(messages, {"path": path, "offset": 51, "limit": 50}) == []

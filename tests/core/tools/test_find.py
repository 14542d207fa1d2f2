"""Single-file tools are found right or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchwrap.core.tools.find import find, path_in
from batchwrap.options import Batching, Tool
from tests.core.harness import specs
from tests.strategies import READ_FILE


def tool(
    name: str, required: list[str], optional: tuple[str, ...] = (), kind: str = "string"
) -> Any:
    """A function tool whose parameters have one type."""
    properties = {parameter: {"type": kind} for parameter in (*required, *optional)}
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


DIALECTS = json.loads((Path(__file__).parents[1] / "dialects.json").read_text())


@pytest.mark.parametrize("entry", DIALECTS, ids=lambda entry: f"{entry['agent']}-{entry['name']}")
def test_the_tools_of_real_agents(entry: dict[str, Any]) -> None:
    """A tool of a real agent is taken for what it is, or left alone; never for another."""
    made = {"name": entry["name"], "parameters": entry["parameters"]}
    found = find(specs({"type": "function", "function": made}), Batching())
    assert [single.kind for single in found] == ([entry["found"]] if entry["found"] else [])
    assert entry["found"] in (None, entry["kind"])


def test_most_of_them_are_found() -> None:
    """Of the tools of real agents that can be batched, nine in ten are found by their shape."""
    batchable = [entry for entry in DIALECTS if entry["kind"]]
    assert len(batchable) > 100
    assert sum(entry["found"] is not None for entry in batchable) / len(batchable) > 0.9


@pytest.mark.parametrize(
    "made",
    [
        tool("read_file", ["path", "content"]),
        tool("view", ["command", "path"]),
        tool("read_files", ["paths"], kind="array"),
        tool("read_media_file", ["path"]),
        tool("read_notebook", ["path"]),
        tool("view_image", ["path"]),
        tool("open", ["path"]),
        tool("read_file", [], ("path",)),
        tool("read_file", ["path", "file_path"]),
        tool("read_file", ["path", "reason"]),
        tool("read_file", ["path"], kind="array"),
        tool("read_email", ["id"]),
        tool("delete_file", ["path"]),
        tool("edit_notebook", ["path", "cell_id", "old_string", "new_string"]),
        tool("edit_file", ["path", "old_string", "new_string", "command"]),
        tool("write_file", ["path", "content", "line_number"]),
        tool("search_web", ["query"], ("command",)),
        tool("bash", ["command"]),
        {"type": "function", "function": {"name": "read_file"}},
        {"type": "custom", "custom": {"name": "read_file"}},
        {"type": "function", "function": {"name": "read_file", "parameters": {"properties": 5}}},
    ],
)
def test_tools_that_are_left_alone(made: Any) -> None:
    """Media, notebooks, commands, either/or paths, odd schemas: not taken for anything."""
    assert find(specs(made), Batching()) == []


def test_a_name_that_occurs_twice_is_left_alone() -> None:
    """Nobody could tell which of two tools of one name an item means."""
    assert find(specs(READ_FILE, READ_FILE), Batching()) == []


def test_the_user_decides() -> None:
    """Any tool can be declared batchable, and any excluded."""
    doc, bash = tool("get_doc", ["id"]), tool("bash", ["command"])
    assert find(specs(doc, bash), Batching()) == []
    declared: dict[str, Any] = {"get_doc": Tool("edit", path="id"), "bash": "sequential"}
    found = find(specs(doc, bash, READ_FILE), Batching(tools=declared, exclude=["read_file"]))
    assert [(single.name, single.kind, single.path) for single in found] == [
        ("get_doc", "edit", "id"),
        ("bash", "sequential", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"path": "a"}, "a"),
        ({"mode": "slice", "filePath": "a"}, "a"),
        ({"offset": 1}, None),
        ([], None),
    ],
)
def test_the_path_in_arguments(arguments: object, path: str | None) -> None:
    """The path is found by its parameter's name."""
    assert path_in(arguments) == path

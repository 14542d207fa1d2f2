"""What a model means by a multi-call: exactly the calls that it means, or none."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.tools.find import barriers, find
from batchwrap.core.tools.meaning import Meant, Toolbox, read
from batchwrap.core.tools.offer import example
from batchwrap.core.tools.tool_set import tool_set_of
from batchwrap.options import Batching
from benchmarks.distortions import Renderer
from tests.core.harness import specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE, RUN, WRITE_FILE, batches

DIALECTS = json.loads((Path(__file__).parents[1] / "dialects.json").read_text())
TOOLS = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP, RUN]
SINGLES = {tool.name: tool for tool in find(specs(*TOOLS), Batching())}
BARRIERS = barriers(specs(*TOOLS), SINGLES)
TOOLBOX = Toolbox(SINGLES, BARRIERS)
OF_MULTI = {
    "multi_read": SINGLES["read_file"],
    "multi_edit": SINGLES["edit_file"],
    "multi_write": SINGLES["write_file"],
    "multi_grep": SINGLES["grep"],
    "multi_run": BARRIERS["run"],
}


def meant(name: str, value: Any) -> list[tuple[str, Any] | None]:
    """The calls that a multi-call means; None in the place of one that means none."""
    return [
        (part.tool.name, json.loads(part.arguments)) if isinstance(part, Meant) else None
        for part in read(value, TOOLBOX, OF_MULTI.get(name))
    ]


@given(batches, st.randoms(use_true_random=False), st.sampled_from([0.05, 0.25, 0.5]))
def test_any_rendering(
    calls: list[tuple[str, dict[str, Any]]], draw: random.Random, rate: float
) -> None:
    """A list of calls in any form comes back as exactly these calls, or as none."""
    rendered = Renderer(draw, rate).render(calls)
    found = meant(rendered.name, rendered.value)
    if None in found:
        assert not set(map(repr, filter(None, found))) - set(map(repr, calls)), rendered
    else:
        assert found == calls, rendered


def tool(name: str, required: str, **more: Any) -> dict[str, Any]:
    """A tool whose required parameters are texts."""
    properties = {one: {"type": "string"} for one in required.split()} | more
    parameters = {"type": "object", "properties": properties, "required": required.split()}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


HUNK = {
    "type": "object",
    "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
    "required": ["oldText", "newText"],
}
RANGE = {"type": "object", "properties": {"start": {"type": "integer"}, "end": {"type": "integer"}}}
# As Claude Code, OpenCode and pi have them.
CAMEL = [
    tool("Read", "file_path", offset={"type": "integer"}),
    tool("Edit", "file_path old_string new_string", replace_all={"type": "boolean"}),
    tool("Write", "file_path content"),
    tool("Bash", "command", description={"type": "string"}),
    tool("TodoWrite", "", todos={"type": "array", "items": {"type": "object"}}),
]
HUNKS = [
    tool("read", "path", range=RANGE),
    tool("edit", "path edits", edits={"type": "array", "items": HUNK}),
]
ONE = {"oldText": "x", "newText": "y"}


@pytest.mark.parametrize(
    ("tools", "name", "value", "means"),
    [
        (
            CAMEL,
            "MultiEdit",
            {
                "file_path": "a",
                "edits": [{"old_string": "x", "new_string": "y", "replace_all": "true"}],
            },
            [
                (
                    "Edit",
                    {"file_path": "a", "old_string": "x", "new_string": "y", "replace_all": True},
                )
            ],
        ),
        (
            CAMEL,
            "BatchTool",
            {"invocations": [{"tool_name": "Bash", "input": {"command": "x", "description": "y"}}]},
            [("Bash", {"command": "x", "description": "y"})],
        ),
        (
            CAMEL,
            "batch",
            {"reads": [{"file_path": "a"}], "edits": [{"path": "a", "old": "x", "new": "y"}]},
            [
                ("Read", {"file_path": "a"}),
                ("Edit", {"file_path": "a", "old_string": "x", "new_string": "y"}),
            ],
        ),
        (
            CAMEL,
            "batch",
            {"calls": {"Read": ["a", "b"]}},
            [("Read", {"file_path": c}) for c in "ab"],
        ),
        (
            HUNKS,
            "multi_edit",
            {"path": "a", "edits": [ONE]},
            [("edit", {"path": "a", "edits": [ONE]})],
        ),
        (
            HUNKS,
            "multi_edit",
            {"files": [{"path": "a", **ONE}]},
            [("edit", {"path": "a", "edits": [ONE]})],
        ),
        (
            HUNKS,
            "multi_edit",
            {"files": [{"path": "a", "edits": [json.dumps(ONE)]}]},
            [("edit", {"path": "a", "edits": [ONE]})],
        ),
        (
            HUNKS,
            "multi_edit",
            {"edits": [{"path": c, "old_text": "x", "new_text": "y"} for c in "ab"]},
            [("edit", {"path": c, "edits": [ONE]}) for c in "ab"],
        ),
        (
            HUNKS,
            "multi_read",
            {"files": [{"path": "a", "start": "1", "end": 5}]},
            [("read", {"path": "a", "range": {"start": 1, "end": 5}})],
        ),
    ],
)
def test_other_dialects(
    tools: list[dict[str, Any]], name: str, value: Any, means: list[tuple[str, Any]]
) -> None:
    """Tools of other agents: other names, and parameters that hold lists and objects."""
    tool_set = tool_set_of(specs(*tools), Batching())
    multi = tool_set.multi(name)
    assert multi is not None
    parts = read(value, tool_set.toolbox, None if multi.is_mixed else multi.single)
    assert all(isinstance(part, Meant) for part in parts)
    found = [(p.tool.name, json.loads(p.arguments)) for p in parts if isinstance(p, Meant)]
    assert found == means


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("multi_read", {"path": "src", "files": [{"path": "a"}, {"path": "b"}]}),
        ("multi_grep", {"pattern": ["x", "y"], "path": ["a", "b"]}),
        ("multi_read", {"path": ["a", "b"], "offset": [1, 2]}),
        ("multi_edit", {"path": "a", "old_string": ["x", "p"], "new_string": ["y", "q"]}),
        ("multi_run", {"commands": ['{"command": "x"}']}),
        ("multi_write", {"path": "a", "items": '[{"content": "x"}]'}),
        (
            "multi_edit",
            {"path": "a", "file_path": "b", "edits": [{"old_string": "x", "new_string": "y"}]},
        ),
        ("batch", {"calls": [{"path": "a", "tool": "edit_file", "edits": []}]}),
    ],
)
def test_two_readings(name: str, value: Any) -> None:
    """What may mean one thing or another means none."""
    assert set(meant(name, value)) <= {None}


def test_large() -> None:
    """Thousands of items, and of fields, are read in time that grows with their number."""
    items = [{"file_path": f"{n}.py"} for n in range(5_000)]
    assert meant("multi_read", {"items": items}) == [
        ("read_file", {"path": one["file_path"]}) for one in items
    ]
    odd = {f"k{n}": "[1]" for n in range(5_000)}
    for value in (odd, {"calls": [odd]}, {"files": [odd], **odd}):
        for name in ("multi_edit", "batch"):
            assert set(meant(name, value)) <= {None}
    deep: Any = {"path": "a"}
    for _ in range(200):
        deep = {"files": [deep]}
    assert meant("multi_read", deep) == [None]


@pytest.mark.parametrize("agent", sorted({one["agent"] for one in DIALECTS}))
def test_multi_tools_in_a_batch(agent: str) -> None:
    """Where the model puts a multi-tool into a batch, it means the tool that this one runs."""
    own = [one for one in DIALECTS if one["agent"] == agent]
    tool_set = tool_set_of(
        specs(*({"type": "function", "function": one} for one in own)), Batching()
    )
    mixed = [multi.name for multi in tool_set.multis if multi.is_mixed]
    for multi in tool_set.multis[:-1] if mixed else ():  # `batch` is the last one
        given = json.loads(example(multi, ("a.py", "b.py")))
        meant = [(multi.single.name, item) for item in given[multi.key]]
        nested = [{"tool": multi.name, "arguments": given}, {"tool": multi.name, **given}]
        whole = {"tool": mixed[0], "arguments": {"calls": nested}}
        for items in (nested[:1], nested[1:], [whole]):
            parts = read({"calls": items}, tool_set.toolbox, None)
            assert all(isinstance(part, Meant) for part in parts), parts
            found = [(p.tool.name, json.loads(p.arguments)) for p in parts if isinstance(p, Meant)]
            assert found == meant * (len(parts) // len(meant))


def test_the_order_in_a_batch() -> None:
    """What a multi-tool lists takes its place in the batch, and nothing if it lists nothing."""
    reads = [{"path": "a"}, {"path": "b"}]
    search = {"tool": "grep", "arguments": {"pattern": "x"}}
    nested = {"tool": "batch", "calls": [search, {"tool": "multi_read", "files": reads}]}
    found = meant("batch", {"calls": [nested, {"tool": "multi_edit", "files": []}, search]})
    one, two = ("grep", {"pattern": "x"}), [("read_file", read) for read in reads]
    assert found == [one, *two, one]

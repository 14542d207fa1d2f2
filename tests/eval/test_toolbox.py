"""The tools that the agent gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwrap.core.tools.find import find
from batchwrap.eval.agent_toolbox import AgentToolbox
from batchwrap.options import Batching
from batchwrap.tools import Workspace
from tests.core.harness import specs


@pytest.fixture
def tools(tmp_path: Path) -> AgentToolbox:
    """Tools on a folder with two files."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\ny = x\n")
    (tmp_path / "b.md").write_text("about x\n")
    return AgentToolbox(Workspace(tmp_path), has_tests=False)


def test_search_and_list(tools: AgentToolbox) -> None:
    """A search gives path, line and text; a list gives paths."""
    assert tools.call("search_files", '{"pattern": "x"}').splitlines() == [
        "b.md:1: about x",
        "src/a.py:1: x = 1",
        "src/a.py:2: y = x",
    ]
    assert tools.call("search_files", '{"pattern": "z"}') == "No line contains it."
    assert tools.call("list_files", "{}") == "b.md\nsrc/a.py"
    assert tools.call("list_files", '{"pattern": "src/*"}') == "src/a.py"
    assert tools.call("read_file", '{"path": "b.md"}') == "about x\n"
    assert (tools.calls, tools.errors) == (5, 0)


def test_a_long_result_is_cut(tools: AgentToolbox, tmp_path: Path) -> None:
    """A search that finds hundreds of lines gives a hundred, and says how many more there are."""
    (tmp_path / "long.txt").write_text("word\n" * 250)
    lines = tools.call("search_files", '{"pattern": "word"}').splitlines()
    assert (len(lines), lines[-1]) == (101, "... and 150 more lines")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search_files", "{}"),
        ("search_files", '{"pattern": ""}'),
        ("search_files", '{"pattern": 5}'),
        ("search_files", "[1]"),
        ("list_files", '{"pattern": "../*"}'),
        ("list_files", '{"folder": "src"}'),
        ("list_files", "no json"),
        ("read_file", '{"path": "none.py"}'),
        ("run_tests", "{}"),
        ("nonsense", "{}"),
    ],
)
def test_mistakes_are_counted(tools: AgentToolbox, name: str, arguments: str) -> None:
    """A mistake of the model's is a text for it, and counts as an error."""
    assert tools.call(name, arguments).startswith("Error: ")
    assert (tools.calls, tools.errors) == (1, 1)


def test_tests_where_there_are_some(tmp_path: Path) -> None:
    """With tests there is a tool that runs them; that they fail is no mistake of the call's."""
    tools = AgentToolbox(Workspace(tmp_path), has_tests=True)
    assert tools.schemas()[-1]["function"]["name"] == "run_tests"
    (tmp_path / "test_it.py").write_text("import unittest\n\n\nraise SystemError('broken')\n")
    assert "broken" in tools.call("run_tests", "{}")
    assert tools.errors == 0


def test_batchwrap_understands_them(tools: AgentToolbox) -> None:
    """All tools for files can be batched."""
    found = {tool.name: tool.kind for tool in find(specs(*tools.schemas()), Batching())}
    assert found == {
        "read_file": "read",
        "edit_file": "edit",
        "write_file": "write",
        "list_files": "read_only",
        "search_files": "read_only",
    }

"""What is said: in the words of the tools that a request really has."""

from typing import Any

import pytest

from batchwrap.core.reminders.directives import Ready, names_of, prepare, written
from batchwrap.core.tools.find import find
from batchwrap.core.tools.multi import multi_tools
from batchwrap.directives import DEFAULT_DIRECTIVES, Directive
from batchwrap.options import Batching
from tests.core.harness import specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE

TODO: dict[str, Any] = {"type": "function", "function": {"name": "TodoWrite"}}


def ready_for(
    tools: list[dict[str, Any]],
    directives: Any = DEFAULT_DIRECTIVES,
    script: str | None = None,
    **more: Any,
) -> dict[str, Ready]:
    """What may be given to an agent with these tools, by id."""
    multis = multi_tools(find(specs(*tools), Batching()), set(), mixed=True)
    return {
        one.directive.id: one
        for one in prepare(directives, names_of(specs(*tools), multis, script=script), **more)
    }


def text_for(tools: list[dict[str, Any]], text: str) -> str | None:
    """A directive's text for an agent with these tools; None if it is not given."""
    ready = ready_for(tools, [Directive("own", text)])
    return ready["own"].text if ready else None


def test_an_agent_with_everything() -> None:
    """All defaults are there, each with the cost as its reason and its tools by name."""
    ready = ready_for([READ_FILE, EDIT_FILE, WRITE_FILE, GREP, TODO], script="run_script")
    assert list(ready) == [directive.id for directive in DEFAULT_DIRECTIVES]
    assert all("this whole conversation again" in one.text for one in ready.values())
    assert "one multi_read call" in ready["prefetch"].text
    assert "one multi_edit call" in ready["group_edits"].text
    assert "TodoWrite" in ready["bookkeeping"].text
    assert ready["general"].text.endswith(
        "multi_read for all read_file calls, multi_edit for all edit_file calls, "
        "multi_write for all write_file calls, batch for calls of different tools."
    )


def test_tools_in_another_order() -> None:
    """The words stay as they are: earlier reminders stand in the cached prefix of the prompt."""
    tools = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP, TODO]
    assert ready_for(tools[::-1]) == ready_for(tools)


def test_a_missing_tool_is_never_named() -> None:
    """A directive that names a tool which is not there is not given."""
    assert list(ready_for([EDIT_FILE])) == ["group_edits", "lapse", "general"]
    assert list(ready_for([READ_FILE])) == ["prefetch", "lapse", "general"]
    assert list(ready_for([])) == ["lapse"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{read} and {multi_read}", "read_file and multi_read"),
        ("{edit}", None),
        ("after {run_tests}", "after run_tests"),
        ("{nobody}", None),
        ('like {"path": "a.py"}', 'like {"path": "a.py"}'),
    ],
)
def test_placeholders(text: str, expected: str | None) -> None:
    """They stand for a kind of tool, or for any tool by its name; JSON is not one."""
    tools = [READ_FILE, {"type": "function", "function": {"name": "run_tests"}}]
    assert text_for(tools, text) == expected


def test_a_hidden_tool_is_not_named() -> None:
    """Where multi-tools stand in the place of single ones, only they are spoken of."""
    tools = [READ_FILE, EDIT_FILE]
    multis = multi_tools(find(specs(*tools), Batching()), set(), mixed=False)
    names = names_of(specs(*tools), multis, hidden={"read_file", "edit_file"})
    assert names == {
        "multi_read": "multi_read",
        "multi_edit": "multi_edit",
        "multi_tools": "multi_read, multi_edit",
    }


@pytest.mark.parametrize(
    ("name", "parallel", "expected"),
    [
        ("TodoWrite", True, "TodoWrite"),
        ("update_todo_list", True, "update_todo_list"),
        ("todoread", True, None),
        ("TodoWrite", False, None),
        ("plan", True, None),
    ],
)
def test_the_to_do_list(name: str, parallel: bool, expected: str | None) -> None:
    """It is known by its name where it can be called along with others."""
    tool = {"type": "function", "function": {"name": name}}
    assert names_of(specs(tool), [], parallel=parallel).get("todo") == expected


def test_a_declared_to_do_list() -> None:
    """One that a multi-tool runs can be called along with others in any case."""
    tools = [READ_FILE, {"type": "function", "function": {"name": "plan"}}]
    found = find(specs(*tools), Batching(tools={"plan": "bookkeeping"}))
    multis = multi_tools(found, set(), mixed=True)
    assert names_of(specs(*tools), multis, parallel=False)["todo"] == "plan"


def test_for_some_models() -> None:
    """A directive with patterns is given to models of these names only."""
    own = [Directive("own", "Batch.", models=["*qwen*"])]
    assert list(ready_for([READ_FILE], own, model="cerebras/Qwen-3-32b")) == ["own"]
    assert list(ready_for([READ_FILE], own, model="gpt-oss-120b")) == []


def test_switched_off() -> None:
    """What has switched itself off is left out."""
    assert "general" not in ready_for([READ_FILE], off={"general"})


@pytest.mark.parametrize(
    ("system", "opposed"),
    [
        ("Read one file at a time.", ["prefetch"]),
        ("Make one edit at a time.", ["group_edits"]),
        ("Never batch tool calls.", ["lapse", "general"]),
        ("Do not guess. Work in small steps.", []),
    ],
)
def test_a_system_prompt_that_contradicts(system: str, opposed: list[str]) -> None:
    """A directive is held back by the sentence that contradicts it, and by no other."""
    ready = ready_for([READ_FILE, EDIT_FILE], system=["You are kind.", system])
    assert [name for name, one in ready.items() if one.is_opposed] == opposed


def test_how_many() -> None:
    """Where batches must be small the reminder says so; of a to-do list it need not."""
    ready = ready_for([READ_FILE, EDIT_FILE, TODO])
    assert written(ready["general"], [], 4).endswith("tools. At most 4 at a time.]")
    assert "At most" not in written(ready["general"], [])
    assert "At most" not in written(ready["bookkeeping"], [], 4)

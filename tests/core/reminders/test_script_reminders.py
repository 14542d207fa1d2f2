"""After single calls that a program could have made, the model is shown that program."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.reminders.directives import names_of, prepare
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.tools.tool_set import tool_set_of
from batchwrap.options import Batching, Reminders, Scripts
from tests.core.harness import answer, call, entries, specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE

USER = {"role": "user", "content": "Do it."}
SEARCH = ("grep", {"pattern": "TODO"})


def reminders(*made: tuple[str, dict[str, Any]], scripts: bool = True, **results: str) -> list[str]:
    """The reminders in a conversation of one call in each turn; results by the call's number."""
    listed = specs(GREP, READ_FILE, EDIT_FILE)
    tools = tool_set_of(listed, Batching(scripts=Scripts() if scripts else None))
    options = Reminders()
    script = None if tools.script is None else tools.script.name
    offered = Offered(
        multis={multi.name: multi for multi in tools.multis},
        cap=8,
        failed=looks_failed,
        ready=prepare(options.directives, names_of(listed, tools.multis, script=script)),
        batches={"run_script"},
        script=tools.script,
    )
    turns = [
        message
        for at, (name, arguments) in enumerate(made)
        for message in answer(
            {"tool_calls": [call(f"c{at}", name, arguments)]},
            {f"c{at}": results.get(f"r{at}", f"result {at}")},
        )
    ]
    said = CHAT_FORMAT.write(Walk.begin(offered, options).go(entries([USER, *turns])))
    texts = [str(one.get("content")) for one in said]
    return [text.split("[Reminder: ")[1] for text in texts if "[Reminder: " in text]


def read(path: str) -> tuple[str, dict[str, Any]]:
    """A call that reads a file."""
    return "read_file", {"path": path}


def edit(path: str, old: str = "a") -> tuple[str, dict[str, Any]]:
    """A call that edits a file."""
    return "edit_file", {"path": path, "old_string": old, "new_string": "b"}


def test_a_search_and_what_it_found() -> None:
    """The reminder shows the program with the agent's own tools and the calls' own arguments."""
    [told] = reminders(SEARCH, read("a.py"), read("b.py"))
    assert told.startswith("your last calls came one by one")
    assert "let one run_script call do all of it" in told
    assert 'r1 = await grep(pattern="TODO")\nr2 = await read_file(path="a.py")\n' in told


def test_the_same_change_in_several_files() -> None:
    """Edits that differ in their path alone could have been a loop."""
    [told] = reminders(edit("a.py"), edit("b.py"), edit("c.py"))
    assert 'r3 = await edit_file(path="c.py", old_string="a", new_string="b")' in told


@pytest.mark.parametrize(
    "made",
    [
        (SEARCH, read("a.py")),
        (read("a.py"), edit("a.py"), read("b.py"), edit("b.py")),
        (edit("a.py"), edit("b.py", "c"), edit("c.py", "d")),
        (SEARCH, ("other", {}), read("a.py"), read("b.py")),
        (SEARCH, read("a.py"), ("run_script", {"code": "1"}), read("b.py")),
    ],
    ids=["too few", "each edit rests on what was read", "other changes", "others", "a script"],
)
def test_none_without_a_rule(made: tuple[tuple[str, dict[str, Any]], ...]) -> None:
    """What the model had to think about between the calls is no program."""
    assert not any("run_script" in one for one in reminders(*made))


def test_none_after_a_failure() -> None:
    """The next call may be a reaction to it."""
    assert reminders(SEARCH, read("a.py"), read("b.py"), r1="Error: no such file") == []


def test_none_where_scripts_are_off() -> None:
    """A directive that names a tool which is not offered is left out."""
    assert reminders(SEARCH, read("a.py"), read("b.py"), scripts=False) == []


def test_long_texts_are_left_out() -> None:
    """They would be paid for in each request."""
    [told] = reminders(("grep", {"pattern": "x" * 99}), read("a.py"), read("b.py"))
    assert 'grep(pattern="…")' in told

"""A reminder of a lapse names what is left: files that the prompt or a list names, and no call."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.directives import Directive
from batchwrap.options import Options, Reminders
from tests.core.apis import Api, each_api
from tests.core.harness import Bench, answer, call
from tests.strategies import EDIT_FILE, GREP, READ_FILE

BODY: dict[str, Any] = {"model": "m", "tools": [READ_FILE, EDIT_FILE, GREP]}
OWN = Reminders(directives=[Directive("own", "left: {left}.", kind="lapse")])
NAMES = ["a.py", "src/b.py", "src/c.py", "docs/d.md", "e.toml", "lib/f.rs"]


def turn(number: int, name: str, arguments: dict[str, Any], result: str) -> list[dict[str, Any]]:
    return answer({"tool_calls": [call(f"c{number}", name, arguments)]}, {f"c{number}": result})


def reads(*paths: str, result: str = "ok", start: int = 1) -> list[dict[str, Any]]:
    turns = (
        turn(number, "read_file", {"path": path}, result)
        for number, path in enumerate(paths, start)
    )
    return [message for made in turns for message in made]


def prompt(*names: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"Compare {', '.join(names)}."}]


def left(messages: list[dict[str, Any]], bench: Bench | None = None) -> list[list[str] | None]:
    """The files in each reminder; None for a reminder that names none."""
    sent = (bench or Bench(Options(reminders=OWN))).sent({**BODY, "messages": messages})
    texts = re.findall(r"left: (.*?)\.\]", " ".join(str(one.get("content")) for one in sent))
    made = [re.search(r"multi_read\((.*)\)", text) for text in texts]
    return [[i["path"] for i in json.loads(one[1])["files"]] if one else None for one in made]


@each_api
def test_the_rest_of_a_prompt(api: Api) -> None:
    """After two reads the reminder has the call for the others, and keeps it in later requests."""
    bench = Bench(Options(reminders=OWN), api=api)
    messages = [*prompt(*NAMES[:4]), *reads("a.py", "src/b.py")]
    assert left(messages, bench) == [["src/c.py", "docs/d.md"]]
    messages += reads("src/c.py", start=3)
    assert left(messages, bench) == left(messages) == [["src/c.py", "docs/d.md"]]


def test_the_rest_of_a_list() -> None:
    """A search or a list that names both files names the rest."""
    hits = "src/b.py:1: x\nsrc/c.py:1: x\nsrc/g.py:1: x"
    found = turn(0, "grep", {"pattern": "x"}, hits)
    user = [{"role": "user", "content": "Where is x?"}]
    assert left([*user, *found, *reads("src/b.py", "src/c.py")]) == [["src/g.py"]]


@pytest.mark.parametrize(
    "messages",
    [
        [*prompt("a.py", "src/b.py"), *reads("a.py", "src/b.py")],
        [*prompt(*(f"s{number}.py" for number in range(30))), *reads("s0.py", "s1.py")],
    ],
    ids=["nothing", "too many"],
)
def test_nothing_is_known(messages: list[dict[str, Any]]) -> None:
    """Where nothing is left, or a text names very many files, the reminder names no files."""
    assert left(messages) == [None]


def test_edits_name_no_files() -> None:
    """What an edit would change is not known."""
    edit = {"path": "a.py", "old_string": "x", "new_string": "y"}
    edits = [
        *turn(1, "edit_file", edit, "ok"),
        *turn(2, "edit_file", {**edit, "path": "src/b.py"}, "ok"),
    ]
    assert left([*prompt(*NAMES[:4]), *edits]) == [None]


def test_what_a_batch_has_read() -> None:
    """A file that an earlier multi-call has read is not left."""
    batch = answer(
        {
            "tool_calls": [
                call("m", "multi_read", {"files": [{"path": "src/c.py"}, {"path": "e.toml"}]})
            ]
        },
        {"m": "[1/2] read_file src/c.py\nx\n[2/2] read_file e.toml\ny"},
    )
    assert left([*prompt(*NAMES), *batch, *reads("a.py", "src/b.py")]) == [
        ["docs/d.md", "lib/f.rs"]
    ]


def test_a_cap_holds() -> None:
    """No more files are named than a batch may have."""
    names = [f"s{number}.py" for number in range(15)]
    [named] = left([*prompt(*names), *reads("s0.py", "s1.py")])
    assert named == names[2:10]


@given(names=st.permutations(NAMES), count=st.integers(2, 6))
def test_left_is_named_and_not_read(names: list[str], count: int) -> None:
    """Whatever the order: only files of the prompt, none that was read, each once, in its order."""
    messages = [
        *prompt(*NAMES[:count]),
        *reads(*[name for name in names if name in NAMES[:count]][:2]),
    ]
    read = [name for name in names if name in NAMES[:count]][:2]
    [named] = left(messages)
    assert sorted(named or []) == sorted(set(NAMES[:count]) - set(read))

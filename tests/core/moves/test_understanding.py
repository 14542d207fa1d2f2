"""A multi-call in any form that models give it: what the agent gets, and what the model is told."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.moves import ids
from benchmarks.distortions import Renderer
from tests.core.harness import Bench, call, ran
from tests.strategies import EDIT_FILE, GREP, READ_FILE, RUN, WRITE_FILE, batches, cuts

REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Do it."}],
    "tools": [READ_FILE, EDIT_FILE, WRITE_FILE, GREP, RUN],
}
EDITS = [
    {"path": "a", "old_string": "x", "new_string": "y"},
    {"path": "a", "old_string": "p", "new_string": "q"},
]
HUNKS = [{key: one[key] for key in ("old_string", "new_string")} for one in EDITS]
BOTH_EDITS = [("edit_file", one) for one in EDITS]
BOTH_READS = [("read_file", {"path": "a"}), ("read_file", {"path": "b"})]


def says(*calls: tuple[str, Any], content: str | None = None) -> dict[str, Any]:
    """An assistant message with these calls."""
    made = [call(f"c{place}", name, given) for place, (name, given) in enumerate(calls)]
    return {"role": "assistant", "content": content, "tool_calls": made}


def results_in(bench: Bench, history: list[dict[str, Any]]) -> list[str]:
    """What the model is told of its calls at the next request."""
    body = {**REQUEST, "messages": history}
    messages = (bench.request(body) or body)["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize(
    ("name", "arguments", "meant"),
    [
        ("multi_edit", {"edits": EDITS}, BOTH_EDITS),
        ("multi_edit", {"path": "a", "edits": HUNKS}, BOTH_EDITS),
        ("multi_edit", {"edits": HUNKS, "file_path": "a"}, BOTH_EDITS),
        ("multi_edit", {"path": "a", "edits": json.dumps(HUNKS)}, BOTH_EDITS),
        ("multi_edit", {"files": [{"path": "a", "edits": HUNKS}]}, BOTH_EDITS),
        ("multi_edit", {"files": [json.dumps(one) for one in EDITS]}, BOTH_EDITS),
        ("multi_edit", {"files": EDITS[0]}, BOTH_EDITS[:1]),
        ("multi_edit", EDITS[0], BOTH_EDITS[:1]),
        ("multi_read", {"paths": ["a", "b"]}, BOTH_READS),
        ("multi_read", {"path": ["a", "b"]}, BOTH_READS),
        ("multi_read", {"files": '["a", "b"]'}, BOTH_READS),
        ("multi_read", {"files": [{"file_path": "a"}, {"filename": "b"}]}, BOTH_READS),
        ("multi_read", {"files": {"files": [{"path": "a"}, "b"]}}, BOTH_READS),
        ("multi_read", ["a", "b"], BOTH_READS),
        (
            "multi_read",
            {"files": [{"path": "a", "offset": "3"}]},
            [("read_file", {"path": "a", "offset": 3})],
        ),
        (
            "batch",
            {"tool_calls": [{"tool": "read_file", "parameters": {"path": "a"}}]},
            BOTH_READS[:1],
        ),
        ("batch", {"calls": [{"tool": "read_file", "path": "a"}]}, BOTH_READS[:1]),
        ("batch", {"calls": [{"name": "read_file", "tool_input": {"path": "a"}}]}, BOTH_READS[:1]),
        ("batch", {"calls": [{"function": "Read", "args": {"path": "a"}}]}, BOTH_READS[:1]),
        ("batch", {"calls": [{"read": {"path": "a"}}, {"read_file": "b"}]}, BOTH_READS),
        (
            "batch",
            {"calls": [{"tool": "multi_read", "arguments": {"files": [{"path": "a"}, "b"]}}]},
            BOTH_READS,
        ),
        ("batch_read", {"files": ["a", "b"]}, BOTH_READS),
        ("multi_grep", {"calls": [{"pattern": "x"}]}, [("grep", {"pattern": "x"})]),
        (
            "multi_tool_use.parallel",
            {"tool_uses": [{"recipient_name": "functions.grep", "parameters": {"pattern": "x"}}]},
            [("grep", {"pattern": "x"})],
        ),
    ],
)
def test_one_meaning(name: str, arguments: Any, meant: list[Any]) -> None:
    """What has exactly one meaning under the schemas runs, and is one call to the model again."""
    bench = Bench()
    history = bench.run(REQUEST, says((name, arguments)))
    assert ran(history) == meant
    told = bench.request({**REQUEST, "messages": history})
    assert told is not None
    [made] = told["messages"][1]["tool_calls"]
    assert (made["id"], made["function"]["name"]) == ("c0", name)
    [result] = results_in(bench, history)
    assert result.startswith(f"[1/{len(meant)}] {meant[0][0]}")


@given(batches, st.randoms(use_true_random=False), st.data())
def test_whole_and_streamed(calls: list[Any], draw: random.Random, data: st.DataObject) -> None:
    """Cut at any place, a call means what it means as a whole; nothing runs that was not meant."""
    rendered = Renderer(draw).render(calls)
    text = json.dumps(rendered.value)
    message = says((rendered.name, text))
    whole = ran(Bench().run(REQUEST, message))
    streamed = ran(Bench().run(REQUEST, message, pieces=[data.draw(cuts(text))]))
    assert whole == streamed
    value = rendered.value
    is_raw = whole[0][1] == (json.loads(value) if isinstance(value, str) else value)
    assert is_raw or not Counter(map(_as_json, whole)) - Counter(map(_as_json, calls))


def _as_json(call: tuple[str, Any]) -> str:
    """A call, however its parameters are ordered."""
    return json.dumps(call, sort_keys=True)


def test_a_tool_that_no_batch_runs() -> None:
    """An undeclared tool of the agent's runs in its place, alone; what the model sees is whole."""
    items = [{"tool": "edit_file", "arguments": EDITS[0]}, {"tool": "run", "command": "make"}]
    bench = Bench()
    translator = bench.translator(REQUEST)
    translator.request()
    history = bench.run(REQUEST, says(("batch", {"calls": items})))
    waves = [message["tool_calls"] for message in history if message.get("tool_calls")]
    assert [[made["function"]["name"] for made in wave] for wave in waves] == [
        ["edit_file"],
        ["run"],
    ]
    [result] = results_in(bench, history)
    assert result.startswith("[1/2] edit_file a\n") and "\n[2/2] run\n" in result


def test_nothing_that_can_be_batched() -> None:
    """A parallel call of tools that cannot be batched runs one by one."""
    body = {**REQUEST, "tools": [RUN]}
    uses = [{"recipient_name": "functions.run", "parameters": {"command": c}} for c in ("a", "b")]
    history = Bench().run(body, says(("multi_tool_use.parallel", {"tool_uses": uses})))
    assert ran(history) == [("run", {"command": "a"}), ("run", {"command": "b"})]
    assert sum(message["role"] == "assistant" for message in history) == 2


def test_an_unknown_tool() -> None:
    """The rest runs; the model is told what there is not, and what there is."""
    items = [{"tool": "read_file", "arguments": {"path": "a"}}, {"tool": "deploy", "arguments": {}}]
    bench = Bench()
    history = bench.run(REQUEST, says(("batch", {"calls": items})))
    assert ran(history) == BOTH_READS[:1]
    [result] = results_in(bench, history)
    assert "[2/2] not run: there is no tool `deploy` to put in a batch; use one of " in result
    assert "edit_file" in result


def test_edits_beside_an_unknown_tool() -> None:
    """A tool that there is not holds up no edit: it is known what was meant by that."""
    items = [{"tool": "deploy", "arguments": {}}, {"tool": "edit_file", "arguments": EDITS[0]}]
    assert ran(Bench().run(REQUEST, says(("batch", {"calls": items})))) == BOTH_EDITS[:1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"calls": [{"tool": "deploy", "arguments": {"steps": [EDITS[0]]}}]},
        {"calls": [{"name": "deploy", "steps": [EDITS[0]]}]},
        {"calls": [{"path": "a.json", "body": 5, "content": {"tool": "run", "command": "x"}}]},
        {"calls": [{"tool": "write_file", "path": "a", "content": EDITS[0]}]},
        {"calls": [{"tool": "edit_file", "arguments": {"path": "a", "old_string": "x"}}]},
        {"calls": [{"command": "rm -rf ."}]},
        {"calls": "rm -rf ."},
        {"calls": []},
        {},
        5,
        "{",
        "rm",
    ],
)
@pytest.mark.parametrize("name", ["batch", "multi_tool_use.parallel"])
def test_no_meaning_of_a_batch(name: str, arguments: Any) -> None:
    """None of the agent's tools gets what was not meant for it: the batch keeps its own name."""
    history = Bench().run(REQUEST, says((name, arguments)))
    [made] = history[1]["tool_calls"]
    assert made["function"] == says((name, arguments))["tool_calls"][0]["function"]


@pytest.mark.parametrize(
    ("arguments", "tool"),
    [
        ({"files": [{"path": "a", "old_string": "x"}]}, "edit_file"),
        ({"path": "a", "files": [{"old_string": "x"}]}, "edit_file"),
        ({**EDITS[0], "files": EDITS}, "multi_edit"),
        ({**EDITS[0], "files": [{**EDITS[0], "path": "b"}]}, "multi_edit"),
    ],
)
def test_no_meaning_of_an_edit(arguments: Any, tool: str) -> None:
    """The agent's own tool refuses it; what that would accept keeps a name that it refuses."""
    history = Bench().run(REQUEST, says(("multi_edit", arguments)))
    assert ran(history) == [(tool, arguments)]


def test_contents_are_no_calls() -> None:
    """What is written or replaced stays a text, whatever it looks like."""
    evil = json.dumps({"calls": [{"tool": "run", "arguments": {"command": "rm -rf ."}}]})
    given = {"path": "a", "old_string": evil, "new_string": json.dumps(EDITS)}
    for arguments in ({"files": [given]}, {"edits": [json.dumps(given)]}, given):
        assert ran(Bench().run(REQUEST, says(("multi_edit", arguments)))) == [("edit_file", given)]
    written = {"path": "a", "content": evil}
    for item in ({"tool": "write_file", **written}, written, {"write_file": written}):
        history = Bench().run(REQUEST, says(("batch", {"calls": [item]})))
        assert ran(history) == [("write_file", written)]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("multi_read", '{"files": [{"path": "a"}, {"path": "b"}, {"path": "c'),
        ("multi_read", '{"paths": ["a", "b", "c'),
        (
            "batch",
            '{"calls": [{"tool": "read_file", "path": "a"}, {"read": "b"}, {"tool": "read_fi',
        ),
    ],
)
def test_reads_that_break_off(name: str, text: str, *, streamed: bool) -> None:
    """Whole items run; the last one is told of; the model sees what was understood of its call."""
    bench = Bench()
    history = bench.run(REQUEST, says((name, text)), pieces=[[text]] if streamed else None)
    assert ran(history) == BOTH_READS
    told = bench.request({**REQUEST, "messages": history})
    assert told is not None
    arguments = json.loads(told["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert len(next(iter(arguments.values()))) == 2
    [result] = results_in(bench, history)
    assert [line for line in result.split("\n") if line.startswith("[")] == [
        "[1/3] read_file a",
        "[2/3] read_file b",
        "[3/3] not run: the arguments break off here",
    ]


@given(
    st.sampled_from(["multi_read", "batch"]),
    st.integers(1, 3),
    st.integers(0, 20),
    st.lists(st.sampled_from([*'{}[]",:x', "}}", ',"x":1']), max_size=3).map("".join),
    st.integers(0, 100),
)
@example("multi_read", 1, 2, "}", 0)
@example("batch", 2, 2, "}}", 40)
def test_any_end(name: str, reads: int, cut: int, end: str, at: int) -> None:
    """However the arguments end: what ran stands in the model's call, above its results."""
    items: list[Any] = [{"path": f"{number}.py"} for number in range(reads)]
    if name == "batch":
        items = [{"tool": "read_file", "arguments": one} for one in items]
    whole = json.dumps({"calls" if name == "batch" else "files": items})
    text = whole[: len(whole) - cut] + end
    bench = Bench()
    history = bench.run(REQUEST, says((name, text)), pieces=[[text[:at], text[at:]]])
    given = [
        one["function"]["arguments"]
        for message in history
        for one in message.get("tool_calls") or ()
    ]
    if given == [text]:
        return  # nothing runs: the agent's tool refuses it
    for memory in (bench.memory, Memory()):
        bench.memory = memory
        told = bench.request({**REQUEST, "messages": history})
        assert told is not None
        [said] = told["messages"][1]["tool_calls"]
        arguments = json.loads(said["function"]["arguments"])
        assert isinstance(arguments, dict)
        if said["function"]["arguments"] != text:
            items = [one for listed in arguments.values() for one in listed]
            assert [one.get("arguments", one) for one in items] == [*map(json.loads, given)]


def test_beside_calls_that_run() -> None:
    """What is not understood beside calls that run is answered in words at the next request."""
    bench, message = Bench(), says(("batch", {"calls": [{"x": 1}]}), ("read_file", {"path": "a"}))
    history = bench.run(REQUEST, message)
    assert ran(history) == BOTH_READS[:1]
    told = bench.request({**REQUEST, "messages": history})
    assert told is not None
    assert told["messages"][1] == message
    first, second = results_in(bench, history)
    assert first.startswith("Nothing was run: `batch` was not understood (it names no tool)")
    assert '"tool":"read_file"' in first
    assert second == "ran c1"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("multi_run", {"command": ["rm", "-r", "x"]}),
        ("multi_run", {"cmd": ["rm", "-r", "x"]}),
        ("multi_run", {"commands": [["rm", "-r", "x"], ["make"]]}),
        ("batch", {"calls": [{"tool": "run", "arguments": {"command": ["rm", "-r", "x"]}}]}),
        ("batch", {"calls": [{"tool": "run", "args": ["rm", "-r", "x"]}]}),
        ("batch", {"calls": [{"run": ["rm", "-r", "x"]}]}),
    ],
)
def test_words_of_a_command(name: str, arguments: Any) -> None:
    """A command in a list is one command or several: nobody can tell, so nothing runs."""
    bench = Bench()
    history = bench.run(REQUEST, says((name, arguments), ("read_file", {"path": "a"})))
    assert ran(history) == BOTH_READS[:1]
    assert "the words of one" in results_in(bench, history)[0]


def test_commands() -> None:
    """Under a name that speaks of several, they are several."""
    history = Bench().run(REQUEST, says(("multi_run", {"commands": ["a", "b"]})))
    assert ran(history) == [("run", {"command": "a"}), ("run", {"command": "b"})]


@pytest.mark.parametrize("name", ["read_file", "nobody"])
def test_a_bare_list(name: str) -> None:
    """A list in place of the object around it stands in the history as the list of that object."""
    listed = [{"name": name, "input": {"path": "a"}}]
    bench, message = Bench(), says(("batch", listed), ("read_file", {"path": "b"}))
    body = {**REQUEST, "messages": bench.run(REQUEST, message)}
    sent = (bench.request(body) or body)["messages"]
    function = sent[1]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"calls": listed}


@pytest.mark.parametrize("key", ["files", "paths"])
def test_hundreds_of_items(key: str) -> None:
    """More items than fit into one wave come in several; more than one call holds are told of."""
    items = [{"path": f"{n}.py"} for n in range(ids.MOST_ITEMS + 5)]
    bench = Bench()
    history = bench.run(REQUEST, says(("multi_read", {key: items})))
    assert ran(history) == [("read_file", one) for one in items[: ids.MOST_ITEMS - 1]]
    [result] = results_in(bench, history)
    assert "not run: a call has at most " in result

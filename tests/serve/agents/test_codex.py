"""Codex behind `batchwrap serve`: nothing of its own is touched, and its shell can be batched.

The real program from npm (`make test-agents`), headless, with real commands and files. Provider
and model are simulated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwrap import Batching
from batchwrap.lab import Call, Raw, Reply
from batchwrap.serve import Server
from tests.serve.agents.jobs import in_turn, job, made, offered, results, several
from tests.serve.agents.recipes import codex, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
PATCH = "*** Begin Patch\n*** Update File: a.txt\n@@\n-a is alpha\n+a is omega\n*** End Patch\n"
# In code mode the model has one tool, whose input is a program that calls the others.
PROGRAM = f"""
const [a, b] = await Promise.all(["a", "b"].map(
  (name) => tools.exec_command({{cmd: `cat ${{name}}.txt`}})
));
text(a.output + b.output);
await tools.apply_patch({json.dumps(PATCH)});
"""


def custom(name: str, text: str, **more: str) -> Raw:
    """A turn that calls a custom tool, whose input is a text: the events of a stream."""
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_1", "name": name, **more}
    place = {"item_id": "ctc_1", "output_index": 0}
    usage = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
    answer = {"id": "resp_1", "object": "response", "model": "m", "output": []}
    done = {**item, "status": "completed", "input": text}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "input": ""}},
        {"type": "response.custom_tool_call_input.delta", **place, "delta": text},
        {"type": "response.custom_tool_call_input.done", **place, "input": text},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**answer, "output": [done], "usage": usage}},
    ]
    chunks = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
    return Raw(200, {"content-type": "text/event-stream"}, tuple(chunks))


def commands(*lines: str) -> Reply:
    """A turn with several commands."""
    return Reply("Looking.", calls=tuple(Call("exec_command", {"cmd": line}) for line in lines))


@pytest.mark.parametrize(
    ("model", "turns"),
    [
        ("gpt-5.5", (commands("cat a.txt", "cat b.txt", "false"), custom("apply_patch", PATCH))),
        ("gpt-6-sol", (custom("exec", PROGRAM, namespace="functions"),)),
    ],
    ids=["functions", "code mode"],
)
def test_nothing_to_batch(
    in_front: Callable[..., Server], tmp_path: Path, model: str, turns: tuple[Reply | Raw, ...]
) -> None:
    """With `serve` in front the provider is told what it is told without, and all calls run.

    A client that may use WebSockets is told at once that there are none, and goes on without.
    """
    agent = codex(model, supports_websockets=True)
    bare_agent = codex(model)
    with job(bare_agent, tmp_path / "bare", in_turn(*turns), lambda url: url) as bare:
        assert bare.run("Change a.txt.").strip() == "Done."
    with job(
        agent, tmp_path / "served", in_turn(*turns), lambda url: in_front(url).base_url
    ) as work:
        assert work.run("Change a.txt.").strip() == "Done."
    assert bare.text("a.txt") == work.text("a.txt") == "a is omega\n"
    assert [entry.method for entry in work.lab.journal] == ["POST"] * (len(turns) + 1)
    for own, served in zip(bare.lab.journal, work.lab.journal, strict=True):
        assert own.json.get("tools") == served.json.get("tools")
        assert shape(own.json) == shape(served.json)
    assert "b is beta" in str(work.lab.journal[-1].json["input"])


def shape(body: dict[str, Any]) -> list[Any]:
    """What kinds of items an input has, and all of its calls."""
    return [
        (item["type"], item.get("name"), item.get("arguments"), item.get("input"))
        for item in body["input"]
    ]


def test_commands_in_one_call(in_front: Callable[..., Server], tmp_path: Path) -> None:
    """With its shell declared, dependent commands are one call, up to the first that fails."""
    lines = ["cat a.txt", "echo new > c.txt", "cat c.txt", "false", "rm c.txt"]
    model = in_turn(several("multi_exec_command", [{"cmd": one} for one in lines], key="calls"))

    def front(base_url: str) -> str:
        shell = Batching(tools={"exec_command": "sequential"})
        return in_front(base_url, batching=shell).base_url

    with job(codex(), tmp_path, model, front) as work:
        assert work.run("Look around.").strip() == "Done."
        assert (work.text("c.txt"), work.lab.round_trips) == ("new\n", 2)
        first, last = work.asked
    assert "multi_exec_command" in offered(first)
    assert made(last) == ["multi_exec_command"]
    [told] = results(last)
    assert "a is alpha" in told and "[5/5] not run" in told

"""Scripts in long and odd conversations: their work, their memory, and other tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from batchwrap.adapters.clients import engine_of
from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptResult, ScriptRun
from batchwrap.core.moves.scripts import TurnScripts
from batchwrap.options import Scripts
from tests.core.apis import CHAT, Message
from tests.core.samples import EDIT_REQUEST
from tests.core.script_play import Agent, Play, Provider, says, script, told
from tests.core.script_programs import World
from tests.drive.script_programs import FUNCTIONS

pytest.importorskip("pydantic_monty")
TWO_READS = "a = await read_file(path='a.py')\nb = await read_file(path='b.py')\nprint(len(a + b))"
GLOB = {
    "type": "function",
    "function": {
        "name": "glob",
        "description": "Find files by name.",
        "parameters": {
            "type": "object",
            "properties": {"pattern": {"type": "string"}},
            "required": ["pattern"],
        },
    },
}


def play(*turns: Message) -> Play:
    """A conversation with these turns of the model."""
    return Play(Provider(CHAT, turns), Agent(), World(1, outcomes=(0, 1)))


def goes_on(one: Play, **extra: Any) -> None:
    """The user says something more, in a request with something of its own."""
    one.extra = extra
    one.history.append({"role": "user", "content": f"Go on, {len(one.history)}."})
    one.run()


@pytest.mark.parametrize("read", [True, False])
def test_other_tools_later(read: bool) -> None:
    """What the model was told of a script stays, even if a tool comes, or one of it goes."""
    one = play(says(script("c1", TWO_READS)))
    one.run()
    said = told(one)["c1"]
    assert said.endswith("[2 calls ran: read_file 2]")
    for _ in range(2):
        goes_on(one)
    tools = [it for it in EDIT_REQUEST["tools"] if read or it["function"]["name"] != "read_file"]
    goes_on(one, tools=[*tools, GLOB])
    assert told(one)["c1"] == said


def test_other_tools_later_and_nothing_remembered() -> None:
    """The outcome is worked out again, though the turn stands in a part that was settled."""
    one = play(says(script("c1", TWO_READS)))
    one.run()
    said = told(one)["c1"]
    for _ in range(2):
        goes_on(one)
    engine = engine_of(one.client)
    assert engine is not None
    memory = engine._memory
    memory.outcomes._kept.entries.clear()
    goes_on(one, tools=[*EDIT_REQUEST["tools"], GLOB])
    assert told(one)["c1"] == said


CLEARED = "[Old tool result content cleared]"
DEPENDENT = """\
text = await read_file(path='a.py')
for word in text.split():
    await read_file(path=word)
print('read', len(text))
"""


@pytest.mark.parametrize("code", [TWO_READS, DEPENDENT])
def test_old_results_that_an_agent_clears(code: str) -> None:
    """What the model was told of a script stays."""
    one = play(says(script("c1", code)))
    one.run()
    said = told(one)["c1"]
    for message in one.history:
        if message["role"] == "tool":
            message["content"] = CLEARED
    goes_on(one)
    assert told(one)["c1"] == said


def test_results_that_an_agent_clears_while_a_script_runs() -> None:
    """The program goes on with what stands in the history, and its account says so."""
    one = play(says(script("c1", "print(await read_file(path='a.py'))\nprint(1)")))
    one.step()
    one.history[-1]["content"] = CLEARED
    one.run()
    assert told(one)["c1"] == f"{CLEARED}\n1\n[1 call ran: read_file 1]"


def test_forks_with_other_results() -> None:
    """Each is told its own, and later on, too."""
    one = play(says(script("c1", TWO_READS)))
    one.step()
    other = one.fork(World(2, outcomes=(3,)))
    said = []
    for it in (one, other):
        it.run()
        said.append(told(it)["c1"])
    assert said[0] != said[1]
    for it, before in zip((one, other), said, strict=True):
        goes_on(it)
        assert told(it)["c1"] == before


def test_work_of_a_long_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart each script is run once, and looked at twice."""
    count = 30
    one = play(*[says(script(f"c{i}", f"{TWO_READS}\nprint({i})")) for i in range(count)])
    one.run()
    looked, inner = [0], vars(TurnScripts)["next_run"].fget

    def next_run(scripts: TurnScripts) -> ScriptRun | None:
        looked[0] += 1
        found: ScriptRun | None = inner(scripts)
        return found

    monkeypatch.setattr(TurnScripts, "next_run", property(next_run))
    one.restart(one.batching)
    goes_on(one)
    assert looked[0] <= 2 * count
    assert len(told(one)) == count


def test_very_many_scripts_in_one_turn() -> None:
    """Each is told its own, though their nonces come again."""
    count = 64
    codes = [f"await read_file(path='{place}.py')\nprint('file {place}')" for place in range(count)]
    one = play(says(*[script(f"c{place}", code) for place, code in enumerate(codes)]))
    one.run()
    assert len(one.ran) == count
    expected = {f"c{it}": f"file {it}\n[1 call ran: read_file 1]" for it in range(count)}
    assert told(one) == expected


def test_memory_of_large_calls() -> None:
    """Outcomes with much in their calls are not kept for later requests; no call runs twice."""
    code = "for i in range(8):\n    text = str(i) + 'x' * 50_000\n"
    code += "    await edit_file(path='a.py', old_string='a', new_string=text)"
    one = play(says(script("c1", code)))
    one.agent = Agent(retries=True)
    one.run()
    assert [json.loads(it[2])["new_string"][0] for it in one.ran] == list("01234567")
    engine = engine_of(one.client)
    assert engine is not None
    kept = [outcome for _, outcome in engine._memory.outcomes._kept.entries.values()]
    assert sum(len(call.arguments) for it in kept for call in it.calls) < 200_000
    assert told(one)["c1"].endswith("[8 calls ran: edit_file 8]")


def test_digests() -> None:
    """Whatever an outcome may depend on changes the digest of its run."""
    runs = [one.digest for one in _runs()]
    assert len(set(runs)) == len(runs)


def _runs() -> Iterator[ScriptRun]:
    ok, failed = ResultStatus.SUCCEEDED, ResultStatus.FAILED
    x, y = (ScriptResult("read", "{}", text, ok) for text in "xy")
    plain = ScriptRun("a", FUNCTIONS, {}, Scripts())
    yield plain
    yield replace(plain, code="b")
    yield replace(plain, code="\ud800")
    yield replace(plain, limits=Scripts(max_calls=3))
    yield replace(plain, functions={"read": FUNCTIONS["read"]})
    for number in (0, 1):
        yield replace(plain, results={number: x})
    for other in (y, replace(x, text="\ud800"), replace(x, status=failed)):
        yield replace(plain, results={0: other})
    for other in (replace(x, tool="find"), replace(x, arguments="[]")):
        yield replace(plain, results={0: other})
    yield replace(plain, results={0: x, 1: y})
    yield replace(plain, results={0: y, 1: x})

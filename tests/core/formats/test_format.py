"""A format of two pages gets all of the moves, with no line changed elsewhere."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from batchwrap.core.exchange.actions import AnswerLocally, Head, Respond, Send, Stream
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.machine import Exchange
from batchwrap.options import Options, Reminders
from batchwrap.throttle.estimate import Estimator
from tests.core.formats.toy import TOY
from tests.core.harness import context_of
from tests.strategies import EDIT_FILE, GREP, READ_FILE

CORE = Path(__file__).parents[3] / "batchwrap"
KIT = [
    {"n": one["function"]["name"], "p": one["function"]["parameters"]}
    for one in (READ_FILE, EDIT_FILE, GREP)
]
TALK: list[list[Any]] = [["sys", "Be brief.", []], ["you", "Mend a.py, b.py and c.py.", []]]


class Agent:
    """An agent that speaks the toy format, in one conversation."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.talk = list(TALK)

    def exchange(self, **fields: Any) -> Exchange:
        """The next request."""
        return Exchange(
            {"model": "m", "kit": KIT, "talk": self.talk, **fields},
            context=self.context,
            endpoint=TOY,
            counter=Estimator(),
            limits_tokens=False,
            backoff=lambda _: None,
        )

    def sent(self, exchange: Exchange) -> dict[str, Any]:
        """What goes out to the provider."""
        exchange.start()
        action = exchange.reserved(0.0)
        assert isinstance(action, Send)
        return action.body or exchange.request

    def ask(self, text: str, *calls: list[str]) -> dict[str, Any]:
        """Ask the model, which answers with these; run what comes back. What was sent."""
        exchange = self.exchange()
        sent = self.sent(exchange)
        exchange.received(Head(200, {}), 0.0)
        answer = {"bot": [text, list(calls)]}
        action = exchange.body(exchange.read(json.dumps(answer).encode()))
        assert isinstance(action, Respond)
        self.run((action.body or answer)["bot"])
        return sent

    def run(self, answer: list[Any]) -> None:
        """Run the calls of an answer."""
        self.talk += [["bot", *answer], *(["out", call[0], f"ran {call[0]}"] for call in answer[1])]

    def local(self) -> dict[str, Any]:
        """The answer that needs no provider; its calls are run."""
        action = self.exchange().start()
        assert isinstance(action, AnswerLocally)
        self.run(action.answer.completion()["bot"])
        return action.answer.completion()


def multi(name: str, *items: dict[str, str]) -> list[str]:
    """A multi-call."""
    return ["m1", name, json.dumps({"files": list(items)})]


READS = multi("multi_read", {"path": "a.py"}, {"path": "b.py"})
EDITS = multi(
    "multi_edit",
    *(
        {"path": path, "old_string": "x", "new_string": new}
        for path, new in (("a.py", "1"), ("a.py", "2"), ("b.py", "3"))
    ),
)


def test_batches_and_folding() -> None:
    """A multi-tool is offered, its call is expanded, and stands in the history as it was made."""
    agent = Agent(context_of())
    sent = agent.ask("Reading.", READS)
    assert [tool["n"] for tool in sent["kit"]][3:] == ["multi_read", "multi_edit", "batch"]
    said = agent.talk[2]
    assert said[:2] == ["bot", "Reading."]
    assert [(name, json.loads(given)) for _, name, given in said[2]] == [
        ("read_file", {"path": "a.py"}),
        ("read_file", {"path": "b.py"}),
    ]
    again = agent.sent(agent.exchange())
    system, asked, turn = again["talk"][:3]
    assert [system, turn] == [TALK[0], ["bot", "Reading.", [READS]]]
    assert asked[1].startswith(f"{TALK[1][1]}\n\n[Reminder: before you begin, ")
    [result] = again["talk"][3:]
    first, second = (call[0] for call in said[2])
    assert result[:2] == ["out", "m1"]
    assert result[2].startswith(
        f"[1/2] read_file a.py\nran {first}\n[2/2] read_file b.py\nran {second}"
    )


def test_waves_and_local_answers() -> None:
    """Edits of one file are handed out one after the other, the second without a round trip."""
    agent = Agent(context_of())
    agent.ask("", EDITS)
    news = [json.loads(given)["new_string"] for _, _, given in agent.talk[2][2]]
    assert news == ["1", "3"]
    local = agent.local()
    assert [json.loads(given)["new_string"] for _, _, given in local["bot"][1]] == ["2"]
    again = agent.sent(agent.exchange())
    assert again["talk"][2] == ["bot", "", [EDITS]]
    assert len(again["talk"]) == 4 and "[3/3] edit_file b.py" in again["talk"][3][2]


def test_reminders() -> None:
    """A lapse is answered by a reminder at the end of the newest result, which then stays there."""
    agent = Agent(context_of(Options(reminders=Reminders())))
    agent.ask("", ["r1", "read_file", '{"path":"a.py"}'])
    agent.ask("", ["r2", "read_file", '{"path":"b.py"}'])
    sent = agent.ask("", ["r3", "grep", '{"pattern":"x"}'])
    assert "[Reminder: " in sent["talk"][-1][2]
    again = agent.sent(agent.exchange())
    assert again["talk"][: len(sent["talk"])] == sent["talk"]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_streams(size: int) -> None:
    """The calls of a streamed batch are handed out as they come, in events of the format."""
    agent = Agent(context_of())
    exchange = agent.exchange(stream=True)
    agent.sent(exchange)
    exchange.received(Head(200, {}, is_stream=True), 0.0)
    text = READS[2]
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events: list[dict[str, Any]] = [{"say": "Reading."}, {"call": [0, "m1", "multi_read", ""]}]
    events += [{"call": [0, "", None, piece]} for piece in pieces]
    assert isinstance(exchange.first(events[0]), Stream)
    out: list[dict[str, Any]] = []
    for event in [*events, {"over": True}]:
        made = exchange.chunk(event)
        out += [event] if made is None else made
    assert exchange.end() == []
    assert out[0] == {"say": "Reading."} and out[-1] == {"over": True}
    assert [json.loads(one["call"][3])["path"] for one in out[1:-1]] == ["a.py", "b.py"]


# The names of fields, roles and events of chat completions, Responses and Messages. Left out are
# those that are names of anything: "id", "type", "name", "text", "model", "stream", "error".
KEYS = {
    *("messages", "role", "content", "tool_calls", "tool_call_id", "choices", "delta", "function"),
    *("finish_reason", "input", "output", "call_id", "tool_use", "tool_result", "tool_choice"),
    *("parallel_tool_calls", "stream_options", "include_usage", "function_call", "cache_control"),
    *(
        "assistant",
        "developer",
        "stop_reason",
        "input_schema",
        "content_block",
        "reasoning_content",
    ),
}
# Not the API's words: names of parameters of tools, what models write as arguments of a batch or
# a script, and parts of headers' names.
OTHERS = {
    "core/tools/find.py": {"content"},
    "core/tools/meaning/aliases.py": {"content", "function", "input"},
    "core/tools/meaning/search.py": {"function"},
    "core/moves/read_ahead/hits.py": {"content"},
    "core/limits/headers.py": {"input", "output"},
}


def test_only_formats_and_repair_know_an_api() -> None:
    """No other module of the core, of the drivers, or the engine names a key of an API."""
    modules = [*(CORE / "core").rglob("*.py"), *(CORE / "drive").rglob("*.py"), CORE / "engine.py"]
    found: dict[str, set[str]] = {}
    for module in modules:
        name = module.relative_to(CORE).as_posix()
        if name.startswith(("core/formats/", "core/repair/")):
            continue
        for node in ast.walk(ast.parse(module.read_bytes())):
            if isinstance(node, ast.Constant) and node.value in KEYS:
                found.setdefault(name, set()).add(node.value)
    assert found == OTHERS

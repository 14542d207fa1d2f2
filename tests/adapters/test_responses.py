"""The Responses API over HTTP: the agent gets its own calls, the provider sees batches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings

import batchwrap
from batchwrap.lab import Call, Lab, Raw, Reply
from batchwrap.options import Batching
from tests.adapters.batching_models import (
    OPTIONS,
    PATHS,
    conversations,
    edit,
    edits_of,
    files,
    long_job,
    meant,
    scripted,
)
from tests.strategies import EDIT_FILE, GREP, READ_FILE

TOOLS = [
    {"type": "function", "strict": True, **one["function"]} for one in (READ_FILE, EDIT_FILE, GREP)
]
TASK = {"role": "user", "content": "Mend a.py, b.py and c.py."}
Item = dict[str, Any]


class Agent:
    """An agent that sends the whole input each time, through a wrapped HTTP client."""

    def __init__(self, lab: Lab, *, stream: bool, **options: Any) -> None:
        self.client = batchwrap.wrap(httpx2.Client(), **options)
        self.url = f"{lab.url}/v1/responses"
        self.stream = stream
        self.input: list[Item] = [TASK]
        self.ran: list[tuple[str, Any]] = []
        self.fields: dict[str, Any] = {"store": False}
        self.result: Callable[[Item], str] = lambda call: f"ran {call['call_id']}"

    def ask(self) -> list[Item]:
        """One request; the items that it is answered with."""
        body: Item = {
            "model": "gpt",
            "tools": TOOLS,
            "instructions": "Be brief.",
            "input": self.input,
        }
        body |= {"stream": self.stream, **self.fields}
        response = self.client.post(self.url, json=body)
        assert response.status_code == 200, response.text
        self.answer_id = re.findall(r'"id":"(resp_\w+)"', response.text)[-1]
        return accumulated(response.text) if self.stream else response.json()["output"]

    def step(self) -> list[Item]:
        """One request, and its calls run; the calls."""
        said = self.ask()
        calls = [item for item in said if item["type"] == "function_call"]
        self.ran += [(call["name"], json.loads(call["arguments"])) for call in calls]
        outputs = [
            {
                "type": "function_call_output",
                "call_id": call["call_id"],
                "output": self.result(call),
            }
            for call in calls
        ]
        self.input += [*said, *outputs]
        return calls

    def run(self) -> None:
        """Go on until the model makes no more calls."""
        for _ in range(200):
            if not self.step():
                return
        raise AssertionError("it never ends")


def accumulated(text: str) -> list[Item]:
    """The items of a stream, by the rules of the strictest readers."""
    items: list[Item] = []
    texts: list[str] = []
    done: list[Item | None] = []
    numbers = []
    final: list[Item] = []
    for event in filter(None, text.split("\n\n")):
        name, data = event.split("\n", 1)
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        numbers.append(told["sequence_number"])
        index = told.get("output_index")
        match told["type"]:
            case "response.output_item.added":
                assert index == len(items), "an index that was used, or a gap"
                items.append(told["item"])
                texts.append("")
                done.append(None)
            case "response.function_call_arguments.delta":
                assert told["item_id"] == items[index]["id"]
                texts[index] += told["delta"]
            case "response.function_call_arguments.done":
                assert told["arguments"] == texts[index]
            case "response.output_item.done":
                assert done[index] is None
                done[index] = told["item"]
            case "response.completed":
                final = told["response"]["output"]
    assert numbers == list(range(len(numbers)))
    assert done == final
    for begun, item, said in zip(items, final, texts, strict=True):
        assert begun["id"] == item["id"]
        if item["type"] == "function_call":
            assert begun["call_id"] == item["call_id"]
            assert begun["arguments"] == "" and item["arguments"] == said
            assert item["id"].startswith("fc_")
    assert len({item["id"] for item in final}) == len(final)
    return final


@pytest.fixture
def opened() -> Iterator[Callable[..., Agent]]:
    """Makes agents, whose clients are closed at last."""
    with ExitStack() as stack:

        def make(lab: Lab, **options: Any) -> Agent:
            agent = Agent(lab, **options)
            stack.enter_context(agent.client)
            return agent

        yield make


pytestmark = pytest.mark.parametrize("stream", [False, True])


def test_reads_in_one_round_trip(serve: Any, opened: Any, stream: bool) -> None:
    """Three reads in one multi-call: the agent runs three, the model sees one and its output."""
    paths = [{"path": f"{name}.py"} for name in "abc"]
    lab = serve(scripted(Reply("Reading.", calls=(Call("multi_read", files(*paths)),))))
    agent = opened(lab, stream=stream)
    agent.run()
    assert agent.ran == [("read_file", path) for path in paths]
    first, second = (request.json for request in lab.journal)
    assert [tool["name"] for tool in first["tools"]][3:] == ["multi_read", "multi_edit", "batch"]
    assert first["tools"][:3] == TOOLS and first["tools"][3]["strict"] is False
    assert first["input"] == [TASK] and first["instructions"] == "Be brief."
    assert second["tools"] == first["tools"]
    message, call, output = second["input"][1:]
    assert message["role"] == "assistant"
    assert (call["name"], json.loads(call["arguments"])) == ("multi_read", files(*paths))
    assert output["call_id"] == call["call_id"]
    assert [line for line in output["output"].split("\n") if line.startswith("[")] == [
        f"[{n}/3] read_file {path['path']}" for n, path in enumerate(paths, start=1)
    ]


def test_waves_need_no_round_trip(serve: Any, opened: Any, stream: bool) -> None:
    """Edits of one file are handed out one after the other, the second without the provider."""
    edits = [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, stream=stream)
    agent.run()
    assert agent.ran == [("edit_file", one) for one in (edits[0], edits[2], edits[1])]
    assert len(lab.journal) == 2
    call, output = lab.journal[1].json["input"][1:]
    assert json.loads(call["arguments"]) == files(*edits)
    assert output["type"] == "function_call_output"


def test_reminders(serve: Any, opened: Any, stream: bool) -> None:
    """They stand at the end of an output, which stays a text; later requests have them there."""
    reads = [Reply(calls=(Call("read_file", {"path": f"{name}.py"}),)) for name in "abc"]
    lab = serve(scripted(*reads))
    agent = opened(lab, stream=stream, batching=Batching(coalesce="never"))
    agent.run()
    third, fourth = (request.json["input"] for request in lab.journal[2:])
    assert "[Reminder: " in third[-1]["output"]
    assert fourth[: len(third)] == third


def test_reasoning_stays_beside_its_calls(serve: Any, opened: Any, stream: bool) -> None:
    """Items that we do not make are handed on as they are, in their places."""
    lab = serve(scripted(Reply(calls=(Call("grep", {"pattern": "x"}),))))
    agent = opened(lab, stream=stream)
    turns: list[Item] = []
    for number in (1, 2):
        call = {"type": "function_call", "call_id": f"c{number}", "name": "read_file"}
        turns += [
            {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "e"},
            {**call, "arguments": '{"path": "a.py"}', "id": f"fc_{number}"},
        ]
    outputs = [{"type": "function_call_output", "call_id": f"c{n}", "output": "x"} for n in (1, 2)]
    agent.input = [TASK, *turns, *outputs]
    agent.run()
    assert lab.journal[0].json["input"][: len(turns) + 2] == [TASK, *turns, outputs[0]]


def test_a_first_request_that_may_be_kept(serve: Any, opened: Any, stream: bool) -> None:
    """Whether the next one names only the answer is not known yet: it goes out as it is."""
    reads = [Reply(calls=(Call("read_file", {"path": f"{name}.py"}),)) for name in "ab"]
    lab = serve(scripted(*reads))
    agent = opened(lab, stream=stream)
    agent.fields = {}
    agent.run()
    assert [len(request.json["tools"]) for request in lab.journal] == [3, 6, 6]
    assert batchwrap.stats(agent.client).only_throttled == {"responses": 1}


@pytest.mark.parametrize(
    "fields", [{"previous_response_id": "resp_1"}, {"conversation": "c"}, {"background": True}]
)
def test_what_the_provider_keeps(
    serve: Any, opened: Any, stream: bool, fields: dict[str, Any]
) -> None:
    """A request that continues something that the provider keeps goes out as it is."""
    lab = serve(scripted())
    agent = opened(lab, stream=stream)
    agent.fields = fields
    agent.run()
    assert lab.journal[0].json["tools"] == TOOLS


def test_a_whole_history_that_is_continued_by_id(serve: Any, opened: Any, stream: bool) -> None:
    """The provider gets a result for each call that it knows; what waited was not run."""
    calls = (
        Call("multi_read", files({"path": "a.py"}, {"path": "b.py"})),
        Call("multi_edit", files(edit("a.py", "1"))),
    )
    lab = serve(scripted(Reply("Reading.", calls=calls)))
    agent = opened(lab, stream=stream)
    before = {"type": "message", "role": "assistant", "content": "Hello."}
    agent.fields, agent.input = {}, [TASK, before, TASK]
    made = agent.step()
    assert [call["name"] for call in made] == ["read_file", "read_file"]
    agent.fields, agent.input = {"previous_response_id": agent.answer_id}, agent.input[-2:]
    assert all(item["type"] == "function_call_output" for item in agent.input)
    agent.ask()
    first, second = lab.journal[1].json["input"]
    assert "[2/2] read_file b.py" in first["output"]
    assert "[1/1] not run" in second["output"] or second["output"] == "not run"
    assert {first["call_id"], second["call_id"]}.isdisjoint({call["call_id"] for call in made})
    assert lab.journal[1].json["tools"] == TOOLS


def test_a_text_as_input(serve: Any, opened: Any, stream: bool) -> None:
    """An input that is a text stays one."""
    lab = serve(scripted())
    agent = opened(lab, stream=stream)
    agent.fields = {"store": False, "input": "Mend a.py."}
    agent.ask()
    assert lab.journal[0].json["input"] == "Mend a.py."
    assert len(lab.journal[0].json["tools"]) == 6


def test_a_refused_rewrite(serve: Any, opened: Any, stream: bool) -> None:
    """What the provider does not understand goes out once more as the agent wrote it."""

    def model(body: Any) -> Reply | Raw:
        if len(body["tools"]) == len(TOOLS):
            return Reply("fine")
        return Raw(400, {"content-type": "application/json"}, (b'{"error": {"message": "no"}}',))

    lab = serve(model)
    agent = opened(lab, stream=stream)
    agent.run()
    assert [len(request.json["tools"]) for request in lab.journal] == [6, 3]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(serve: Any, opened: Any, stream: bool, name: str) -> None:
    """Whatever is asked for, each call runs, and the provider takes every request."""
    options, local_answers = OPTIONS[name]
    lab = serve(scripted(*long_job()))
    agent = opened(lab, stream=stream, **options)
    agent.run()
    wanted = meant(long_job())
    assert [call for call in wanted if call not in agent.ran] == []
    assert edits_of(agent.ran, "a.py") == edits_of(wanted, "a.py")
    assert [request.status for request in lab.journal] == [200] * (len(long_job()) + 1)
    stats = batchwrap.stats(agent.client)
    assert (stats.local_answers, stats.failed_open, stats.internal_errors) == (local_answers, 0, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=conversations)
def test_whatever_a_model_does(serve: Any, opened: Any, stream: bool, replies: list[Reply]) -> None:
    """Each call runs once, those of one file in order; the provider takes every request."""
    lab = serve(scripted(*replies))
    agent = opened(lab, stream=stream)
    agent.run()
    wanted = meant(replies)
    assert sorted(map(json.dumps, agent.ran)) == sorted(map(json.dumps, wanted))
    for path in PATHS:
        assert edits_of(agent.ran, path) == edits_of(wanted, path)
    assert len(lab.journal) == len(replies) + 1
    calls = [i for i in lab.journal[-1].json["input"] if i.get("type") == "function_call"]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        (call.name, call.arguments) for reply in replies for call in reply.calls
    ]

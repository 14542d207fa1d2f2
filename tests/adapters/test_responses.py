"""What only the Responses API has, over HTTP: reasoning, and what the provider keeps."""

from __future__ import annotations

from typing import Any

import pytest

import batchwrap
from batchwrap.lab import Call, Reply
from tests.adapters.api_agents import TASK, ResponsesAgent
from tests.adapters.batching_models import edit, files, scripted

pytestmark = pytest.mark.parametrize("stream", [False, True])


def test_reasoning_stays_beside_its_calls(serve: Any, opened: Any, stream: bool) -> None:
    """Items that we do not make are handed on as they are, in their places."""
    lab = serve(scripted(Reply(calls=(Call("grep", {"pattern": "x"}),))))
    agent = opened(lab, ResponsesAgent, stream=stream)
    turns: list[Any] = []
    for number in (1, 2):
        call = {"type": "function_call", "call_id": f"c{number}", "name": "read_file"}
        turns += [
            {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "e"},
            {**call, "arguments": '{"path": "a.py"}', "id": f"fc_{number}"},
        ]
    outputs = [{"type": "function_call_output", "call_id": f"c{n}", "output": "x"} for n in (1, 2)]
    task = {"role": "user", "content": "Mend the files."}
    agent.history = [task, *turns, *outputs]
    agent.run()
    assert lab.journal[0].json["input"][: len(turns) + 2] == [task, *turns, outputs[0]]


def test_a_first_request_that_may_be_kept(serve: Any, opened: Any, stream: bool) -> None:
    """Whether the next one names only the answer is not known yet: it goes out as it is."""
    reads = [Reply(calls=(Call("read_file", {"path": f"{name}.py"}),)) for name in "ab"]
    lab = serve(scripted(*reads))
    agent = opened(lab, ResponsesAgent, stream=stream)
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
    agent = opened(lab, ResponsesAgent, stream=stream)
    agent.fields = fields
    agent.run()
    assert lab.journal[0].json["tools"] == ResponsesAgent.tools


def test_a_whole_history_that_is_continued_by_id(serve: Any, opened: Any, stream: bool) -> None:
    """The provider gets a result for each call that it knows; what waited was not run."""
    calls = (
        Call("multi_read", files({"path": "a.py"}, {"path": "b.py"})),
        Call("multi_edit", files(edit("a.py", "1"))),
    )
    lab = serve(scripted(Reply("Reading.", calls=calls)))
    agent = opened(lab, ResponsesAgent, stream=stream)
    before = {"type": "message", "role": "assistant", "content": "Hello."}
    agent.fields, agent.history = {}, [TASK, before, TASK]
    made = agent.step()
    assert [call.name for call in made] == ["read_file", "read_file"]
    agent.fields, agent.history = {"previous_response_id": agent.answer_id}, agent.history[-2:]
    assert all(item["type"] == "function_call_output" for item in agent.history)
    agent.ask()
    first, second = lab.journal[1].json["input"]
    assert "[2/2] read_file b.py" in first["output"]
    assert "[1/1] not run" in second["output"] or second["output"] == "not run"
    assert {first["call_id"], second["call_id"]}.isdisjoint({call.call_id for call in made})
    assert lab.journal[1].json["tools"] == ResponsesAgent.tools


def test_a_text_as_input(serve: Any, opened: Any, stream: bool) -> None:
    """An input that is a text stays one."""
    lab = serve(scripted())
    agent = opened(lab, ResponsesAgent, stream=stream)
    agent.fields = {"store": False, "input": "Mend a.py."}
    agent.ask()
    assert lab.journal[0].json["input"] == "Mend a.py."
    assert len(lab.journal[0].json["tools"]) == 6

"""The decorator around functions that return anthropic's own objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

import batchwrap
from batchwrap.errors import BrokenAnswer
from batchwrap.lab import Lab, Raw, Reply
from tests.adapters.batching_models import scripted
from tests.adapters.callers import Caller
from tests.adapters.file_job import MEANT, MESSAGES_TOOLS, TASK, WORK

EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture(params=["messages", "beta.messages"])
def resource(request: pytest.FixtureRequest) -> str:
    """Where the SDK has the method; the types of the beta are others."""
    return str(request.param)


@pytest.fixture
def decorated(caller: Caller, resource: str) -> Callable[..., Any]:
    """Decorates a function that calls a bare SDK client, sync or async."""

    def make(lab: Lab, **options: Any) -> Any:
        kind = anthropic.AsyncAnthropic if caller.is_async else anthropic.Anthropic
        client = caller.closes(kind(base_url=lab.url, api_key="key", max_retries=0))
        create = client.beta.messages.create if "beta" in resource else client.messages.create
        decorate = batchwrap.batched(**options)
        if not caller.is_async:
            return decorate(lambda **given: create(model="claude", max_tokens=50, **given))

        @decorate
        async def complete(**given: Any) -> Any:
            return await create(model="claude", max_tokens=50, **given)

        return complete

    return make


def content_of(caller: Caller, stream: Any) -> list[dict[str, Any]]:
    """The blocks of a stream, whose events are all the SDK's own objects."""
    assert isinstance(stream, anthropic.AsyncStream if caller.is_async else anthropic.Stream)
    blocks: list[dict[str, Any]] = []
    texts: list[str] = []
    for event in caller.each(stream):
        assert type(event).__module__.startswith("anthropic.types.")
        match event.type:
            case "content_block_start":
                assert event.index == len(blocks)
                blocks.append(event.content_block.to_dict())
                texts.append("")
            case "content_block_delta":
                delta = event.delta
                texts[event.index] += getattr(delta, "partial_json", "") or delta.text
            case "content_block_stop":
                block, said = blocks[event.index], texts[event.index]
                block |= {"text": said} if block["type"] == "text" else {"input": json.loads(said)}
    return blocks


@pytest.mark.parametrize("streamed", [False, True])
def test_batches_and_waves(caller: Caller, serve: Any, decorated: Any, streamed: bool) -> None:
    """A batch becomes the agent's calls, what waits costs no round trip, all is folded back."""
    lab = serve(scripted(WORK))
    complete = decorated(lab)
    messages: list[Any] = [TASK]
    ran, answers = [], 0
    while True:
        answer = caller.run(complete, messages=messages, tools=MESSAGES_TOOLS, stream=streamed)
        answers += 1
        if streamed:
            content: Any = content_of(caller, answer)
            made = [(one["id"], one["name"], one["input"]) for one in content if "name" in one]
        else:
            assert type(answer).__name__ in ("Message", "BetaMessage")
            content = answer.content  # the objects themselves, as agents do
            made = [(one.id, one.name, one.input) for one in content if one.type == "tool_use"]
            assert (answer.stop_reason == "tool_use") == bool(made)
        messages.append({"role": "assistant", "content": content})
        if not made:
            break
        ran += [(name, given) for _, name, given in made]
        results = [
            {"type": "tool_result", "tool_use_id": one, "content": "done"} for one, _, _ in made
        ]
        messages.append({"role": "user", "content": results})
    assert ran == MEANT
    assert (answers, len(lab.journal)) == (4, 2)
    said = lab.journal[1].json["messages"][1]["content"]
    assert [block.get("name") for block in said] == [None, "multi_read", "multi_edit"]
    assert batchwrap.stats(complete).local_answers == 2


def test_refusals_are_waited_for(caller: Caller, serve: Any, decorated: Any) -> None:
    """An overload is, as a status and as the first event of a stream."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    whole = Raw(529, {"content-type": "application/json", "retry-after": "0"}, (b"{}",))
    event = f"event: error\ndata: {json.dumps(error)}\n\n".encode()
    said = [whole, Reply("yes"), Raw(200, EVENTS, (event,)), Reply("yes")]
    lab = serve(lambda request: said.pop(0))
    complete = decorated(lab)
    assert caller.run(complete, messages=[TASK], system="Hm.").content[0].text == "yes"
    stream = caller.run(complete, messages=[TASK], system="Hm.", stream=True)
    assert content_of(caller, stream)[0]["text"] == "yes"
    assert batchwrap.stats(complete).retries == 2


def test_half_a_stream(caller: Caller, serve: Any, decorated: Any) -> None:
    """It is an error of ours behind what came."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m"}
    event = {"type": "message_start", "message": {**start, "usage": {"input_tokens": 1}}}
    half = f"event: message_start\ndata: {json.dumps(event)}\n\n".encode()
    lab = serve(lambda request: Raw(200, EVENTS, (half,)))
    stream = caller.run(decorated(lab), messages=[TASK], tools=MESSAGES_TOOLS, stream=True)
    with pytest.raises(BrokenAnswer) as caught:
        list(caller.each(stream))
    assert caught.value.kind == "incomplete_stream"


def test_the_method_itself(serve: Any) -> None:
    """`batched(client.messages.create)` needs nothing else to tell which API it is."""
    lab = serve(lambda request: Reply("yes"))
    with anthropic.Anthropic(base_url=lab.url, api_key="key") as client:
        complete = batchwrap.batched(client.messages.create)
        answer = complete(model="claude", max_tokens=5, messages=[TASK], tools=MESSAGES_TOOLS)
        assert answer.content[0].text == "yes"
    offered = {tool["name"] for tool in lab.journal[0].json["tools"]}
    assert {"multi_read", "multi_edit"} <= offered
    assert batchwrap.stats(complete).only_throttled == {}

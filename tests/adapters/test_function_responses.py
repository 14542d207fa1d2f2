"""The decorator around functions that speak the Responses API, with the SDK's own objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

import batchwrap
from batchwrap.errors import BrokenAnswer, LimitExceeded
from batchwrap.lab import Lab, Raw, Reply
from batchwrap.options import Limit, Throttle
from tests.adapters.batching_models import files, scripted
from tests.adapters.callers import Caller
from tests.adapters.file_job import (
    MEANT,
    READS,
    RESPONSES_TOOLS,
    TASK,
    WORK,
    folded_items,
    responses_job,
)

EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture
def decorated(caller: Caller) -> Callable[..., Any]:
    """Decorates a function that calls a bare SDK client, sync or async."""

    def make(lab: Lab, **options: Any) -> Any:
        client = caller.open(lab, max_retries=0)
        decorate: Any = batchwrap.batched(**options)
        if not caller.is_async:
            return decorate(lambda **given: client.responses.create(model="gpt", **given))

        @decorate
        async def complete(**given: Any) -> Any:
            return await client.responses.create(model="gpt", **given)

        return complete

    return make


def final(caller: Caller, stream: Any) -> Any:
    """The response that a stream ends with; all of its events are the SDK's own objects."""
    assert isinstance(stream, openai.AsyncStream if caller.is_async else openai.Stream)
    events = list(caller.each(stream))
    assert all(type(event).__module__.startswith("openai.types.responses.") for event in events)
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert events[-1].type == "response.completed"
    assert [item.to_dict() for item in done] == [
        item.to_dict() for item in events[-1].response.output
    ]
    return events[-1].response


@pytest.mark.parametrize("streamed", [False, True])
def test_batches_and_waves(caller: Caller, serve: Any, decorated: Any, streamed: bool) -> None:
    """A batch becomes the agent's calls, what waits costs no round trip, all is folded back."""
    lab = serve(scripted(WORK))
    complete = decorated(lab)

    def ask(**asked: Any) -> Any:
        answer = caller.run(complete, **asked, stream=streamed)
        answer = final(caller, answer) if streamed else answer
        assert isinstance(answer, Response)
        return answer

    done = responses_job(ask)
    assert (done.ran, done.answers, len(lab.journal)) == (MEANT, 4, 2)
    assert done.last.output_text == "done"
    assert folded_items(lab.journal[1].json) == ["multi_read", "multi_edit"]
    assert batchwrap.stats(complete).local_answers == 2


def test_what_is_not_changed(serve: Any) -> None:
    """An answer without calls is the object that the function returned, and arguments stay."""
    lab = serve(lambda request: Reply("yes"))
    returned: list[Any] = []
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as client:

        @batchwrap.batched
        def complete(**given: Any) -> Any:
            returned.append(client.responses.create(model="gpt", **given))
            return returned[-1]

        assert complete(input="Hi.", instructions="Be brief.", store=False) is returned[0]
        assert batchwrap.stats(complete).requests == 1
    assert lab.journal[0].json["input"] == "Hi."


def test_what_continues_by_id_is_throttled_only(serve: Any) -> None:
    """As through a client."""
    lab = serve(lambda request: Reply("yes"))
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as client:
        complete: Any = batchwrap.batched(client.responses.create)
        complete(model="gpt", input="Hi.", tools=RESPONSES_TOOLS)
        stats = batchwrap.stats(complete)
    assert stats.only_throttled == {"responses": 1}
    assert lab.journal[0].json["tools"] == RESPONSES_TOOLS


def test_embeddings_are_none_of_it(serve: Any) -> None:
    """They have an input, too, and pass."""
    lab = serve(lambda request: Reply("yes"))
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as client:
        embed: Any = batchwrap.batched(lambda **given: client.embeddings.create(**given))
        for given in ("a", ["a", "b"], [[1, 2]]):
            assert embed(model="m", input=given).data
        assert batchwrap.stats(embed).passed_through == 3


def test_dicts_and_generators() -> None:
    """Functions that return dicts and generators keep their kinds."""
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "multi_read"}
    item["arguments"] = json.dumps(files(*READS))

    @batchwrap.batched
    def complete(**given: Any) -> Any:
        return {"id": "resp_1", "object": "response", "output": [item]}

    asked: dict[str, Any] = {"input": [TASK], "tools": RESPONSES_TOOLS, "store": False}
    output = complete(**asked)["output"]
    assert [one["name"] for one in output] == ["read_file", "read_file"]

    @batchwrap.batched
    def events(**given: Any) -> Iterator[Any]:
        begun = {"id": "resp_1", "output": []}
        yield {"type": "response.created", "response": begun}
        added = {**item, "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": 0, "item": added}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield {"type": "response.completed", "response": {**begun, "output": [item]}}

    last = list(events(**asked))[-1]
    assert [one["name"] for one in last["response"]["output"]] == ["read_file", "read_file"]


def test_refusals_are_waited_for(caller: Caller, serve: Any, decorated: Any) -> None:
    """An error of the SDK's is understood, also where a stream begins with it."""
    refused = Raw(429, {"retry-after": "0", "content-type": "application/json"}, (b"{}",))
    event = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}
    first = f"event: error\ndata: {json.dumps(event)}\n\n".encode()
    said = [refused, Reply("yes"), Raw(200, EVENTS, (first,)), Reply("yes")]
    lab = serve(lambda request: said.pop(0))
    complete = decorated(lab)
    assert caller.run(complete, input=[TASK], store=False).output_text == "yes"
    stream = caller.run(complete, input=[TASK], store=False, stream=True)
    assert final(caller, stream).output_text == "yes"
    assert batchwrap.stats(complete).retries == 2


def test_errors_are_our_own_classes(caller: Caller, serve: Any, decorated: Any) -> None:
    """What is refused here, and half a stream."""
    begun = {"type": "response.created", "response": {"id": "resp_1", "output": []}}
    half = f"event: response.created\ndata: {json.dumps(begun)}\n\n".encode()
    lab = serve(lambda request: Raw(200, EVENTS, (half,)))
    throttle = Throttle(limits=[Limit("requests", 1, 1_000)], max_wait_s=0)
    complete = decorated(lab, throttle=throttle)
    asked = {"input": [TASK], "store": False, "stream": True}
    stream = caller.run(complete, **asked)
    with pytest.raises(BrokenAnswer) as caught:
        list(caller.each(stream))
    assert caught.value.kind == "incomplete_stream"
    with pytest.raises(LimitExceeded):
        caller.run(complete, **asked)

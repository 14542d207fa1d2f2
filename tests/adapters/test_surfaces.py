"""Every way into the SDK that ends in a chat completion gets the agent's view."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI

import batchwrap
from batchwrap.lab import Call, Lab, Reply
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, calls_of, gather

ASK: Any = {"model": "m", "messages": [USER], "tools": TOOLS}
STRICT = [{**tool, "function": {**tool["function"], "strict": True}} for tool in TOOLS]
ASK_STRICT: Any = {**ASK, "tools": STRICT}


@pytest.fixture
def lab(serve: Any) -> Lab:
    """A provider whose model always makes a multi-call."""
    running: Lab = serve(lambda request: MULTI_CALL)
    return running


def test_raw_response(caller: Caller, lab: Lab) -> None:
    """`with_raw_response` has the headers of the provider and the agent's calls."""
    client = batchwrap.wrap(caller.open(lab))
    create = client.chat.completions.with_raw_response.create
    raw = caller.run(create, **ASK)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.http_request.headers["authorization"] == "Bearer key"
    assert calls_of(raw.parse().choices[0].message) == READS
    raw = caller.run(create, **ASK, stream=True)
    assert gather(list(caller.each(raw.parse())))["calls"] == READS


def test_streaming_response(lab: Lab) -> None:
    """`with_streaming_response` reads the translated body."""
    with OpenAI(base_url=lab.base_url, api_key="key") as bare:
        create = batchwrap.wrap(bare).chat.completions.with_streaming_response.create
        with create(**ASK) as response:
            body = b"".join(response.iter_bytes())
    assert b"read_file" in body
    assert b"multi_read" not in body


def test_post(caller: Caller, lab: Lab) -> None:
    """The client's own `post` is translated, too."""
    client = batchwrap.wrap(caller.open(lab))
    answer = caller.run(client.post, "/chat/completions", body=ASK, cast_to=object)
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["read_file", "read_file"]


def test_stream_helper(lab: Lab) -> None:
    """`chat.completions.stream()` sees each expanded call begin and end, and parses it."""
    with OpenAI(base_url=lab.base_url, api_key="key") as bare:
        completions = batchwrap.wrap(bare).chat.completions
        with completions.stream(**ASK_STRICT) as stream:
            events = list(stream)
            final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.index, event.name) for event in done] == [(0, "read_file"), (1, "read_file")]
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [args for _, args in READS]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async_stream_helper(lab: Lab, anyio_backend: str) -> None:
    """The same for tasks."""
    async with AsyncOpenAI(base_url=lab.base_url, api_key="key") as bare:
        completions = batchwrap.wrap(bare).chat.completions
        async with completions.stream(**ASK_STRICT) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.index for event in done] == [0, 1]
    assert calls_of(final.choices[0].message) == READS


class Capital(pydantic.BaseModel):
    """What the model is to answer with."""

    country: str
    city: str


def test_parse(caller: Caller, serve: Any) -> None:
    """`parse()` gets structured answers and parsed arguments of expanded calls."""
    structured = Reply('{"country": "France", "city": "Paris"}')
    lab = serve(structured, Reply(calls=(Call("multi_read", {"files": [{"path": "a.py"}]}),)))
    parse = batchwrap.wrap(caller.open(lab)).chat.completions.parse
    answer = caller.run(parse, **ASK_STRICT, response_format=Capital)
    assert answer.choices[0].message.parsed == Capital(country="France", city="Paris")
    called = caller.run(parse, **ASK_STRICT).choices[0].message.tool_calls
    assert [call.function.parsed_arguments for call in called] == [{"path": "a.py"}]

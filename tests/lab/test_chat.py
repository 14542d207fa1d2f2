"""Chat completions as the installed OpenAI SDK sees them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import openai
import orjson
import pytest

from batchwrap.lab import Call, FileReader, RateLimit, Raw, Reply, Script
from batchwrap.lab.dialects import DialectName

QUESTION: Any = [{"role": "user", "content": "What is the answer?"}]
READS = Reply(
    "I read.",
    reasoning="Two files.",
    calls=(Call("read", {"path": "a.py"}), Call("read", {"path": "b.py"})),
)


def test_plain(open_lab: Any, open_client: Any) -> None:
    """A plain completion has the text, a reason to finish, usage, and an id like OpenAI's."""
    client = open_client(open_lab(Script(Reply("It is 42."))))
    completion = client.chat.completions.create(model="m", messages=QUESTION)
    assert completion.choices[0].message.content == "It is 42."
    assert completion.choices[0].finish_reason == "stop"
    assert re.fullmatch(r"chatcmpl-[A-Za-z0-9]{29}", completion.id)
    usage = completion.usage
    assert usage.completion_tokens == 5
    assert usage.total_tokens == usage.prompt_tokens + 5


@pytest.mark.parametrize("chunk_tokens", [1, 4, 1000])
def test_stream_says_what_plain_says(open_lab: Any, open_client: Any, chunk_tokens: int) -> None:
    """The chunks of a stream add up to the plain message, calls and reasoning included."""
    client = open_client(open_lab(lambda request: READS, chunk_tokens=chunk_tokens))
    plain = client.chat.completions.create(model="m", messages=QUESTION).choices[0]
    text, thinking, calls = "", "", {}
    for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        thinking += (delta.model_extra or {}).get("reasoning", "")
        for call in delta.tool_calls or ():
            if call.id:
                calls[call.index] = [call.function.name, ""]
                assert re.fullmatch(r"call_[A-Za-z0-9]{24}", call.id)
            calls[call.index][1] += call.function.arguments
    assert text == plain.message.content
    assert thinking == plain.message.model_extra["reasoning"]
    made = [[c.function.name, c.function.arguments] for c in plain.message.tool_calls]
    assert list(calls.values()) == made
    assert chunk.choices[0].finish_reason == plain.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("include_usage", "asked", "chunks"),
    [
        ("asked", False, 0),
        ("asked", True, 1),
        ("always", False, 1),
        ("never", True, 0),
    ],
)
def test_usage_in_streams(
    open_lab: Any, open_client: Any, include_usage: str, asked: bool, chunks: int
) -> None:
    """The chunk with usage comes last, without choices, when the setting says so."""
    client = open_client(open_lab(Script(READS), include_usage=include_usage))
    options: Any = {"stream_options": {"include_usage": True}} if asked else {}
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True, **options)
    everything = list(stream)
    with_usage = [chunk for chunk in everything if chunk.usage]
    assert len(with_usage) == chunks
    if chunks:
        assert with_usage == everything[-1:]
        assert with_usage[0].choices == []
        assert with_usage[0].usage.completion_tokens_details.reasoning_tokens == 3


def test_several_choices(open_lab: Any, open_client: Any) -> None:
    """With `n` every choice has the same turn, its own ids, and is counted."""
    named = Reply(calls=(Call("read", {"path": "a.py"}, id="call_scripted"),))
    lab = open_lab(lambda request: named)
    client = open_client(lab)
    completion = client.chat.completions.create(model="m", messages=QUESTION, n=3)
    ids = [choice.message.tool_calls[0].id for choice in completion.choices]
    assert ids[0] == "call_scripted"
    assert len(set(ids)) == 3
    chunks = list(client.chat.completions.create(model="m", messages=QUESTION, n=3, stream=True))
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1, 2}
    plain, streamed = lab.journal
    assert plain.completion_tokens == streamed.completion_tokens
    assert completion.usage.completion_tokens == plain.completion_tokens
    assert plain.completion_tokens % 3 == 0


def test_output_cap(open_lab: Any, open_client: Any) -> None:
    """A turn that is longer than the request allows is cut, plain and streamed."""
    client = open_client(open_lab(lambda request: Reply("one two three four five six")))
    plain = client.chat.completions.create(model="m", messages=QUESTION, max_completion_tokens=3)
    assert plain.choices[0].message.content == "one two three"
    assert plain.choices[0].finish_reason == "length"
    assert plain.usage.completion_tokens == 3
    streamed = client.chat.completions.create(
        model="m", messages=QUESTION, max_tokens=3, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "one two three"


def test_stream_events_to_the_byte(open_lab: Any, open_wire: Any) -> None:
    """A stream is events of JSON, one a chunk, and ends with [DONE]."""
    wire = open_wire(open_lab(Script(Reply("Hi"))))
    response = wire.post("/v1/chat/completions", {"messages": QUESTION, "stream": True})
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    *events, done, end = response.read().split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in events]
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {},
    ]
    assert "usage" not in chunks[0]


def test_async_client(open_lab: Any) -> None:
    """The async SDK works as well, with many requests at once."""
    lab = open_lab(lambda request: Reply("yes"))

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(api_key="any", base_url=lab.base_url) as client:
            create = client.chat.completions.create
            asked = [create(model="m", messages=QUESTION) for _ in range(20)]
            answers = await asyncio.gather(*asked)
            return [str(answer.choices[0].message.content) for answer in answers]

    assert asyncio.run(ask()) == ["yes"] * 20
    assert lab.round_trips == 20


def test_azure(open_lab: Any, closing: Any) -> None:
    """An Azure client finds its paths; the deployment's name is the model's."""
    lab = open_lab(lambda request: Reply("yes"), api_keys=["azure-key"])
    client = closing.enter_context(
        openai.AzureOpenAI(azure_endpoint=lab.url, api_version="2024-10-21", api_key="azure-key")
    )
    completion = client.chat.completions.create(model="my-gpt", messages=QUESTION)
    assert completion.model == "my-gpt"
    entry = lab.journal[0]
    assert entry.path == "/openai/deployments/my-gpt/chat/completions"
    assert entry.query == "api-version=2024-10-21"
    assert lab.round_trips == 1


def test_context_window(open_lab: Any, open_client: Any) -> None:
    """A prompt above the window is refused with OpenAI's code, and output ends there."""
    lab = open_lab(lambda request: Reply("one two three four five six"), context_window=14)
    client = open_client(lab)
    completion = client.chat.completions.create(model="m", messages=QUESTION)
    assert completion.usage.total_tokens == 14
    assert completion.choices[0].finish_reason == "length"
    long: Any = [{"role": "user", "content": "word " * 50}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=long)
    assert caught.value.code == "context_length_exceeded"


def test_wrong_requests_get_a_400(open_lab: Any, open_client: Any, open_wire: Any) -> None:
    """The server validates like a strict provider, and does not ask the model."""
    lab = open_lab(Script())
    stray: Any = [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]
    with pytest.raises(openai.BadRequestError, match="call_1"):
        open_client(lab).chat.completions.create(model="m", messages=stray)
    assert open_wire(lab).post("/v1/chat/completions", b"{no json").status == 400
    assert [entry.json is None for entry in lab.journal] == [False, True]


def test_a_failing_model_says_why(open_lab: Any, open_client: Any) -> None:
    """A script that has run out is a 500 with its message, and the SDK does not retry it."""
    lab = open_lab(Script())
    with pytest.raises(openai.InternalServerError, match="0 replies"):
        open_client(lab).chat.completions.create(model="m", messages=QUESTION)
    assert len(lab.journal) == 1


def test_a_model_that_returns_something_else_says_so(open_lab: Any, open_wire: Any) -> None:
    """A model must return a Reply or a Raw."""
    status, headers, body = open_wire(open_lab(lambda request: "text")).chat()
    assert (status, headers["x-should-retry"]) == (500, "false")
    assert "'text' is no Reply" in body["error"]["message"]


@pytest.mark.parametrize(
    ("dialect", "code", "headers"),
    [
        ("cerebras", "request_quota_exceeded", {"retry-after": "60"}),
        ("openai", "rate_limit_exceeded", {}),
    ],
)
def test_refusal(
    open_lab: Any, open_wire: Any, dialect: DialectName, code: str, headers: dict[str, str]
) -> None:
    """Above a limit a request is refused in the provider's own words."""
    lab = open_lab(
        lambda request: Reply("yes"), limits=[RateLimit("requests", 1, 60)], dialect=dialect
    )
    wire = open_wire(lab)
    assert wire.chat()[0] == 200
    status, sent, body = wire.chat()
    assert status == 429
    assert body.get("error", body)["code"] == code
    assert headers.items() <= sent.items()
    assert 0 < float(sent["retry-after"]) <= 60
    assert (lab.round_trips, lab.refusals) == (1, 1)


def test_reservation_is_settled_when_the_response_ends(open_lab: Any, open_wire: Any) -> None:
    """Prompt and output cap are reserved at admission, real use is booked at the end."""
    limits = [RateLimit("tokens", 1000, 1e9)]
    lab = open_lab(lambda request: Reply("yes"), limits=limits)
    wire = open_wire(lab)
    key = "x-ratelimit-remaining-tokens-1e+09s"
    prompt = 11
    # The headers are sent before the end: they still show the whole reservation.
    assert int(wire.chat(max_completion_tokens=900)[1][key]) == 1000 - prompt - 900
    used = prompt + 1
    assert lab.journal[0].prompt_tokens == prompt
    assert int(wire.chat(max_tokens=800, n=1)[1][key]) == 1000 - used - prompt - 800
    assert int(wire.chat(n=2, max_tokens=10)[1][key]) == 1000 - 2 * used - prompt - 20


def test_default_output_is_reserved(open_lab: Any, open_wire: Any) -> None:
    """A request without an output cap reserves the default, which can be too much."""
    limits = [RateLimit("tokens", 1000, 60)]
    wire = open_wire(open_lab(lambda request: Reply("yes"), limits=limits))
    assert wire.chat()[0] == 429
    assert wire.chat(max_tokens=10)[0] == 200


def test_failed_requests_cost_no_tokens(open_lab: Any, open_wire: Any) -> None:
    """A provider's own failure gives the reservation back."""
    limits = [RateLimit("tokens", 1000, 1e9)]
    model = Script(Raw(status=503), Reply("yes"))
    wire = open_wire(open_lab(model, limits=limits, default_output=100))
    assert wire.post("/v1/chat/completions", {"messages": QUESTION}).read() == b""
    headers = wire.chat()[1]
    assert headers["x-ratelimit-remaining-tokens-1e+09s"] == str(1000 - 11 - 100)


def test_sdk_waits_as_long_as_it_is_told(open_lab: Any, open_client: Any) -> None:
    """With a faster clock an unwrapped client that is refused gets through in real time."""
    lab = open_lab(
        lambda request: Reply("yes"),
        limits=[RateLimit("requests", 1, 60)],
        time_scale=300,
    )
    client = open_client(lab)
    for _ in range(3):
        client.chat.completions.create(model="m", messages=QUESTION)
    assert lab.round_trips == 3
    assert lab.refusals >= 2


def test_agent_loop(open_lab: Any, open_client: Any) -> None:
    """A file job over the wire: read, edit, and done, the server finding nothing wrong."""
    files = {"a.py": "foo = 1\n", "b.py": "foo = 2\n"}

    def job(seen: dict[str, str], request: dict[str, Any]) -> list[Call]:
        return [
            Call("edit_file", {"path": p, "text": t.replace("foo", "bar")}) for p, t in seen.items()
        ]

    def tool(name: str, *parameters: str) -> Any:
        properties = {parameter: {"type": "string"} for parameter in parameters}
        return {
            "type": "function",
            "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
        }

    lab = open_lab(FileReader(job))
    client = open_client(lab)
    messages: Any = [{"role": "user", "content": "Rename foo to bar in a.py and b.py."}]
    tools = [tool("read_file", "path"), tool("edit_file", "path", "text")]
    while True:
        answer = client.chat.completions.create(model="m", messages=messages, tools=tools)
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            arguments = orjson.loads(call.function.arguments)
            if call.function.name == "edit_file":
                files[arguments["path"]] = arguments["text"]
            text = files[arguments["path"]]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    assert files == {"a.py": "bar = 1\n", "b.py": "bar = 2\n"}
    assert lab.round_trips == 5

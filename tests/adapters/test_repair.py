"""Repair over a real connection: healthy streams keep their bytes, broken ones reach the SDK."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap import Batching, BrokenAnswer, ContextLimitExceeded, Repair
from batchwrap.lab import Lab, Raw, Reply
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import TOOLS, USER, gather
from tests.adapters.events import DONE, EVENTS, call_event, event, raw
from tests.core.harness import chunk
from tests.core.repair.samples import EXCEPTIONS, Entry, chunks_of, differences, entries

HEALTHY = sorted((Path(__file__).parent / "data" / "healthy").glob("*.sse"))
MODELS = ("m", "qwen3-coder", "gpt-oss-120b")


# Byte by byte takes half a second of the processor for each; the core's own tests do that, too.
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.thorough), 11, 100_000])
@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_healthy_streams(threads: Web, serve: Any, path: Path, size: int) -> None:
    """A stream of the shape that a provider sends passes to the byte, with all repairs on."""
    body = path.read_bytes()
    lab = serve(lambda _: raw(body, size=size))
    for options in (Repair(), Repair.all()):
        client = batchwrap.wrap(threads.open(), repair=options)
        for model in MODELS:
            asked = {"model": model, "messages": [USER], "tools": TOOLS, "stream": True}
            assert threads.stream(client, lab, json=asked)[1] == body
        assert batchwrap.stats(client).repairs == {}
        assert batchwrap.stats(client).defects == {}


STREAMS = [
    entry
    for entry in entries("sse_lines", "sse_chunks_b64")
    if entry["id"] not in EXCEPTIONS and entry["sample"].get("requested_stream", True)
]


@pytest.mark.parametrize("entry", STREAMS, ids=lambda entry: entry["id"])
def test_defects_over_http(caller: Caller, serve: Any, entry: Entry) -> None:
    """What the SDK makes of each broken stream, in threads and tasks, is what its entry says."""
    close: Any = "abrupt" if entry["sample"].get("close") == "abrupt" else "clean"
    lab = serve(Raw(200, EVENTS, tuple(chunks_of(entry["sample"])), close))
    client = batchwrap.wrap(caller.open(lab, max_retries=0), repair=Repair.all())
    given = entry["request_context"]
    asked = {"model": given.get("model", "m"), "stream": True}
    asked["messages"] = given.get("messages") or [USER]
    asked |= {"tools": given["tools"]} if given.get("tools") else {}
    wanted = entry["expected_after_repair"]
    if wanted["kind"] == "error":
        with pytest.raises((openai.APIError, *DROPPED)):
            caller.ask(client, **asked)
        return
    assert differences(_as_message(caller.ask(client, **asked)), wanted) == []


# A connection that breaks off is the HTTP library's own error, as it is without batchwrap.
DROPPED: tuple[type[Exception], ...] = tuple(
    __import__(name).RemoteProtocolError for name in ("httpx", "httpx2")
)


def _as_message(chunks: list[Any]) -> dict[str, Any]:
    """The message that the SDK's chunks make."""
    gathered = gather(chunks)
    thoughts = "".join(
        getattr(choice.delta, name, None) or ""
        for one in chunks
        for choice in one.choices
        for name in ("reasoning_content", "reasoning")
    )
    usage = next((one.usage.to_dict() for one in reversed(chunks) if one.usage), None)
    calls = [
        {"id": call_id, "name": name, "arguments": json.dumps(arguments)}
        for call_id, (name, arguments) in zip(gathered["ids"], gathered["calls"], strict=True)
    ]
    fields = {"content": gathered["content"], "finish_reason": gathered["finish_reason"]}
    return {**fields, "tool_calls": calls, "reasoning": thoughts, "usage": usage}


CUT = event(chunk({"role": "assistant", "content": "The fix is"}))


def test_a_stream_that_ends_early(caller: Caller, serve: Any) -> None:
    """The SDK raises its own error after the text that had come, and says why."""
    client = batchwrap.wrap(caller.open(serve(raw(CUT)), max_retries=0))
    stream = caller.each(caller.start(client, stream=True))
    assert next(stream).choices[0].delta.content == "The fix is"
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "batchwrap_incomplete_stream"
    assert batchwrap.stats(client).defects == {"incomplete_stream": 1}


def test_nothing_runs_of_a_call_that_is_not_complete(caller: Caller, serve: Any) -> None:
    """Of a multi-call whose stream breaks off, no edit is handed out."""
    text = '{"calls": [{"tool": "edit_file", "arguments": {"path": "a", "old_string": "x", "new'
    client = batchwrap.wrap(caller.open(serve(raw(call_event(text, name="batch"))), max_retries=0))
    stream = caller.each(caller.start(client, stream=True, tools=TOOLS))
    with pytest.raises(openai.APIError):
        assert [one for one in stream if one.choices[0].delta.tool_calls] == []


FLAT = (
    b'{"message":"metadata: property \'metadata\' is unsupported","type":"invalid_request_error",'
)
FLAT += b'"param":"validation_error","code":"wrong_api_format"}'
CONTEXT = b'{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144'
CONTEXT += b' (requested: 265359)","type":"invalid_request_error"}}'


@pytest.mark.parametrize(
    ("body", "code"), [(FLAT, "wrong_api_format"), (CONTEXT, "context_length_exceeded")]
)
def test_error_bodies(caller: Caller, serve: Any, body: bytes, code: str) -> None:
    """An error of any shape reaches the SDK's user with its message and a code."""
    lab = serve(Raw(400, {"content-type": "application/json"}, (body,)))
    with pytest.raises(openai.BadRequestError) as caught:
        caller.ask(batchwrap.wrap(caller.open(lab)))
    assert caught.value.code == code
    assert "unsupported" in str(caught.value) or "limit" in str(caught.value)


def test_a_call_that_the_server_could_not_write(caller: Caller, serve: Any) -> None:
    """The SDK tries once more, as a resample usually works; once, not twice."""
    body = b'{"error":{"message":"Failed to call a function.","code":"tool_use_failed"}}'
    lab = serve(lambda _: Raw(400, {"content-type": "application/json"}, (body,)))
    with pytest.raises(openai.BadRequestError):
        caller.ask(batchwrap.wrap(caller.open(lab, max_retries=2), batching=None))
    assert len(lab.journal) == 2


EMPTY = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}


def test_an_empty_answer(caller: Caller, serve: Any) -> None:
    """It is an error once; if the same request is answered so again, that is the answer."""
    body = json.dumps({"id": "x", "choices": [EMPTY]}).encode()
    lab = serve(lambda _: Raw(200, {"content-type": "application/json"}, (body,)))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    with pytest.raises(openai.InternalServerError) as caught:
        caller.ask(client)
    assert caught.value.code == "batchwrap_empty_response"
    assert caller.ask(client).choices[0].message.content == ""


def test_the_form_that_was_asked_for(caller: Caller, serve: Any) -> None:
    """A whole answer where a stream was asked for becomes one, and the other way round."""
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    message = {"role": "assistant", "content": "hi"}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    answer = Raw(200, {"content-type": "application/json"}, (json.dumps(whole).encode(),))
    stream = raw(event(chunk({"content": "hi"})) + event(chunk({}, "stop")) + DONE)
    client = batchwrap.wrap(caller.open(serve(answer, stream)))
    assert gather(caller.ask(client, stream=True))["content"] == "hi"
    assert caller.ask(client).choices[0].message.content == "hi"


def test_a_page_in_place_of_an_answer(caller: Caller, serve: Any) -> None:
    """A page of a gateway with status 200 is an error of the server."""
    page = Raw(200, {"content-type": "text/html"}, (b"<html>Bad Gateway</html>",))
    client = batchwrap.wrap(caller.open(serve(page, page), max_retries=0))
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError):
            caller.ask(client, stream=stream)


LONG = {"role": "user", "content": "word " * 5_000}


def test_a_request_that_is_too_large(caller: Caller, serve: Any) -> None:
    """It is not sent, and fails as the provider's refusal would."""
    lab = serve(raw(DONE))
    client = batchwrap.wrap(caller.open(lab), batching=Batching(context_tokens=4_000))
    with pytest.raises(openai.BadRequestError) as caught:
        caller.ask(client, messages=[LONG])
    assert caught.value.code == "context_length_exceeded"
    assert lab.journal == []
    assert batchwrap.stats(client).defects == {"context_overflow": 1}


def test_a_request_that_is_noted_only() -> None:
    """With "note" it is sent all the same."""
    events: list[str] = []
    options = {"batching": Batching(context_tokens=4_000), "repair": Repair(preflight="note")}

    @batchwrap.batched(**options, on_event=lambda happened: events.append(happened.name))  # type: ignore[call-overload]
    def complete(**_: Any) -> Any:
        return {"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}

    assert complete(messages=[LONG])["choices"]
    assert events == ["defect", "ended"]


def test_the_decorator() -> None:
    """A decorated function raises our own errors; what the function raised stays its own."""
    broken = [chunk({"content": "x"}), {"error": {"message": "no", "code": 502}}]
    answers: list[Any] = [{"choices": [EMPTY]}, iter(broken), ZeroDivisionError()]

    @batchwrap.batched(batching=Batching(context_tokens=4_000))
    def complete(**_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ContextLimitExceeded) as large:
        complete(messages=[LONG])
    assert large.value.limit == 4_000 < large.value.requested
    with pytest.raises(BrokenAnswer) as empty:
        complete(messages=[USER])
    assert empty.value.kind == "empty_response"
    stream = complete(messages=[USER], stream=True)
    assert next(stream)["choices"]
    with pytest.raises(BrokenAnswer, match="no"):
        next(stream)
    with pytest.raises(ZeroDivisionError):
        complete(messages=[USER])


def test_the_request_is_mended(serve: Any) -> None:
    """What the provider sees is paired, and in its own form."""
    call = {"id": "call_x", "type": "function", "function": {"name": "f", "arguments": "{"}}
    messages: list[Any] = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, USER]
    said = Raw(200, {"content-type": "application/json"}, (b'{"choices": []}',))
    with (
        Lab(lambda _: said, tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k") as bare,
    ):
        client = batchwrap.wrap(bare, repair=Repair(provider="mistral"))
        client.chat.completions.create(model="m", messages=messages)
        sent = lab.journal[0].json["messages"]
        assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
        assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] != "call_x"
        assert sent[1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_an_event_that_is_broken(caller: Caller, serve: Any) -> None:
    """A part of the answer is lost: the SDK raises its own error, and nothing follows."""
    text = event(chunk({"content": "a"}))
    lab = serve(raw(text + text[:-9] + b"\n\n" + text + event(chunk({}, "stop")) + DONE))
    stream = caller.each(caller.start(batchwrap.wrap(caller.open(lab)), stream=True))
    assert next(stream).choices[0].delta.content == "a"
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "batchwrap_malformed_stream"


def test_half_a_surrogate(caller: Caller, serve: Any) -> None:
    """Characters that are cut in two by their escapes are not broken: JSON has them so."""
    halves = [
        event(chunk({"content": "HALF"})).replace(b"HALF", h) for h in (rb"\ud83c", rb"\udf89")
    ]
    lab = serve(raw(b"".join(halves) + event(chunk({}, "stop")) + DONE))
    chunks = caller.ask(batchwrap.wrap(caller.open(lab)), stream=True)
    text = "".join(one.choices[0].delta.content or "" for one in chunks)
    assert text.encode("utf-16", "surrogatepass").decode("utf-16") == "🎉"


def refused(generation: str, **more: Any) -> dict[str, Any]:
    """What Groq answers in place of a call that it does not hand out."""
    said = {"message": "Failed to call a function. See 'failed_generation'.", **more}
    fields = {"type": "invalid_request_error", "code": "tool_use_failed"}
    return {"error": {**said, **fields, "failed_generation": generation}}


READ = 'read_file{"path": "a.py", "offset": "3"}</function>'
REBUILD = Repair(leaked_calls="gated")


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_call_is_rebuilt(caller: Caller, serve: Any, stream: bool) -> None:
    """The call that a provider wrote and refused is the answer, in the form that was asked for."""
    body = json.dumps(refused(READ)).encode()
    lab = serve(Raw(400, {"content-type": "application/json"}, (body,)))
    client = batchwrap.wrap(caller.open(lab), repair=REBUILD)
    answer = caller.ask(client, tools=TOOLS, stream=stream)
    if stream:
        gathered = gather(answer)
        called, finish = gathered["calls"], gathered["finish_reason"]
    else:
        [choice] = answer.choices
        made, finish = choice.message.tool_calls[0].function, choice.finish_reason
        called = [(made.name, json.loads(made.arguments))]
    assert (called, finish) == ([("read_file", {"path": "a.py", "offset": 3})], "tool_calls")
    assert len(lab.journal) == 1
    assert batchwrap.stats(client).repairs == {"refused_calls": 1} | (
        {"whole_answers": 1} if stream else {}
    )


@pytest.mark.parametrize("text", ["", "Let me look."])
def test_a_call_that_is_refused_in_a_stream(caller: Caller, serve: Any, text: str) -> None:
    """An error event that holds a call becomes it, first or behind a text."""
    said = event(chunk({"content": text})) if text else b""
    lab = serve(raw(said + b"event: error\n" + event(refused(READ, status_code=400))))
    client = batchwrap.wrap(caller.open(lab, max_retries=0), repair=REBUILD)
    gathered = gather(caller.ask(client, tools=TOOLS, stream=True))
    assert gathered["content"] == text
    assert gathered["calls"] == [("read_file", {"path": "a.py", "offset": 3})]
    assert gathered["finish_reason"] == "tool_calls"


NOT_REBUILT = {
    "an unknown tool": 'delete_all{"path": "a.py"}',
    "cut off": '{"name": "read_file", "arguments": {"path": "a.p',
    "nothing that is required": '{"name": "read_file", "arguments": {}}',
    "a text": "Tool use failed: no JSON",
    "a call and a text": 'read_file{"path": "a.py"} and so on',
    "what the user said": 'read_file{"path": "echo.py"}',
}


@pytest.mark.parametrize("name", NOT_REBUILT)
def test_a_refused_call_that_stays_refused(caller: Caller, serve: Any, name: str) -> None:
    """What does not pass the gates is the provider's error, tried once more by the SDK."""
    body = json.dumps(refused(NOT_REBUILT[name])).encode()
    headers = {"content-type": "application/json", "retry-after-ms": "1"}
    lab = serve(lambda _: Raw(400, headers, (body,)))
    client = batchwrap.wrap(caller.open(lab, max_retries=2), repair=REBUILD, batching=None)
    told = {"role": "user", "content": 'Never call read_file{"path": "echo.py"}'}
    with pytest.raises(openai.BadRequestError, match="failed_generation"):
        caller.ask(client, tools=TOOLS, messages=[told])
    assert len(lab.journal) == 2


def test_half_a_leaked_call(caller: Caller, serve: Any) -> None:
    """A call in the text that the output's limit cuts off is an error, asked for once."""
    said = '<tool_call>\n{"name": "edit_file", "arguments": {"path": "a'
    message = {"role": "assistant", "content": said}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    body = json.dumps({"id": "x", "choices": [choice]}).encode()
    lab = serve(lambda _: Raw(200, {"content-type": "application/json"}, (body,)))
    bare = caller.open(lab, max_retries=2)
    client = batchwrap.wrap(bare, repair=Repair(leaked_calls="gated"))
    with pytest.raises(openai.InternalServerError) as caught:
        caller.ask(client, tools=TOOLS, model="qwen3")
    assert caught.value.code == "batchwrap_truncated_tool_call"
    assert len(lab.journal) == 1, "the same request would be cut off again"
    assert caller.ask(client, model="qwen3").choices[0].message.content == said, "no tools"
    quoting = [{"role": "user", "content": f"What is {said}.py?"}]
    asked = {"tools": TOOLS, "model": "qwen3", "messages": quoting}
    assert caller.ask(client, **asked).choices[0].message.content == said, "the user's own words"


@pytest.mark.thorough
def test_a_stream_that_stalls(caller: Caller, serve: Any) -> None:
    """The client's own read time-out ends it, with the error that it has without batchwrap."""
    lab = serve(lambda _: Reply("so much to say"), tokens_per_s=0.02)
    bare = caller.open(lab, max_retries=0, timeout=3.0)
    raised = []
    for client in (bare, batchwrap.wrap(bare)):
        stream = caller.each(caller.start(client, stream=True))
        assert next(stream).choices
        with pytest.raises(Exception, match=r"(?i)timed out|^$") as caught:
            list(stream)
        raised.append(caught.type)
    assert raised[0] is raised[1] and "Timeout" in raised[0].__name__

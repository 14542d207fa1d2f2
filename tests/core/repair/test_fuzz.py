"""No input makes repair hang or fail; no text is lost, no call made up."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head, ReadFirst, Respond, Stream
from batchwrap.core.repair.arguments import ArgumentStream, names_not_text, repair_arguments
from batchwrap.core.repair.diagnosis import decoded, read_refused, repaired_body
from batchwrap.options import Repair
from tests.core.repair.samples import exchange_for, message_of, opened, read_stream
from tests.strategies import EDIT_FILE, READ_FILE, cuts, examples, texts

MODELS = ["m", "qwen3", "glm-4.6", "kimi-k2", "deepseek-v3", "gpt-oss", "devstral", "llama-3"]
MODELS += ["minimax-m2"]
OPTIONS = st.sampled_from([Repair(), Repair.all(), Repair(leaked_calls="gated")])
PARAMETERS = READ_FILE["function"]["parameters"]

_scalars: Any = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts
odd: Any = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
fragments = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(-1, 3) | odd,
        "id": st.sampled_from(["", "a", "b"]) | odd,
        "type": st.just("function") | odd,
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["", "read_file", "functions.read_file", "read"]) | odd,
                "arguments": st.sampled_from(["", "{", '{"path"', ':"a"}', "}", ",", '"']) | odd,
            },
        )
        | odd,
    },
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant") | odd,
        "content": texts | odd,
        "reasoning_content": texts | odd,
        "reasoning": texts | odd,
        "tool_calls": st.lists(fragments | odd, max_size=3) | odd,
    },
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | odd,
        "delta": deltas | odd,
        "message": deltas | odd,
        "finish_reason": st.sampled_from([None, "stop", "tool_calls", "length", "error"]) | odd,
        "error": odd,
        "usage": odd,
    },
)
chunks = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("x") | odd,
        "choices": st.lists(choices | odd, max_size=2) | odd,
        "usage": odd,
        "error": odd,
        "message": odd,
        "object": odd,
    },
)


def exchange_of(model: str, options: Repair, *, stream: bool = True) -> Any:
    """An exchange with two tools, whose request has been sent."""
    context = {"model": model, "tools": [READ_FILE, EDIT_FILE]}
    return exchange_for({"request_context": context}, options, stream=stream)


def streamed(model: str, options: Repair, pieces: list[bytes]) -> bytes:
    """What is handed out for a stream."""
    exchange = exchange_of(model, options)
    assert isinstance(exchange.received(Head(200, {}, True), 0.0), ReadFirst)
    action = opened(exchange, pieces)
    if isinstance(action, Respond):
        assert action.status is not None and action.status >= 400
        return b"data: " + orjson.dumps(action.body) + b"\n\n"
    assert isinstance(action, Stream)
    pipe = EventPipe(exchange)
    return b"".join([*map(pipe.feed, pieces), pipe.finish()])


def events(listed: list[Any]) -> bytes:
    """A stream of these chunks, with an end mark."""
    made = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in listed]
    return b"".join([*made, b"data: [DONE]\n\n"])


def texts_of(pieces: list[str], finish: str = "stop") -> bytes:
    """A stream that says this, in these pieces."""
    said = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    return events([*said, end])


@examples(150)
@given(st.sampled_from(MODELS), OPTIONS, st.lists(chunks, max_size=6))
def test_odd_chunks(model: str, options: Repair, listed: list[Any]) -> None:
    """Chunks of any shape are handed out, repaired or not, or end in one error."""
    out = streamed(model, options, [events(listed)])
    for event in out.split(b"\n\n"):
        assert event in (b"", b"data: [DONE]") or isinstance(orjson.loads(event[6:]), dict)


@examples(100)
@given(st.sampled_from(MODELS), OPTIONS, st.binary(max_size=200), st.data())
def test_odd_bytes(model: str, options: Repair, noise: bytes, data: st.DataObject) -> None:
    """Bytes of any kind, anywhere in a stream and cut anywhere, do no harm."""
    whole = texts_of(["a", "b"])
    place = data.draw(st.integers(0, len(whole)))
    pieces = data.draw(cuts(whole[:place] + noise + whole[place:]))
    joined = streamed(model, options, [b"".join(pieces)])
    assert streamed(model, options, pieces) == joined


@examples(150)
@given(st.sampled_from(MODELS), OPTIONS, chunks | odd)
def test_odd_completions(model: str, options: Repair, body: Any) -> None:
    """A whole answer of any shape is handed out, or becomes one error."""
    exchange = exchange_of(model, options, stream=False)
    exchange.received(Head(200, {}, False), 0.0)
    respond = exchange.body(exchange.read(json.dumps(body).encode()))
    assert respond.status is None or respond.body is not None


@examples(150)
@given(st.integers(400, 599), st.binary(max_size=60) | odd.map(lambda v: json.dumps(v).encode()))
def test_odd_errors(status: int, content: bytes) -> None:
    """An error of any shape has a kind and a remedy, and its body stays one."""
    body = decoded(content)
    fault = read_refused(status, body, {})
    assert fault.kind and fault.retry
    mended = repaired_body(body, fault)
    assert mended is None or isinstance(mended["error"], dict)


_WORDS = """<tool_call> </tool_call> <function=read_file> </function> <parameter=path> </parameter>
<arg_key> </arg_key> <arg_value> </arg_value> <|tool_calls_section_begin|> <|tool_call_begin|>
functions.read_file:0 <|tool_call_argument_begin|> <|tool_call_end|> <|tool_calls_section_end|>
<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜> <｜tool▁calls▁end｜>
<｜DSML｜tool_calls> <｜DSML｜invoke </｜DSML｜invoke> <|channel|> commentary to=functions. json
<|message|> <|call|> [TOOL_CALLS] [ARGS] <|python_tag|> <minimax:tool_call> <invoke </invoke>
]<]minimax[>[ <think> </think> {"name":"read_file","arguments":{"path":"a"}} read_file path
analysis assistantfinal ``` ` > null {" } a.py"""
MARKUP = _WORDS.split()
markup = st.lists(st.sampled_from([*MARKUP, "\n", " ", "\n\n"]) | texts, max_size=14).map("".join)


@examples(400)
@given(st.sampled_from(MODELS), markup, st.sampled_from(["stop", "length"]), st.data())
def test_text_is_never_lost(model: str, text: str, finish: str, data: st.DataObject) -> None:
    """Text with pieces of markup comes out to the character, or as calls of declared tools."""
    assume(text)  # an empty answer is an error
    options = Repair(leaked_calls="gated")
    pieces = data.draw(cuts(text)) if text else []
    out, error = read_stream(streamed(model, options, [texts_of(pieces, finish)]))
    message = message_of(out)
    if error is not None:  # half a call
        assert error["error"]["type"] == "truncated_tool_call"
        assert finish == "length" or re.search(r"(parameter[ =]|arg_value>|minimax|[{])", text)
        assert message["tool_calls"] == []
    if not message["tool_calls"]:
        assert message["content"] + message["reasoning"] == text or "gpt-oss" in model
        return
    assert finish == "stop"
    assert text.startswith(message["content"])
    for call in message["tool_calls"]:
        assert call["name"] in ("read_file", "edit_file")
        assert all(str(value) in text for value in json.loads(call["arguments"]).values())


@examples(200)
@given(texts, st.data())
def test_healthy_arguments_keep_their_bytes(path: str, data: st.DataObject) -> None:
    """Arguments that are JSON and fit go out as they come, fragment by fragment."""
    spaced = data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps({"path": path, "offset": 3}, separators=spaced)
    stream, waited = ArgumentStream(names_not_text(PARAMETERS)), 0
    for piece in data.draw(cuts(text)):
        waited = 0 if stream.feed(piece) else waited + 1
        assert waited == 0 or stream.may_be_healthy
    rest, made = stream.finish(PARAMETERS, dangerous=True, bold=False)
    assert (rest, made.changed, made.refused) == ("", False, "")


@examples(300)
@given(st.text("\"'{}[]:,\\ntrueN1 /*#`\n", max_size=30), st.booleans())
def test_broken_arguments(text: str, dangerous: bool) -> None:
    """Arguments of any kind become a JSON object, or stay as they came, with a reason."""
    made = repair_arguments(text, PARAMETERS, dangerous=dangerous, bold=True)
    if made.refused:
        assert made.text == text
        assert not made.changed
    else:
        assert isinstance(orjson.loads(made.text), dict)


@examples(200)
@given(texts.filter(bool), st.integers(1, 200))
def test_what_is_cut_off_is_never_completed(content: str, cut: int) -> None:
    """Half a file is no file: arguments without their end are refused wherever they end."""
    whole = json.dumps({"path": "a.py", "content": content})
    half = whole[: -min(cut, len(whole) - 1)]
    made = repair_arguments(half, None, dangerous=True, bold=True)
    assert (made.refused, made.text) == ("truncated", half)

"""What OpenTelemetry gets to see, with its own SDK at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap import Batching, Scripts
from batchwrap.lab import Call, Lab, Raw, Reply
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import END, MULTI_CALL, TOOLS, USER, answered
from tests.telemetry import Telemetry

REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))
HELLO = Reply("hello")
BODY = {"model": "m", "messages": [USER]}
FIELDS = ("model", "n", "seed", "temperature", "max_tokens", "base_url", "stop")


def test_a_request(web: Web, serve: Any, telemetry: Telemetry) -> None:
    """One client span by the conventions, the child of the caller's, in threads and tasks."""
    lab = serve(HELLO)
    client = batchwrap.wrap(web.open())
    asked = {**BODY, "max_tokens": 9, "temperature": 0.5, "n": 1, "stop": ["never shown"]}
    with telemetry.tracer.start_as_current_span("caller") as caller:
        web.post(client, lab, json=asked)
    [span] = telemetry.spans
    assert (span.name, span.kind.name, span.status.status_code.name) == (
        "chat m",
        "CLIENT",
        "UNSET",
    )
    assert span.parent.span_id == caller.get_span_context().span_id
    assert span.start_time <= span.end_time
    [entry] = lab.journal
    said = dict(span.attributes)
    assert said.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert said.pop("server.port") == int(lab.url.rpartition(":")[2])
    assert said.pop("gen_ai.response.finish_reasons") == ("stop",)
    said.pop("batchwrap.waited_s", None)  # on a busy machine
    assert {name: value for name, value in said.items() if value != 0} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": entry.prompt_tokens,
        "gen_ai.usage.output_tokens": entry.completion_tokens,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "batchwrap.requests": 1,
        "batchwrap.round_trips": 1,
    }


@pytest.mark.parametrize("retries", [0, 2])
def test_a_stream(caller: Caller, serve: Any, telemetry: Telemetry, retries: int) -> None:
    """The span lasts until the stream is over, read to its end or closed before."""
    lab = serve(HELLO, Reply("hello " * 50))
    client = batchwrap.wrap(caller.open(lab, max_retries=retries))
    for early in (False, True):
        telemetry.begin()
        stream = caller.start(client, stream=True)
        chunks = caller.each(stream)
        next(chunks)
        assert telemetry.spans == []
        if early:
            caller.close(stream)
        else:
            list(chunks)
        [span] = telemetry.spans
        assert span.attributes["gen_ai.request.stream"] is True
        assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 60
        assert span.status.status_code.name == "UNSET"
    metrics = telemetry.metrics()
    assert len(metrics["gen_ai.client.operation.time_to_first_chunk"]) == 1


def test_retries(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """One span with all attempts; each refusal and wait is an event of it, at its time."""
    client = batchwrap.wrap(caller.open(serve(REFUSED, REFUSED, HELLO)))
    caller.ask(client)
    [span] = telemetry.spans
    assert span.attributes["batchwrap.round_trips"] == 3
    assert span.attributes["batchwrap.refusals"] == 2
    refused = [event for event in span.events if event.name == "batchwrap.refused"]
    waited = [event for event in span.events if event.name == "batchwrap.waited"]
    assert len(refused) == 2 <= len(waited)
    assert dict(refused[0].attributes) == {
        "kind": "bucket",
        "status": 429,
        "retry_after_s": 0.01,
    }
    times = [event.timestamp for event in span.events]
    assert times == sorted(times)
    assert span.start_time - 1e6 <= times[0] < times[-1] <= span.end_time


@pytest.mark.parametrize(
    ("said", "options", "failed_with"),
    [
        (Raw(401, {"content-type": "application/json"}, (b'{"error": "hush"}',)), {}, "401"),
        (Raw(429, {"retry-after": "9999"}, (b"{}",)), {}, "429"),
        (Raw(200, {"content-type": "text/html"}, (b"<html>hush</html>",)), {}, "server_error"),
        (
            HELLO,
            {"limits": [batchwrap.Limit("tokens", 1)]},
            "batchwrap.errors.RequestTooLarge",
        ),
    ],
)
def test_failures(
    caller: Caller, serve: Any, telemetry: Telemetry, said: Any, options: Any, failed_with: str
) -> None:
    """The span has the status of an error and says which one, in no words of anybody."""
    client = batchwrap.wrap(caller.open(serve(said), max_retries=0), **options)
    with pytest.raises(openai.APIError):
        caller.ask(client)
    [span] = telemetry.spans
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == failed_with
    assert "hush" not in span.to_json()
    [point] = telemetry.metrics()["gen_ai.client.operation.duration"]
    assert point[1]["error.type"] == failed_with


def test_a_connection_that_breaks(threads: Web, serve: Any, telemetry: Telemetry) -> None:
    """An error of the network is told by its name, before an answer and in the midst of it."""
    opening = b'data: {"choices": [{"index": 0, "delta": {"content": "h"}}]}\n\n'
    lab = serve(Raw(200, {"content-type": "text/event-stream"}, (opening,), close="abrupt"))
    client = batchwrap.wrap(threads.open(), repair=None)
    with pytest.raises(httpx.RemoteProtocolError):
        threads.post(client, lab, json={**BODY, "stream": True})
    with pytest.raises(httpx.ConnectError):
        client.post("http://127.0.0.1:1/v1/chat/completions", json=BODY)
    told = [span.attributes["error.type"] for span in telemetry.spans]
    assert told == ["httpx.RemoteProtocolError", "httpx.ConnectError"]


def test_local_answers(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """They have spans, and counters of ours; no model was asked, so none of the conventions."""
    lab = serve(MULTI_CALL, END)
    client = batchwrap.wrap(caller.open(lab), batching=batchwrap.Batching(delivery="serial"))
    first = caller.ask(client, tools=TOOLS).choices[0].message
    second = caller.ask(client, tools=TOOLS, messages=answered(first)).choices[0].message
    assert len(first.tool_calls) == len(second.tool_calls) == 1
    one, local = telemetry.spans
    assert one.attributes["batchwrap.items"] == 2
    assert local.attributes["batchwrap.local_answers"] == 1
    assert "http.response.status_code" not in local.attributes
    metrics = telemetry.metrics()
    [usage_in, usage_out] = metrics["gen_ai.client.token.usage"]
    assert [usage_in[0], usage_out[0]] == [
        lab.journal[0].prompt_tokens,
        lab.journal[0].completion_tokens,
    ]
    assert [point[1]["gen_ai.token.type"] for point in (usage_in, usage_out)] == ["input", "output"]
    sums = {name: sum(value for value, _ in points) for name, points in metrics.items()}
    assert sums["batchwrap.requests"] == 2
    assert sums["batchwrap.round_trips"] == sums["batchwrap.local_answers"] == 1
    stats = batchwrap.stats(client)
    assert sums["batchwrap.multi_calls"] == stats.multi_calls == 1


def test_a_script(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """A script has a span of its own when it is over, and each wave of its calls one inside."""
    code = 'for path in ("a.py", "b.py"):\n    await read_file(path=path)'
    lab = serve(Reply(calls=(Call("run_script", {"code": code}),)), Reply("done"))
    client = batchwrap.wrap(caller.open(lab), batching=Batching(scripts=Scripts()))
    messages: list[Any] = [USER]
    while True:
        answer = caller.ask(client, messages=messages, tools=TOOLS)
        said = answer.choices[0].message
        if not said.tool_calls:
            break
        results = [
            {"role": "tool", "tool_call_id": one.id, "content": "x = 1"} for one in said.tool_calls
        ]
        messages = [*messages, said.to_dict(), *results]
    spans = {span.context.span_id: span for span in telemetry.spans}
    [script] = [span for span in spans.values() if span.name == "execute_tool run_script"]
    assert dict(script.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "run_script",
        "batchwrap.script.ended": "over",
    }
    assert spans[script.parent.span_id].name == "chat m"
    waves = [span for span in spans.values() if span.name == "wave"]
    assert all(span.parent.span_id == script.context.span_id for span in waves)
    assert [span.attributes["batchwrap.script.calls"] for span in waves] == [1, 1]
    first, second = waves
    assert script.start_time == first.start_time <= first.end_time == second.start_time
    assert second.end_time == script.end_time
    told = batchwrap.stats(client)
    assert (told.scripts, told.script_calls, told.script_round_trips) == (1, 2, 1)


def test_attempts_are_children(serve: Any, telemetry: Telemetry) -> None:
    """What an instrumentation of the HTTP library makes for an attempt is inside of the span."""

    class Instrumented(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            with telemetry.tracer.start_as_current_span("POST"):
                return super().handle_request(request)

    lab = serve(REFUSED, HELLO)
    with httpx.Client(transport=Instrumented()) as bare:
        batchwrap.wrap(bare).post(f"{lab.base_url}/chat/completions", json=BODY)
    [ours] = telemetry.spans
    attempts = [span for span in telemetry.all_spans if span.name == "POST"]
    assert [span.parent.span_id for span in attempts] == [ours.context.span_id] * 2


@pytest.mark.parametrize(
    "mark", [("gen_ai.operation.name", "chat"), ("openinference.span.kind", "LLM")]
)
def test_a_guest(caller: Caller, serve: Any, telemetry: Telemetry, mark: tuple[str, str]) -> None:
    """Inside of the span of an SDK's instrumentation there is no second one: ours goes into it."""
    client = batchwrap.wrap(caller.open(serve(REFUSED, HELLO)))
    with telemetry.tracer.start_as_current_span("chat m", attributes=dict([mark])):
        caller.ask(client)
    [span] = telemetry.all_spans
    assert span.instrumentation_scope.name == "the caller"
    assert span.attributes["batchwrap.retries"] == 1
    assert "gen_ai.request.model" not in span.attributes
    assert "batchwrap.refused" in [event.name for event in span.events]
    assert not any(name.startswith("gen_ai") for name in telemetry.metrics())


def test_an_agents_span_is_no_chat(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """Below the span of an agent, ours is a span of its own."""
    client = batchwrap.wrap(caller.open(serve(HELLO)))
    around = {"gen_ai.operation.name": "invoke_agent"}
    with telemetry.tracer.start_as_current_span("invoke_agent", attributes=around):
        caller.ask(client)
    assert [span.name for span in telemetry.all_spans] == ["chat m", "invoke_agent"]


def test_suppressed(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """Nothing is shown where instrumentation is suppressed."""
    from opentelemetry import context

    client = batchwrap.wrap(caller.open(serve(HELLO)))
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        caller.ask(client)
    finally:
        context.detach(token)
    assert telemetry.spans == []
    assert telemetry.metrics() == {}


def test_a_processor_that_fails(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """A mistake in the user's telemetry costs no answer."""
    client = batchwrap.wrap(caller.open(serve(HELLO)))
    telemetry.is_broken = True
    assert caller.ask(client).choices[0].message.content == "hello"
    assert len(telemetry.spans) == 1


def test_no_contents(caller: Caller, serve: Any, telemetry: Telemetry) -> None:
    """No prompt, argument, result, key or tool's description is in a span or a metric."""
    lab = serve(MULTI_CALL, END)
    client = batchwrap.wrap(caller.open(lab, api_key="sk-hush"))
    ask = {"tools": TOOLS, "user": "hush", "stop": "hush"}
    message = caller.ask(client, **ask).choices[0].message
    history = [{"role": "system", "content": "hush"}, *answered(message)]
    caller.ask(client, messages=history, **ask)
    shown = "".join(span.to_json() for span in telemetry.spans) + repr(telemetry.metrics())
    for content in ("hush", "a.py", "Read", "text of"):
        assert content not in shown
    assert len(telemetry.spans) == 2


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({"a": [1]})


@given(asked=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ODD)), said=ODD)
def test_odd_shapes(the_telemetry: Telemetry, asked: dict[str, Any], said: Any) -> None:
    """Whatever fields hold, in the request and the answer, there is a span and no error."""
    the_telemetry.begin()
    answer = {"id": said, "model": said, "usage": said, "choices": [{"finish_reason": said}]}

    @batchwrap.batched(repair=None)
    def complete(**kwargs: Any) -> Any:
        return answer

    assert complete(messages=[USER], **asked) is answer
    [span] = the_telemetry.spans
    assert span.name.startswith("chat")


PROBE = """
import math, sys
{before}
import batchwrap, httpx
from batchwrap.lab import Lab, Reply
with Lab(lambda _: Reply("hello"), tokens_per_s=math.inf, ttft_s=0) as lab:
    with httpx.Client() as bare:
        body = {{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]}}
        url = lab.base_url + "/chat/completions"
        assert batchwrap.wrap(bare).post(url, json=body).status_code == 200
{after}
"""
SET_UP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
"""


def probe(before: str, after: str, **env: str) -> str:
    """What a process of its own prints that makes one request."""
    code = PROBE.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_not_loaded() -> None:
    """A process that has not loaded OpenTelemetry does not load it through us."""
    after = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    assert json.loads(probe("", after)) == []


@pytest.mark.thorough
def test_switched_off(telemetry: Telemetry) -> None:
    """It is switched off as instrumentations are, and on without it."""
    after = "print(len(spans.get_finished_spans()))"
    assert probe(SET_UP, after) == "1"
    off = "asgi,batchwrap"
    assert probe(SET_UP, after, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=off) == "0"


@pytest.mark.thorough
def test_no_provider() -> None:
    """With the API alone nothing is shown, and nothing breaks."""
    pytest.importorskip("opentelemetry")
    assert probe("import opentelemetry.trace", "print('ok')") == "ok"


def test_a_lab_in_a_decorated_function(serve: Any, telemetry: Telemetry) -> None:
    """A decorated function has its span, too; where it goes is known from its arguments."""
    lab: Lab = serve(HELLO)

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        with openai.OpenAI(base_url=kwargs.pop("base_url"), api_key="k") as client:
            return client.chat.completions.create(**kwargs)

    complete(model="m", messages=[USER], base_url=lab.base_url)
    [span] = telemetry.spans
    assert span.attributes["server.address"] == "127.0.0.1"
    assert span.attributes["gen_ai.usage.output_tokens"] == lab.journal[0].completion_tokens

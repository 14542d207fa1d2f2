"""Nothing that batchwrap adds may fail a request that would have succeeded without it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Lab, Raw, Reply
from batchwrap.testing import ManualClock
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER, answered, gather

END = Reply("Fine.")


def strict(request: dict[str, Any]) -> Reply | Raw:
    """A provider that knows the agent's own tools only."""
    names = [tool["function"]["name"] for tool in request.get("tools", ())]
    if "multi_read" not in names:
        return END
    body = json.dumps({"error": {"message": "unknown tool multi_read", "type": "invalid"}})
    return Raw(400, {"content-type": "application/json"}, (body.encode(),))


@pytest.mark.parametrize("stream", [False, True])
def test_once_as_the_agent_wrote_it(stream: bool) -> None:
    """A rewritten request that is refused is sent plain; what then works is remembered."""
    with (
        Lab(strict, tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as bare,
    ):
        client = batchwrap.wrap(bare)
        for model in ("m", "m", "other"):
            answer: Any = client.chat.completions.create(
                model=model,
                messages=[USER],  # type: ignore[list-item]
                tools=TOOLS,  # type: ignore[arg-type]
                stream=stream,
            )
            parts = (chunk.choices[0].delta.content or "" for chunk in answer) if stream else ()
            assert "".join(parts) or answer.choices[0].message.content == "Fine."
        assert [(entry.json["model"], entry.status) for entry in lab.journal] == [
            *(("m", 400), ("m", 200)),
            ("m", 200),
            *(("other", 400), ("other", 200)),
        ]
        assert batchwrap.stats(client).failed_open == 2


def test_the_agents_own_mistake() -> None:
    """A request that is refused either way reaches the caller with the provider's own words."""
    body = b'{"error": {"message": "no such model", "type": "invalid"}}'
    refused = Raw(400, {"content-type": "application/json"}, (body,))
    with (
        Lab(lambda _: refused, tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as bare,
    ):
        client = batchwrap.wrap(bare)
        for _ in range(2):
            with pytest.raises(openai.BadRequestError, match="no such model"):
                client.chat.completions.create(model="m", messages=[USER], tools=TOOLS)  # type: ignore[arg-type, list-item]
        sent = [len(entry.json["tools"]) for entry in lab.journal]
        assert sent == [5, 2, 5, 2], "our part was not the reason, so it stays on"


def test_a_model_that_is_switched_off_is_folded(
    caller: Caller, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an offer the model still sees its own batches, and one warning says so."""
    lab = serve(MULTI_CALL, Raw(400), END, END, END)
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    messages = answered(caller.ask(client, tools=TOOLS).choices[0].message)
    for _ in range(3):
        assert caller.ask(client, tools=TOOLS, messages=messages).choices[0].message.content
    seen = [entry.json for entry in lab.journal][1:]
    assert [len(request["tools"]) for request in seen] == [5, 2, 2, 2]
    ids = [[call["id"] for call in request["messages"][1]["tool_calls"]] for request in seen]
    assert [len(listed) for listed in ids] == [1, 2, 1, 1]
    stats = batchwrap.stats(client)
    assert (stats.failed_open, stats.switched_off, stats.internal_errors) == (1, 2, 0)
    warnings = [record for record in caplog.records if "are inactive" in record.getMessage()]
    assert len(warnings) == 1


def test_a_provider_that_refuses_batches_in_the_history(caller: Caller, serve: Any) -> None:
    """Step by step everything is off that it does not take."""
    lab = serve(MULTI_CALL, Raw(400), END, Raw(422), END, END)
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    messages = answered(caller.ask(client, tools=TOOLS).choices[0].message)
    for _ in range(3):
        assert caller.ask(client, tools=TOOLS, messages=messages).choices[0].message.content
    calls = [len(entry.json["messages"][1]["tool_calls"]) for entry in lab.journal[1:]]
    assert calls == [1, 2, 1, 2, 2]
    assert batchwrap.stats(client).failed_open == 2


def test_only_the_usage_is_refused(caller: Caller, serve: Any) -> None:
    """Where nothing but the usage of a stream was asked for, that ends, and nothing else."""
    lab = serve(Raw(400), END, END, MULTI_CALL)
    limits = batchwrap.Throttle(limits="cerebras/code-max")
    client = batchwrap.wrap(caller.open(lab, max_retries=0), throttle=limits)
    for tools in (None, None, TOOLS):
        given = {} if tools is None else {"tools": tools}
        assert caller.ask(client, stream=True, **given)
    asked = ["stream_options" in entry.json for entry in lab.journal]
    assert asked == [True, False, False, False]
    assert len(lab.journal[3].json["tools"]) == 5


TEMPLATE = {"code": 500, "message": "Value is not callable: null at row 59", "type": "server_error"}


def failing(status: int, error: Any, **headers: str) -> Raw:
    """A server error: JSON, or a text."""
    is_json = not isinstance(error, str)
    body = json.dumps({"error": error}) if is_json else error
    kind = "application/json" if is_json else "text/plain"
    return Raw(status, {"content-type": kind, **headers}, (body.encode(),))


def refuses(answer: Raw) -> Callable[[dict[str, Any]], Reply | Raw]:
    """A server whose chat template knows the agent's own tools only, and how it says so."""
    return lambda request: END if strict(request) is END else answer


def ask_each(caller: Caller, client: Any, times: int, **given: Any) -> list[str]:
    """The texts of as many answers; the status of those that failed."""
    said = []
    for _ in range(times):
        try:
            answer = caller.ask(client, tools=TOOLS, **given)
        except openai.APIStatusError as error:
            said.append(str(error.status_code))
            continue
        is_stream = given.get("stream")
        said.append(gather(answer)["content"] if is_stream else answer.choices[0].message.content)
    return said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer",
    [failing(500, TEMPLATE), failing(503, TEMPLATE), failing(500, "Internal Server Error")],
    ids=["llama.cpp", "a gateway in front", "vLLM"],
)
def test_a_template_that_refuses(caller: Caller, serve: Any, answer: Raw, stream: bool) -> None:
    """A server error at once, which the plain request does not meet: after three it is certain."""
    lab = serve(refuses(answer))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert ask_each(caller, client, 5, stream=stream) == ["Fine."] * 5
    failed = answer.status
    assert [one.status for one in lab.journal] == [*[failed, 200] * 3, 200, 200]
    stats = batchwrap.stats(client)
    assert (stats.failed_open, stats.switched_off, stats.refusals) == (3, 2, 0)


@pytest.mark.parametrize(
    "answer",
    [
        failing(500, TEMPLATE, **{"retry-after": "1"}),
        failing(503, TEMPLATE, **{"retry-after-ms": "20"}),
        failing(503, {"message": "The server is overloaded.", "type": "server_error"}),
        failing(500, {"message": "Our servers are at capacity, try again later."}),
        failing(503, {"message": "Loading model", "type": "unavailable_error", "code": 503}),
        failing(503, "<html><h1>503 Service Temporarily Unavailable</h1></html>"),
        failing(503, "no healthy upstream"),
        failing(502, TEMPLATE),
    ],
)
def test_a_server_under_strain(caller: Caller, serve: Any, answer: Raw) -> None:
    """A server that has too much to do gets each request once, and no rewrite is blamed."""
    lab = serve(lambda request: answer)
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert ask_each(caller, client, 4) == [str(answer.status)] * 4
    assert [len(entry.json["tools"]) for entry in lab.journal] == [5] * 4
    assert batchwrap.stats(client).failed_open == 0


def test_a_server_that_fails_either_way(caller: Caller, serve: Any) -> None:
    """The plain request is tried once, and then not again while the server is in trouble."""
    lab = serve(lambda request: failing(500, TEMPLATE))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert ask_each(caller, client, 4) == ["500"] * 4
    assert [len(entry.json["tools"]) for entry in lab.journal] == [5, 2, 5, 5, 5]


def test_errors_by_chance(caller: Caller, serve: Any) -> None:
    """Single errors, after which the plain request is accepted, switch nothing off."""
    lab = serve(*[failing(500, TEMPLATE), END, END] * 6)
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert ask_each(caller, client, 12) == ["Fine."] * 12
    assert [len(entry.json["tools"]) for entry in lab.journal] == [5, 2, 5] * 6
    assert batchwrap.stats(client).switched_off == 0


def test_a_refusal_after_a_server_error(caller: Caller, serve: Any) -> None:
    """What follows is handled as ever: a wait, with the plain request, that tells nothing."""
    limited = failing(429, {"message": "Slow down."}, **{"retry-after": "1"})
    lab = serve(*[failing(500, TEMPLATE), limited, END], *[END] * 3)
    client = batchwrap.wrap(caller.open(lab), throttle=batchwrap.Throttle(clock=ManualClock()))
    assert ask_each(caller, client, 3) == ["Fine."] * 3
    assert [len(entry.json["tools"]) for entry in lab.journal] == [5, 2, 2, 5, 5]
    stats = batchwrap.stats(client)
    assert (stats.failed_open, stats.switched_off, stats.refusals) == (1, 0, 1)


def test_an_error_of_the_plain_request(caller: Caller, serve: Any) -> None:
    """The agent's own mistake reaches it in the provider's words, whatever came before."""
    lab = serve(failing(500, TEMPLATE), failing(400, {"message": "no such model"}))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    with pytest.raises(openai.BadRequestError, match="no such model"):
        caller.ask(client, tools=TOOLS)
    assert len(lab.journal) == 2


def test_the_folded_history_is_refused(caller: Caller, serve: Any) -> None:
    """Without the offer, the folded history is what is tried next."""

    def template(request: dict[str, Any]) -> Reply | Raw:
        calls = [call for message in request["messages"] for call in message.get("tool_calls", ())]
        is_folded = any(call["function"]["name"].startswith("multi_") for call in calls)
        return failing(500, TEMPLATE) if is_folded else END

    answers = iter([MULTI_CALL])
    lab = serve(lambda request: next(answers, None) or template(request))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    messages = answered(caller.ask(client, tools=TOOLS).choices[0].message)
    assert ask_each(caller, client, 7, messages=messages) == ["Fine."] * 7
    calls = [len(entry.json["messages"][1]["tool_calls"]) for entry in lab.journal[1:]]
    assert calls == [*[1, 2] * 6, 2]

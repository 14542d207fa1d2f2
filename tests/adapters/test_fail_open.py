"""Nothing that batchwrap adds may fail a request that would have succeeded without it."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Lab, Raw, Reply
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER, answered

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

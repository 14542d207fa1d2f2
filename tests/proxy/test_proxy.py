"""An agent with a bare OpenAI client, and the hook in the proxy before its provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, Raw, Reply
from tests.adapters.conversation import (
    END,
    MULTI_CALL,
    READS,
    TOOLS,
    USER,
    answered,
    calls_of,
    folded,
    gather,
)

# litellm warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))
EDITS = [{"path": "a.py", "old_string": str(n), "new_string": str(n + 1)} for n in range(2)]
EDIT_TWICE = Reply(calls=(Call("multi_edit", {"files": EDITS}),))
Ask = Callable[..., openai.OpenAI]


def history_of(ids: list[str], calls: list[Any]) -> list[dict[str, Any]]:
    """The history after an agent ran the calls that it gathered from a stream."""
    made = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
        for call_id, (name, text) in zip(ids, _dumped(calls), strict=True)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "text of it"} for call in made
    ]
    return [USER, {"role": "assistant", "content": "Let me read.", "tool_calls": made}, *results]


def _dumped(calls: list[Any]) -> list[tuple[str, str]]:
    return [(name, json.dumps(arguments)) for name, arguments in calls]


def test_plain(ask: Ask, lab: Lab) -> None:
    """The multi-call is expanded for the agent, and folded for the provider."""
    create: Any = ask(MULTI_CALL, END).chat.completions.create
    first = create(model="coder", messages=[USER], tools=TOOLS)
    message = first.choices[0].message
    assert calls_of(message) == READS
    offered = [tool["function"]["name"] for tool in lab.journal[-1].json["tools"]]
    assert offered == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    done = create(model="coder", messages=answered(message), tools=TOOLS)
    assert done.choices[0].message.content == "Both read."
    assert folded(lab.journal[-1].json["messages"])


def test_streamed(ask: Ask, lab: Lab) -> None:
    """The same in streams."""
    create: Any = ask(MULTI_CALL, END).chat.completions.create
    message = gather(list(create(model="coder", messages=[USER], tools=TOOLS, stream=True)))
    assert (message["content"], message["calls"]) == ("Let me read.", READS)
    assert message["finish_reason"] == "tool_calls"
    history = history_of(message["ids"], message["calls"])
    done = gather(list(create(model="coder", messages=history, tools=TOOLS, stream=True)))
    assert done["content"] == "Both read."
    _, assistant, result = lab.journal[-1].json["messages"]
    assert [call["function"]["name"] for call in assistant["tool_calls"]] == ["multi_read"]
    assert result["content"].startswith("[1/2] read_file a.py\ntext of it")


@pytest.mark.parametrize("stream", [False, True])
def test_waves(ask: Ask, lab: Lab, stream: bool) -> None:
    """The second edit of a file comes out of the proxy; the provider is not asked."""
    create: Any = ask(EDIT_TWICE).chat.completions.create
    before = lab.round_trips
    first = create(model="coder", messages=[USER], tools=TOOLS)
    [call] = first.choices[0].message.tool_calls
    history = history_of([call.id], [("edit_file", EDITS[0])])
    if stream:  # no stream came yet whose types a local one could have
        ask(END)
        list(create(model="coder", messages=[USER], stream=True))
        before += 1
    second = create(model="coder", messages=history, tools=TOOLS, stream=stream)
    got = gather(list(second))["calls"] if stream else calls_of(second.choices[0].message)
    assert got == [("edit_file", EDITS[1])]
    assert lab.round_trips == before + 1


def test_a_local_answer_says_so(ask: Ask) -> None:
    """By a header of the proxy's response."""
    client = ask(EDIT_TWICE)
    create: Any = client.chat.completions.create
    [call] = create(model="coder", messages=[USER], tools=TOOLS).choices[0].message.tool_calls
    history: Any = history_of([call.id], [("edit_file", EDITS[0])])
    tools: Any = TOOLS
    raw = client.chat.completions.with_raw_response.create(
        model="coder", messages=history, tools=tools
    )
    assert raw.headers["x-batchwrap-served"] == "local"


def test_refusals_are_waited_for(ask: Ask, lab: Lab) -> None:
    """More refusals than the proxy's router retries do not reach the agent."""
    create: Any = ask(*[REFUSED] * 4, END).chat.completions.create
    before = lab.refusals
    done = create(model="coder", messages=[USER], tools=TOOLS)
    assert done.choices[0].message.content == "Both read."
    assert lab.refusals - before == 4


def test_errors_stay_the_proxys(ask: Ask) -> None:
    """An error that is no refusal reaches the agent as without the hook."""
    bad = Raw(400, {"content-type": "application/json"}, (b'{"error": {"message": "odd"}}',))
    create: Any = ask(bad, bad, bad, bad).chat.completions.create
    with pytest.raises(openai.BadRequestError, match="odd"):
        create(model="coder", messages=[USER], tools=TOOLS)


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrapped_client(ask: Ask, lab: Lab, stream: bool) -> None:
    """What a client in front has translated goes through the proxy as it is."""
    create: Any = batchwrap.wrap(ask(MULTI_CALL, END)).chat.completions.create
    asked: Any = {"model": "coder", "tools": TOOLS, "stream": stream}
    first = create(messages=[USER], **asked)
    offered = [tool["function"]["name"] for tool in lab.journal[-1].json["tools"]]
    assert offered == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    if stream:
        got = gather(list(first))
        assert got["calls"] == READS
        history = history_of(got["ids"], got["calls"])
    else:
        assert calls_of(first.choices[0].message) == READS
        history = answered(first.choices[0].message)
    last = create(messages=history, **asked)
    assert not stream or gather(list(last))["content"] == "Both read."
    _, assistant, *_ = lab.journal[-1].json["messages"]
    assert [call["function"]["name"] for call in assistant["tool_calls"]] == ["multi_read"]

"""The provider's view as a text that is the same in each run."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap.errors import ConfigError
from batchwrap.testing import Call, Lab, Recorder, Reply, Script
from batchwrap.testing.recorder import UPDATE
from tests.adapters.callers import Caller
from tests.adapters.conftest import caller, closing, threads
from tests.strategies import READ_FILE

__all__ = ["caller", "closing", "threads"]

SEVERAL = Call("multi_read", {"files": [{"path": "a.py"}, {"path": "b.py"}]})
VIEW = Path(__file__).with_name("two_reads.txt")


def answers() -> Script:
    return Script(Reply(calls=(SEVERAL,)), Reply("Done."))


def job(caller: Caller, client: Any) -> None:
    """An agent that runs calls until there are none."""
    messages: list[Any] = [{"role": "user", "content": "Read a.py and b.py.\nThen stop."}]
    while True:
        answer = caller.run(
            client.chat.completions.create, model="m", messages=messages, tools=[READ_FILE]
        )
        message = answer.choices[0].message
        if not message.tool_calls:
            return
        # By hand, since the order of the fields differs between versions of the SDK.
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "a text"}
            for call in message.tool_calls
        ]


@pytest.mark.parametrize("attached", ["before", "after"])
def test_a_wrapped_client(caller: Caller, attached: str) -> None:
    """The provider's view is the same text in every run, sync and async, whatever is first."""
    replaced: dict[str, str] = {}
    recorder = Recorder(replace=replaced)
    with Lab(answers()) as lab:
        bare = caller.open(lab)
        if attached == "before":
            recorder.attach(bare)
        client = batchwrap.wrap(bare, reminders=None)
        if attached == "after":
            recorder.attach(client)
        job(caller, client)
        assert lab.round_trips == 2
        offered = lab.journal[0].json["tools"][1]["function"]
    # What the model is told is measured and reworded elsewhere.
    replaced[offered["description"]] = "<description>"
    recorder.check(VIEW)


def test_a_decorated_function(caller: Caller) -> None:
    """Beneath `batched`, what the function is called with; keys are left out."""
    if caller.is_async:
        return
    recorder = Recorder()
    with Lab(answers()) as lab, openai.OpenAI(base_url=lab.base_url, api_key="any") as bare:

        @batchwrap.batched
        @recorder.records
        def complete(**kwargs: Any) -> Any:
            return bare.chat.completions.create(**{k: kwargs[k] for k in ("model", "messages")})

        complete(model="m", messages=[{"role": "user", "content": "Hi."}], api_key="sk-secret")
    assert recorder.text == (
        "request 1: complete\nmodel: m\nmessages:\n- role: user\n  content: Hi.\n"
    )


@pytest.mark.anyio
async def test_an_async_function() -> None:
    """It stays async, also beneath `batched`."""
    recorder = Recorder()

    @batchwrap.batched
    @recorder.records
    async def complete(**kwargs: Any) -> dict[str, Any]:
        return {"choices": []}

    assert await complete(model="m", messages=[]) == {"choices": []}
    assert recorder.text == "request 1: complete\nmodel: m\nmessages: []\n"


def test_responses_and_messages(caller: Caller) -> None:
    """The other APIs' requests are recorded as they are."""
    recorder = Recorder()
    tool = {"name": "read_file", "description": "Reads a text file."}
    schema = READ_FILE["function"]["parameters"]
    said: Any = [{"role": "user", "content": "Hi."}]
    with Lab(Script(Reply("Hello."), Reply("Hello."))) as lab:
        client = recorder.attach(batchwrap.wrap(caller.open(lab)))
        ours: Any = [{"type": "function", **tool, "parameters": schema}]
        caller.run(client.responses.create, model="m", input=said, tools=ours, store=False)
        theirs = {"model": "m", "max_tokens": 9, "messages": said}
        body = {**theirs, "tools": [{**tool, "input_schema": schema}]}
        caller.run(client.post, "/messages", body=body, cast_to=object)
    first, second = recorder.text.split("\n\n")
    assert first.startswith("request 1: /v1/responses\n")
    assert second.startswith("request 2: /v1/messages\n")
    assert all(" name: multi_read\n" in view for view in (first, second))


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_http_clients(library: Any) -> None:
    """Clients of both libraries; only JSON that is posted is recorded, without headers."""
    recorder = Recorder()
    transport = library.MockTransport(lambda request: library.Response(200, json={}))
    with recorder.attach(library.Client(transport=transport)) as client:
        key = {"authorization": "Bearer sk-secret"}
        client.post("http://x.test/v1/messages?beta=true", json={"max_tokens": 5}, headers=key)
        client.post("http://x.test/upload", content=b"\x00")
        client.get("http://x.test/v1/models")
    assert recorder.text == "request 1: /v1/messages\nmax_tokens: 5\n"
    with pytest.raises(ConfigError, match="cannot record a int"):
        recorder.attach(5)


def test_attached_twice() -> None:
    """Clients that share a transport may all be attached: each request is recorded once."""
    recorder, other = Recorder(), Recorder()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
    with recorder.attach(httpx.Client(transport=transport)) as client:
        recorder.attach(batchwrap.wrap(client))
        other.attach(client)
        recorder.attach(client)
        client.post("http://x.test/v1/messages", json={"max_tokens": 5})
    assert recorder.text == other.text == "request 1: /v1/messages\nmax_tokens: 5\n"


def test_what_differs_between_runs(tmp_path: Path) -> None:
    """Ids are numbered wherever they stand; times, dates and given texts are named."""

    def view() -> str:
        call, made = f"call_{uuid.uuid4().hex}", uuid.uuid4()
        recorder = Recorder(replace={str(tmp_path): "<folder>"})
        said = f"Today is 2026-11-29, {made}, at 2026-11-29T10:00:00Z in {tmp_path}/a: {call}."
        recorder.add({"model": "gpt-5-2025-08-07", "input": [{"call_id": call, "output": said}]})
        return recorder.text

    assert view() == view()
    assert view() == (
        "request 1: request\nmodel: gpt-5-2025-08-07\ninput:\n- call_id: <id 1>\n"
        "  output: Today is <date>, <id 2>, at <time> in <folder>/a: <id 1>.\n"
    )


def test_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing or differs fails the test, which says how to write it."""
    file = tmp_path / "new" / "view.txt"
    recorder = Recorder()
    recorder.add({"model": "m"})
    monkeypatch.delenv(UPDATE, raising=False)
    with pytest.raises(AssertionError, match=f"set {UPDATE}=1 to write it"):
        recorder.check(file)
    monkeypatch.setenv(UPDATE, "1")
    recorder.check(file)
    recorder.check(file, update=False)
    recorder.add({"model": "n"})
    with pytest.raises(AssertionError, match=r"(?s)has changed.*\n\+model: n"):
        recorder.check(file, update=False)
    assert file.read_text() == "request 1: request\nmodel: m\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), JSON), max_size=4))
def test_any_request(bodies: list[dict[str, Any]]) -> None:
    """Whatever is sent has a text, and later changes of it do not show."""
    recorder = Recorder()
    for body in bodies:
        recorder.add(json.loads(json.dumps(body)))
    text = recorder.text
    assert text.count("request ") >= len(bodies)
    for body in bodies:
        body.clear()
    assert recorder.text == text

"""Clients that share a memory: each request of an agent in another one, as in another process."""

from __future__ import annotations

import math
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, Reply, Script
from batchwrap.lab.api_forms import as_chat
from batchwrap.memory_stores.sealing import sealing_of
from batchwrap.options import Batching, Reminders, Throttle
from batchwrap.tools import Workspace
from tests.adapters.agent import BATCH, END, checked, message_of, work
from tests.adapters.agent import workspace as workspace  # a fixture
from tests.adapters.api_agents import TASK, ApiAgent, MessagesAgent, ResponsesAgent
from tests.adapters.batching_models import edit, edits_of, files, long_job, meant, scripted

STREAMS = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The options of all clients."""
    batching = Batching(memory=f"sqlite:///{tmp_path}/shared.db")
    return {"batching": batching, "reminders": Reminders(every=2)}


def run(agent: ApiAgent) -> None:
    """Each request with a client that remembers nothing itself."""
    while agent.step():
        agent.forget()


@STREAMS
@pytest.mark.parametrize("thinks", [False, True])
def test_messages(
    serve: Any, opened: Any, options: dict[str, Any], stream: bool, thinks: bool
) -> None:
    """A long job with waves, with thinking and without: the prompt prefix stays as it was."""
    job = long_job()
    if thinks:
        job = [Reply(one.text, calls=one.calls, reasoning="Thought.") for one in job]
    lab = serve(scripted(*job))
    agent = opened(lab, MessagesAgent, stream=stream, **options)
    agent.fields = {"thinking": {"type": "adaptive"}} if thinks else {}
    run(agent)
    finished(agent, lab)


@STREAMS
def test_responses(serve: Any, opened: Any, options: dict[str, Any], stream: bool) -> None:
    """The same for Responses."""
    lab = serve(scripted(*long_job()))
    agent = opened(lab, ResponsesAgent, stream=stream, **options)
    run(agent)
    finished(agent, lab)


def finished(agent: ApiAgent, lab: Lab) -> None:
    """All calls were run, and the provider was asked once a turn, with what only grows."""
    wanted = meant(long_job())
    assert sorted(map(str, agent.ran)) == sorted(map(str, wanted))
    assert edits_of(agent.ran, "a.py") == edits_of(wanted, "a.py")
    assert [request.status for request in lab.journal] == [200] * (len(long_job()) + 1)
    sent = [as_chat(request.json)["messages"] for request in lab.journal]
    assert all(after[: len(before)] == before for before, after in pairwise(sent))


@STREAMS
def test_the_offer_of_a_beginning_without_calls(
    serve: Any, opened: Any, options: dict[str, Any], stream: bool
) -> None:
    """What was offered is known to all, so signed thinking is refused nowhere."""
    calls = (Call("read_file", {"path": "a.py"}),)
    job = [Reply("Hello.", reasoning="Thought."), Reply(calls=calls, reasoning="Thought.")]
    lab = serve(scripted(*job))
    agent = opened(lab, MessagesAgent, stream=stream, **options)
    agent.fields = {"thinking": {"type": "adaptive"}}
    agent.step()
    agent.history.append({"role": "user", "content": "Read a.py."})
    agent.forget()
    run(agent)
    assert {request.status for request in lab.journal} == {200}


@STREAMS
def test_continued_by_id(serve: Any, opened: Any, options: dict[str, Any], stream: bool) -> None:
    """A turn is found by its nonce where a request has only its results."""
    calls = (
        Call("multi_read", files({"path": "a.py"}, {"path": "b.py"})),
        Call("multi_edit", files(edit("a.py", "1"))),
    )
    lab = serve(scripted(Reply("Reading.", calls=calls)))
    agent = opened(lab, ResponsesAgent, stream=stream, **options)
    before = {"type": "message", "role": "assistant", "content": "Hello."}
    agent.fields, agent.history = {}, [TASK, before, TASK]
    made = agent.step()
    agent.forget()
    agent.fields, agent.history = {"previous_response_id": agent.answer_id}, agent.history[-2:]
    agent.ask()
    first, second = lab.journal[1].json["input"]
    assert "[2/2] read_file b.py" in first["output"]
    assert "not run" in second["output"]
    assert {first["call_id"], second["call_id"]}.isdisjoint({call.call_id for call in made})


@STREAMS
def test_decorated(options: dict[str, Any], workspace: Workspace, stream: bool) -> None:
    """Functions share it as well, once they have seen what their answers are like."""
    hi = Reply("Hi.")
    with Lab(Script(hi, hi, BATCH, END), tokens_per_s=math.inf, ttft_s=0) as lab:
        with openai.OpenAI(base_url=lab.base_url, api_key="k") as client:
            create = client.chat.completions.create
            functions = cycle([batchwrap.batched(**options)(create) for _ in range(2)])

            def complete(**asked: Any) -> Any:
                return next(functions)(**asked)

            for _ in range(2):
                message_of(
                    complete(model="m", messages=[TASK], tools=workspace.schemas(), stream=stream),
                    stream,
                )
            work(complete, workspace, stream=stream)
        assert lab.round_trips == 4
    assert workspace.read_file("a.py") == "x = 3\n"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@STREAMS
async def test_tasks(options: dict[str, Any], stream: bool, anyio_backend: str) -> None:
    """Tasks share it, too, on either event loop."""
    edits = Reply(calls=(Call("multi_edit", files(edit("a.py", "1"), edit("a.py", "2"))),))
    model = scripted(edits)
    agent = MessagesAgent.__new__(MessagesAgent)
    agent.history, agent.ran, agent.stream, agent.fields = [TASK], [], stream, {}
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
        while True:
            async with httpx2.AsyncClient() as bare:
                client = batchwrap.wrap(bare, **options)
                body = {**agent.body, "tools": agent.tools, "stream": stream}
                response = await client.post(f"{lab.url}{agent.path}", json=body)
            answer = agent.accumulated(response.text) if stream else response.json()
            calls = list(agent.calls(answer))
            agent.ran += [(call.name, call.arguments) for call in calls]
            agent.history += agent.turn(answer, calls)
            if not calls:
                break
        assert [given["new_string"] for _, given in agent.ran] == ["1", "2"]
        assert lab.round_trips == 2


@STREAMS
def test_a_stream_that_is_left(
    serve: Any, options: dict[str, Any], workspace: Workspace, stream: bool
) -> None:
    """What an agent got before it stopped reading is known to all, at its finish reason at last."""
    lab = serve(BATCH, END)
    clients = []

    def complete(**asked: Any) -> Any:
        bare = openai.OpenAI(base_url=lab.base_url, api_key="k")
        clients.append(bare)
        answer = batchwrap.wrap(bare, **options).chat.completions.create(**asked)
        return up_to_its_end(answer) if stream else answer

    history = work(complete, workspace, stream=stream)
    for bare in clients:
        bare.close()
    lab.wait_idle(60)  # the provider notices later that nobody reads its last answer to the end
    checked(history, lab, workspace)


def up_to_its_end(chunks: Any) -> Any:
    """The chunks up to the finish reason; the stream stays open behind it."""
    for chunk in chunks:
        yield chunk
        if chunk.choices and chunk.choices[0].finish_reason:
            return


def test_pooled_keys(serve: Callable[..., Lab], workspace: Workspace, tmp_path: Path) -> None:
    """What is kept is sealed with the keys of the pool, in any order, not with a placeholder."""
    batching = Batching(memory=f"sqlite:///{tmp_path}/shared.db")
    for keys in (["sk-a", "sk-b"], ["sk-b", "sk-a"]):
        lab = serve(BATCH, END)
        with openai.OpenAI(base_url=lab.base_url, api_key="unused") as bare:
            client = batchwrap.wrap(bare, batching=batching, throttle=Throttle(keys=keys))
            work(client.chat.completions.create, workspace, stream=False)
    with closing(sqlite3.connect(tmp_path / "shared.db")) as kept:
        [[account]] = kept.execute("SELECT DISTINCT account FROM memory")
    assert account != sealing_of("unused").account


@STREAMS
def test_no_server(
    serve: Callable[..., Lab], workspace: Workspace, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the server a client batches by itself, as if nothing were shared."""
    lab = serve(BATCH, END)
    memory = "redis://127.0.0.1:1"
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare, batching=Batching(memory=memory))
        history = work(client.chat.completions.create, workspace, stream=stream)
    checked(history, lab, workspace)
    told = [one for one in caplog.records if "shared memory" in one.getMessage()]
    assert len(told) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_says_nothing(serve: Callable[..., Lab]) -> None:
    """One that takes connections and never answers is given up soon."""
    lab = serve(Reply("Hi."))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        memory = f"redis://127.0.0.1:{port}?socket_timeout=0.01&socket_connect_timeout=0.01"
        async with httpx2.AsyncClient() as bare:
            client = batchwrap.wrap(bare, batching=Batching(memory=memory))
            asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            response = await client.post(f"{lab.base_url}/chat/completions", json=asked)
    assert response.json()["choices"][0]["message"]["content"] == "Hi."

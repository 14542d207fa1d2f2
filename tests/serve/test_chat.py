"""Chat completions are translated on their way through the endpoint, for any client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import openai
import orjson
import pytest

import batchwrap
from batchwrap.lab import Lab, Reply
from batchwrap.options import Limit
from batchwrap.serve import Server
from batchwrap.tools import Workspace
from tests.adapters.agent import BATCH, checked, work
from tests.adapters.agent import END as MENDED
from tests.adapters.agent import workspace as workspace  # a fixture
from tests.adapters.conversation import END, MULTI_CALL, READS, TOOLS, USER, calls_of
from tests.adapters.waiting import until
from tests.serve.sockets import Message, ask, connect, message, upstream

InFront = Callable[..., Server]

JSON = (b"content-type", b"application/json")
ASK = {"model": "m", "messages": [USER], "tools": TOOLS}
MEGABYTE = 2**20
# More than all the buffers of the sockets on the way: what is more stands in our memory.
BUFFERS = 25 * MEGABYTE
PIECE = 2**16


def posted(sock: socket.socket, **body: Any) -> None:
    """Send a request for a chat completion."""
    content = orjson.dumps({**ASK, **body})
    headers = [(b"host", b"localhost"), JSON, (b"content-length", str(len(content)).encode())]
    sock.sendall(message(b"POST /v1/chat/completions HTTP/1.1", headers, content))


def counter(server: Server, name: str) -> float:
    """A number that the endpoint's metrics tell."""
    lines = ask(server.url, b"GET /metrics").body.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def blocked(entered: threading.Semaphore, leave: threading.Event) -> Any:
    """A model that tells when it is asked, and answers when it is let go."""

    def model(request: dict[str, Any]) -> Reply:
        entered.release()
        leave.wait(20)
        return END

    return model


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent(serve: Any, in_front: InFront, workspace: Workspace, stream: bool) -> None:
    """A batch runs call by call on the agent's files; most answers cost no round trip."""
    lab = serve(BATCH, MENDED)
    server = in_front(lab.base_url)
    with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        history = work(client.chat.completions.create, workspace, stream=stream)
    checked(history, lab, workspace)
    assert counter(server, "batchwrap_local_answers_total") == 2


def test_a_wrapped_client(serve: Any, in_front: InFront) -> None:
    """A client that is wrapped itself is translated once, by itself."""
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url)
    with openai.OpenAI(base_url=server.base_url, api_key="k") as bare:
        answer = batchwrap.wrap(bare).chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert calls_of(answer.choices[0].message) == READS
    assert "x-batchwrap-translated" not in lab.journal[0].headers
    names = [tool["function"]["name"] for tool in lab.journal[0].json["tools"]]
    assert sorted(names) == ["batch", "edit_file", "multi_edit", "multi_read", "read_file"]
    assert counter(server, 'batchwrap_only_throttled_total{endpoint="translated"}') == 1


@pytest.mark.parametrize("offer", ["alongside", "instead"])
def test_a_decorated_function(serve: Any, in_front: InFront, offer: Any) -> None:
    """So is what a decorated function sends, by its multi-tools: it can send no header."""
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url)
    with openai.OpenAI(base_url=server.base_url, api_key="k") as bare:
        decorate = batchwrap.batched(batching=batchwrap.Batching(offer=offer))
        answer = decorate(bare.chat.completions.create)(**ASK)  # type: ignore[call-overload]
    assert calls_of(answer.choices[0].message) == READS
    names = [tool["function"]["name"] for tool in lab.journal[0].json["tools"]]
    single = ["edit_file", "read_file"] if offer == "alongside" else []
    assert sorted(names) == ["batch", *single[:1], "multi_edit", "multi_read", *single[1:]]
    assert counter(server, 'batchwrap_only_throttled_total{endpoint="translated"}') == 1


def test_limits_hold_in_the_endpoint(serve: Any, in_front: InFront) -> None:
    """What is translated in front counts there once; what is refused there is not retried."""
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url, limits=[Limit("requests", 1, 3600)])
    with openai.OpenAI(base_url=server.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare)
        client.chat.completions.create(**ASK)  # type: ignore[call-overload]
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    [entry] = lab.journal
    assert counter(server, "batchwrap_prompt_tokens_total") == entry.prompt_tokens
    assert counter(server, 'batchwrap_only_throttled_total{endpoint="translated"}') == 2


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up(serve: Any, in_front: InFront, stream: bool) -> None:
    """A client that hangs up before the answer ends the request upstream, and holds nothing."""
    entered, leave = threading.Semaphore(0), threading.Event()
    lab: Lab = serve(blocked(entered, leave))
    server = in_front(lab.base_url, limits=[Limit("concurrency", 1)])
    with connect(server.url) as sock:
        posted(sock, stream=stream)
        assert entered.acquire(timeout=20)
    lab.wait_idle()
    assert [entry.cancelled for entry in lab.journal] == [True]
    leave.set()
    with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert counter(server, "batchwrap_requests_in_progress") == 0


def test_hanging_up_in_a_stream(serve: Any, in_front: InFront) -> None:
    """So does one that hangs up in the middle of a stream."""
    lab: Lab = serve(lambda request: Reply("word " * 20_000), tokens_per_s=200)
    server = in_front(lab.base_url, limits=[Limit("concurrency", 1)])
    for _ in range(2):
        with connect(server.url) as sock:
            posted(sock, stream=True)
            read = b""
            while b"word" not in read:
                read += sock.recv(PIECE)
        lab.wait_idle()
    assert [entry.cancelled for entry in lab.journal] == [True, True]


def test_hanging_up_in_the_queue(serve: Any, in_front: InFront) -> None:
    """A client that hangs up while its request is held back has never been at the provider."""
    entered, leave = threading.Semaphore(0), threading.Event()
    lab: Lab = serve(blocked(entered, leave))
    server = in_front(lab.base_url, limits=[Limit("concurrency", 1)])
    with connect(server.url) as first:
        posted(first)
        assert entered.acquire(timeout=20)
        with connect(server.url) as second:
            posted(second)
            until(lambda: counter(server, "batchwrap_requests_in_progress") == 2)
        until(lambda: counter(server, "batchwrap_requests_in_progress") == 1)
        leave.set()
        lab.wait_idle()
    assert len(lab.journal) == 1


@pytest.mark.parametrize(
    ("path", "huge"),
    [("/files/content", 100 * MEGABYTE), ("/chat/completions", 50 * MEGABYTE)],  # that is parsed
)
def test_a_slow_reader(in_front: InFront, path: str, huge: int) -> None:
    """While a client does not read, the upstream cannot send: nothing piles up in between."""
    data = orjson.dumps({"choices": [{"index": 0, "delta": {"content": "x" * PIECE}}]})
    event = b"data: " + data + b"\n\n"
    sent: list[int] = []
    held = threading.Event()

    def answer(sock: socket.socket, asked: Message) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"connection", b"close")]
        sock.sendall(message(b"HTTP/1.1 200 OK", headers))
        sock.settimeout(1)
        while sum(sent) < huge:
            try:
                sent.append(sock.send(event * 16))
            except TimeoutError:
                held.set()
                sock.settimeout(20)
        sock.sendall(b"\n\ndata: [DONE]\n\n")
        sock.close()

    with upstream(answer) as behind:
        server = in_front(behind.url + "/v1")
        with connect(server.url) as sock:
            content = orjson.dumps({**ASK, "stream": True})
            headers = [(b"host", b"localhost"), JSON, (b"content-length", b"%d" % len(content))]
            sock.sendall(message(b"POST /v1" + path.encode() + b" HTTP/1.1", headers, content))
            assert held.wait(20)
            assert sum(sent) < BUFFERS
            got = 0
            while got < huge:
                got += len(sock.recv(MEGABYTE))
    assert sum(sent) >= huge


def test_refusals_pass(serve: Any, in_front: InFront) -> None:
    """A request that a limit can never admit is refused as by the provider."""
    lab = serve(END)
    server = in_front(lab.base_url, limits=[Limit("tokens", 10)])
    with (
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert refused.value.status_code == 413
    assert refused.value.code == "batchwrap_request_too_large"

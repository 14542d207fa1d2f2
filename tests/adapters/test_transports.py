"""Whatever a client's own transport does (timeouts, proxies, HTTP/2), it still does."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import openai
import orjson
import pytest
from openai import AsyncOpenAI

import batchwrap
from batchwrap.lab import Raw, Reply
from batchwrap.options import Limit
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, calls_of, gather
from tests.adapters.events import multi_read
from tests.adapters.servers import forward_proxy, http2_server
from tests.core.harness import call, completion

ASKED = {"messages": [USER], "tools": TOOLS}
CALL = call("call_1", "multi_read", {"files": [{"path": "a.py"}]})
ANSWER = orjson.dumps(completion({"role": "assistant", "content": "é", "tool_calls": [CALL]}))
JSON = {"content-type": "application/json"}
SDK_LIBRARY = httpx2 if openai.__version__ >= "3" else httpx
OTHER_LIBRARY = httpx if SDK_LIBRARY is httpx2 else httpx2


def names(answer: Any) -> list[str]:
    """The names of the calls in a plain answer's JSON."""
    return [made["function"]["name"] for made in answer["choices"][0]["message"]["tool_calls"]]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", ["client", "request"])
def test_timeouts(caller: Caller, serve: Any, where: str, stream: bool) -> None:
    """A timeout of the client or of one request reaches the transport that sends."""
    lab = serve(lambda request: MULTI_CALL, ttft_s=20)
    options = {"timeout": 0.1} if where == "client" else {}
    client = batchwrap.wrap(caller.open(lab, max_retries=0, **options))
    with pytest.raises(openai.APITimeoutError):
        caller.ask(client, tools=TOOLS, stream=stream, **({} if options else {"timeout": 0.1}))
    lab.wait_idle()
    assert lab.journal[0].cancelled


def test_no_timeout_of_ours(web: Web, serve: Any) -> None:
    """Each timeout of the client is handed to the transport as it was set."""
    lab = serve(MULTI_CALL)
    seen = []

    def note(request: Any) -> None:
        seen.append(request.extensions["timeout"])

    inner = recording(web, note)
    timeout = web.library.Timeout(9, connect=1, read=2, pool=None)
    client = batchwrap.wrap(web.open(transport=inner, timeout=timeout))
    web.post(client, lab, json=ASKED)
    assert seen == [{"connect": 1, "read": 2, "write": 9, "pool": None}]


def recording(web: Web, note: Any) -> Any:
    """A transport of the user's own that notes each request and its own life."""
    base: Any = web.library.AsyncHTTPTransport if web.caller.is_async else web.library.HTTPTransport

    class Transport(base):  # type: ignore[misc]
        life: list[str] = []  # noqa: RUF012 - one for each test

        def handle_request(self, request: Any) -> Any:
            note(request)
            return super().handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            note(request)
            return await super().handle_async_request(request)

        def __enter__(self) -> Any:
            self.life.append("enter")
            return super().__enter__()

        def __exit__(self, *details: Any) -> None:
            self.life.append("exit")
            super().__exit__(*details)

        async def __aenter__(self) -> Any:
            self.life.append("enter")
            return await super().__aenter__()

        async def __aexit__(self, *details: Any) -> None:
            self.life.append("exit")
            await super().__aexit__(*details)

    return Transport()


def test_own_transport_and_mounts(web: Web, serve: Any) -> None:
    """A custom transport and mounted ones stay in use and see the provider's view."""
    lab = serve(lambda request: MULTI_CALL)
    plain, mounted = list[Any](), list[Any]()
    client = batchwrap.wrap(
        web.open(
            transport=recording(web, plain.append),
            mounts={"all://localhost": recording(web, mounted.append), "all://none": None},
        )
    )
    assert names(web.post(client, lab, json=ASKED).json()) == ["read_file"] * 2
    url = f"{lab.base_url}/chat/completions".replace("127.0.0.1", "localhost")
    assert names(web.caller.run(client.post, url, json=ASKED).json()) == ["read_file"] * 2
    assert [b"multi_read" in request.content for request in plain + mounted] == [True, True]


def test_transports_that_are_entered(web: Web, serve: Any) -> None:
    """A transport that wants to be entered and left is, as by the bare client."""
    lab = serve(lambda request: MULTI_CALL)
    inner = recording(web, lambda request: None)
    client = batchwrap.wrap(web.open(transport=inner))
    kind = type(client)
    enter = kind.__aenter__ if web.caller.is_async else kind.__enter__
    leave = kind.__aexit__ if web.caller.is_async else kind.__exit__
    assert web.caller.run(enter, client) is client
    web.post(client, lab, json=ASKED)
    web.caller.run(leave, client, None, None, None)
    assert inner.life == ["enter", "exit"]


def test_what_the_transport_has(web: Web) -> None:
    """Whoever looks into the transport (tracing tools do) finds what was there."""
    bare = web.open()
    client = batchwrap.wrap(bare)
    assert client._transport._pool is bare._transport._pool
    assert copy.copy(client._transport)._pool is bare._transport._pool
    assert not hasattr(client._transport, "nothing")


def test_hooks_and_requests(web: Web, serve: Any) -> None:
    """Event hooks and `response.request` have the agent's own request."""
    lab = serve(MULTI_CALL)
    seen: list[Any] = []

    async def note(thing: Any) -> None:
        seen.append(thing)

    hook = note if web.caller.is_async else seen.append
    client = batchwrap.wrap(web.open(event_hooks={"request": [hook], "response": [hook]}))
    response = web.post(client, lab, json=ASKED)
    assert seen == [response.request, response]
    assert orjson.loads(response.request.content) == ASKED
    assert b"multi_read" in lab.journal[0].body


def test_overridden_send(caller: Caller, serve: Any) -> None:
    """A subclass of the HTTP client that overrides `send` keeps its say."""
    lab = serve(MULTI_CALL)
    base: Any = SDK_LIBRARY.AsyncClient if caller.is_async else SDK_LIBRARY.Client

    class Tagged(base):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            request.headers["x-tag"] = self.tag
            return super().send(request, **options)

    http = caller.closes(Tagged())
    http.tag = "blue"
    client = batchwrap.wrap(caller.open(lab, http_client=http))
    assert isinstance(client._client, Tagged)
    assert calls_of(caller.ask(client, tools=TOOLS).choices[0].message) == READS
    assert lab.journal[0].headers["x-tag"] == "blue"


def test_client_of_the_other_library(caller: Caller, serve: Any) -> None:
    """openai 3 with a legacy httpx client, and openai 2 with one of httpx2."""
    lab = serve(lambda request: MULTI_CALL)
    http = Web(OTHER_LIBRARY, caller).open()
    client = batchwrap.wrap(caller.open(lab, http_client=http))
    assert calls_of(caller.ask(client, tools=TOOLS).choices[0].message) == READS
    assert gather(caller.ask(client, tools=TOOLS, stream=True))["calls"] == READS


def test_proxies_of_the_environment(
    caller: Caller, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names is gone through, and left out where it says so."""
    lab = serve(lambda request: MULTI_CALL)
    with forward_proxy() as (address, asked):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "localhost")
        client = batchwrap.wrap(caller.open(lab))
        direct = batchwrap.wrap(
            caller.open(lab, base_url=lab.base_url.replace("127.0.0.1", "localhost"))
        )
        for one in (client, direct):
            assert calls_of(caller.ask(one, tools=TOOLS).choices[0].message) == READS
        assert gather(caller.ask(client, tools=TOOLS, stream=True))["calls"] == READS
        caller.close(client)
    assert asked == [f"{lab.base_url}/chat/completions"] * 2
    assert b"multi_read" in lab.journal[0].body


def test_redirects(caller: Caller, serve: Any) -> None:
    """A redirect that keeps the method is followed with the agent's request, once translated."""
    elsewhere = serve(MULTI_CALL)
    lab = serve(Raw(307, {"location": f"{elsewhere.base_url}/chat/completions"}))
    client = batchwrap.wrap(caller.open(lab))
    assert calls_of(caller.ask(client, tools=TOOLS).choices[0].message) == READS
    tools = elsewhere.journal[0].json["tools"]
    assert [tool["function"]["name"] for tool in tools] == [
        "read_file",
        "edit_file",
        "multi_read",
        "multi_edit",
        "batch",
    ]


def test_keys_that_change(caller: Caller, serve: Any) -> None:
    """An `api_key` that is a function is asked again for each request."""
    lab = serve(lambda request: MULTI_CALL)
    keys = iter(["one", "two"])

    async def next_key() -> str:
        return next(keys)

    client = batchwrap.wrap(
        caller.open(lab, api_key=next_key if caller.is_async else lambda: next(keys))
    )
    for _ in range(2):
        caller.ask(client, tools=TOOLS)
    sent = [entry.headers["authorization"] for entry in lab.journal]
    assert sent == ["Bearer one", "Bearer two"]


def test_http2(web: Web) -> None:
    """A client that speaks HTTP/2 goes on doing so, plain and streamed."""

    def answer(asked: dict[str, Any]) -> tuple[str, bytes]:
        assert "multi_read" in [tool["function"]["name"] for tool in asked["tools"]]
        return (
            ("text/event-stream", multi_read())
            if "stream" in asked
            else ("application/json", ANSWER)
        )

    with http2_server(answer) as url:
        client = batchwrap.wrap(web.open(http1=False, http2=True))
        plain = web.caller.run(client.post, f"{url}/chat/completions", json=ASKED)
        streamed = web.caller.run(
            client.post, f"{url}/chat/completions", json={**ASKED, "stream": True}
        )
        web.caller.close(client)
    assert (plain.http_version, streamed.http_version) == ("HTTP/2", "HTTP/2")
    assert names(plain.json()) == ["read_file"]
    assert b"multi_read" not in streamed.content


def test_hundred_threads(serve: Any) -> None:
    """One client serves a hundred threads at once; everybody gets his own answer."""
    lab = serve(lambda request: Reply(request["messages"][0]["content"]))
    with openai.OpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e9, 1)])

        def ask(number: int) -> Any:
            user: Any = {"role": "user", "content": f"I am {number}."}
            asked: Any = {"model": "m", "messages": [user], "tools": TOOLS}
            return client.chat.completions.create(**asked).choices[0].message.content

        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(ask, range(100)))
    assert answers == [f"I am {number}." for number in range(100)]
    assert batchwrap.stats(client).round_trips == len(lab.journal) == 100


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_hundred_tasks(serve: Any, anyio_backend: str) -> None:
    """One client serves a hundred tasks at once; everybody gets his own answer."""
    lab = serve(lambda request: Reply(request["messages"][0]["content"]))
    async with AsyncOpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e9, 1)])

        async def ask(number: int) -> str:
            user: Any = {"role": "user", "content": f"I am {number}."}
            asked: Any = {"model": "m", "messages": [user], "tools": TOOLS, "stream": True}
            stream: Any = await client.chat.completions.create(**asked)
            return str(gather([chunk async for chunk in stream])["content"])

        answers = await asyncio.gather(*map(ask, range(100)))
    assert answers == [f"I am {number}." for number in range(100)]
    assert batchwrap.stats(client).round_trips == len(lab.journal) == 100


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.filterwarnings("ignore")  # of litellm, when it is imported
async def test_transport_of_aiohttp(serve: Any, anyio_backend: str) -> None:
    """litellm's transport, which is built on aiohttp, is wrapped as any other."""
    module = pytest.importorskip("litellm.llms.custom_httpx.aiohttp_transport")
    aiohttp = pytest.importorskip("aiohttp")
    lab = serve(lambda request: MULTI_CALL)
    async with aiohttp.ClientSession() as session:
        transport = module.LiteLLMAiohttpTransport(client=lambda: session)
        async with batchwrap.wrap(httpx.AsyncClient(transport=transport)) as client:
            url = f"{lab.base_url}/chat/completions"
            plain = await client.post(url, json=ASKED)
            streamed = await client.post(url, json={**ASKED, "stream": True})
    assert names(plain.json()) == ["read_file"] * 2
    assert streamed.content.count(b'"name":"read_file"') == 2

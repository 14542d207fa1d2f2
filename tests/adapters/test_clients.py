"""`wrap`: a client of the same type and settings, and an original that stays as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import batchwrap
from batchwrap.errors import ConfigError
from batchwrap.lab import Lab, Model, Reply
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, calls_of, gather


def always(reply: Reply) -> Model:
    """A model that gives one answer to everything."""
    return lambda request: reply


@pytest.fixture
def lab(serve: Any) -> Lab:
    """A provider whose model always makes a multi-call."""
    running: Lab = serve(always(MULTI_CALL))
    return running


def offered(lab: Lab) -> list[str]:
    """The tools of the latest request."""
    return [tool["function"]["name"] for tool in lab.journal[-1].json["tools"]]


def check(caller: Caller, client: Any, *, wrapped: bool = True) -> None:
    """Ask plain and streamed; only a wrapped client expands."""
    message = caller.ask(client, tools=TOOLS).choices[0].message
    streamed = gather(caller.ask(client, tools=TOOLS, stream=True))
    expanded = READS if wrapped else calls_of(message)
    assert calls_of(message) == streamed["calls"] == expanded
    assert wrapped or [call.function.name for call in message.tool_calls] == ["multi_read"]


def test_type_and_settings(caller: Caller, lab: Lab) -> None:
    """The copy has the type, the settings and the headers of the original."""
    bare = caller.open(lab, max_retries=7, timeout=5, default_headers={"x-team": "a"})
    client = batchwrap.wrap(bare)
    assert type(client) is type(bare)
    assert isinstance(client._client, type(bare._client))
    for name in ("base_url", "api_key", "max_retries", "timeout"):
        assert getattr(client, name) == getattr(bare, name)
    check(caller, client)
    assert lab.journal[-1].headers["x-team"] == "a"
    assert lab.journal[-1].headers["authorization"] == "Bearer key"


def test_original_stays_unwrapped(caller: Caller, lab: Lab) -> None:
    """Requests through the original are neither changed nor counted."""
    bare = caller.open(lab)
    client = batchwrap.wrap(bare)
    check(caller, client)
    before = batchwrap.stats(client)
    check(caller, bare, wrapped=False)
    assert offered(lab) == ["read_file", "edit_file"]
    assert batchwrap.stats(client) == before
    with pytest.raises(ConfigError, match="was not wrapped"):
        batchwrap.stats(bare)


def test_azure(caller: Caller, lab: Lab) -> None:
    """An Azure client keeps its own paths, query and key header."""
    bare = caller.open_azure(lab)
    client = batchwrap.wrap(bare)
    assert type(client) is type(bare)
    check(caller, client)
    assert lab.journal[-1].path == "/openai/deployments/m/chat/completions"
    assert lab.journal[-1].query == "api-version=2026-01"
    assert lab.journal[-1].headers["api-key"] == "key"
    check(caller, bare, wrapped=False)
    named = batchwrap.wrap(caller.open_azure(lab, azure_deployment="mine"))
    check(caller, named)
    assert lab.journal[-1].path == "/openai/deployments/mine/chat/completions"


class Tenant(OpenAI):
    """A subclass as users write them: another signature, and attributes of its own."""

    def __init__(self, tenant: str, lab: Lab) -> None:
        super().__init__(base_url=lab.base_url, api_key="key")
        self.tenant = tenant
        self.log: list[str] = []

    def _prepare_request(self, request: Any) -> None:
        self.log.append(self.tenant)
        request.headers["x-tenant"] = self.tenant


class AsyncTenant(AsyncOpenAI):
    """The same for tasks."""

    def __init__(self, tenant: str, lab: Lab) -> None:
        super().__init__(base_url=lab.base_url, api_key="key")
        self.tenant = tenant
        self.log: list[str] = []

    async def _prepare_request(self, request: Any) -> None:
        self.log.append(self.tenant)
        request.headers["x-tenant"] = self.tenant


def test_subclass(caller: Caller, lab: Lab) -> None:
    """A subclass with another constructor keeps its attributes and overridden methods."""
    bare = caller.closes((AsyncTenant if caller.is_async else Tenant)("blue", lab))
    client = batchwrap.wrap(bare)
    assert type(client) is type(bare)
    check(caller, client)
    assert (client.tenant, client.log) == ("blue", ["blue", "blue"])
    assert lab.journal[-1].headers["x-tenant"] == "blue"


def test_copies_stay_wrapped(caller: Caller, lab: Lab) -> None:
    """`copy` and `with_options` of a wrapped client are wrapped, and count together."""
    client = batchwrap.wrap(caller.open(lab))
    check(caller, client.with_options(timeout=9, max_retries=1))
    check(caller, client.copy(default_headers={"x-copy": "1"}))
    assert lab.journal[-1].headers["x-copy"] == "1"
    assert batchwrap.stats(client.with_options(timeout=1)) == batchwrap.stats(client)
    assert batchwrap.stats(client).requests == 4


def test_copies_of_the_original_stay_bare(caller: Caller, lab: Lab) -> None:
    """`with_options` of the original is as bare as it."""
    bare = caller.open(lab)
    batchwrap.wrap(bare)
    check(caller, bare.with_options(timeout=9), wrapped=False)


def test_resources_used_before(caller: Caller, lab: Lab) -> None:
    """A resource that was touched before wrapping does not lead to the unwrapped client."""
    bare = caller.open(lab)
    before = bare.chat.completions
    bare.with_raw_response.chat.completions, bare.with_streaming_response.chat  # noqa: B018
    client = batchwrap.wrap(bare)
    check(caller, client)
    raw = caller.run(
        client.with_raw_response.chat.completions.create, model="m", messages=[USER], tools=TOOLS
    )
    assert calls_of(raw.parse().choices[0].message) == READS
    assert bare.chat.completions is before
    check(caller, bare, wrapped=False)


def test_in_place(caller: Caller, lab: Lab) -> None:
    """In place it is the client itself that changes, with what was made of it before."""
    bare = caller.open(lab)
    chat, earlier_copy = bare.chat, bare.with_options(timeout=3)
    assert batchwrap.wrap(bare, in_place=True) is bare
    assert bare.chat is chat
    check(caller, bare)
    check(caller, earlier_copy)
    assert batchwrap.stats(bare).multi_calls == 4


@pytest.mark.parametrize("in_place", [False, True])
def test_twice(caller: Caller, lab: Lab, in_place: bool) -> None:
    """A client that is wrapped twice translates once, by the newer options."""
    once = batchwrap.wrap(caller.open(lab), in_place=in_place)
    twice = batchwrap.wrap(once, in_place=in_place, batching=None)
    caller.ask(twice, tools=TOOLS)
    assert offered(lab) == ["read_file", "edit_file"]
    again = batchwrap.wrap(twice, in_place=in_place)
    check(caller, again)
    assert offered(lab) == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    assert batchwrap.stats(again).requests == 2


def test_http_client_wrapped_before(caller: Caller, lab: Lab) -> None:
    """An SDK client around a wrapped HTTP client is wrapped, and translates once if wrapped."""
    library = httpx2 if openai.__version__ >= "3" else httpx
    http = Web(library, caller).open()
    inner = batchwrap.wrap(http)
    client = caller.open(lab, http_client=inner)
    check(caller, client)
    assert batchwrap.stats(client) == batchwrap.stats(inner)
    check(caller, batchwrap.wrap(client))
    assert offered(lab) == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    assert batchwrap.stats(inner).requests == 2


def test_http_clients(web: Web, lab: Lab) -> None:
    """A client of httpx or httpx2 is wrapped by itself."""
    bare = web.open(headers={"x-team": "a"}, base_url=lab.base_url, follow_redirects=True)
    client = batchwrap.wrap(bare)
    assert isinstance(client, type(bare))
    assert type(client).__name__ == type(bare).__name__
    assert client.base_url == bare.base_url
    asked = {"messages": [USER], "tools": TOOLS}
    answer = web.caller.run(client.post, "chat/completions", json=asked).json()
    assert [call["function"]["name"] for call in answer["choices"][0]["message"]["tool_calls"]] == [
        "read_file",
        "read_file",
    ]
    assert lab.journal[-1].headers["x-team"] == "a"
    assert batchwrap.stats(client).multi_calls == 1
    web.caller.run(bare.post, "chat/completions", json=asked)
    assert offered(lab) == ["read_file", "edit_file"]
    assert batchwrap.wrap(bare, in_place=True) is bare
    web.caller.run(bare.post, "chat/completions", json=asked)
    assert offered(lab) == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]


STUBS = [None, SimpleNamespace(), SimpleNamespace(Client=print), ModuleType("httpx")]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("stub", STUBS, ids=["none", "namespace", "names", "module"])
def test_stubs(
    caller: Caller, lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str, stub: Any
) -> None:
    """What a test puts in the place of an HTTP library changes nothing for a client that exists."""
    bare = caller.open(lab)
    batchwrap.wrap(bare)  # our binding is loaded
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, name, stub)
        copy = batchwrap.wrap(bare)
        batchwrap.wrap(bare, in_place=True)
        assert batchwrap.stats(bare).requests == 0
    check(caller, copy)
    check(caller, bare)


def test_patched_names(web: Web, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of an HTTP library that somebody has patched are not asked what a client is."""
    bare = web.open(base_url=lab.base_url)
    monkeypatch.setattr(web.library, "Client", print)
    monkeypatch.setattr(web.library, "AsyncClient", None)
    client = batchwrap.wrap(bare)
    asked = {"messages": [USER], "tools": TOOLS}
    web.caller.run(client.post, "chat/completions", json=asked)
    assert batchwrap.stats(client).multi_calls == 1


STUBBED = """
import sys, types
import batchwrap, httpx2
from unittest.mock import MagicMock
client = httpx2.Client()
for stub in (types.SimpleNamespace(), MagicMock()):
    sys.modules["httpx2"] = stub
    try:
        batchwrap.wrap(client)
    except batchwrap.ConfigError as error:
        print(error)
sys.modules["httpx2"] = httpx2
print(type(batchwrap.wrap(client)).__name__)
"""


def test_a_stub_from_the_start() -> None:
    """A library that cannot be bound to is refused by name, and bound to once it is back."""
    ran = subprocess.run(
        [sys.executable, "-c", STUBBED], capture_output=True, text=True, check=False
    )
    told = "target: the module httpx2 in this process is a part of it, or a stub\n"
    assert ran.stdout == f"{told}{told}Client\n", ran.stderr


@pytest.mark.parametrize(
    "target", [object(), "client", None, httpx, httpx.URL("http://a"), Caller, openai.OpenAI, print]
)
def test_not_a_client(target: Any) -> None:
    """What is not a client is refused when it is wrapped, by its name."""
    with pytest.raises(ConfigError, match=r"target: cannot wrap a \w+"):
        batchwrap.wrap(target)


def test_a_library_that_is_built_otherwise(threads: Web) -> None:
    """Should a version of the library lack a part that wrapping needs, the error names it."""
    bare = threads.open()
    mounts = vars(bare).pop("_mounts")
    with pytest.raises(ConfigError, match="httpx has no _mounts"):
        batchwrap.wrap(bare)
    bare._mounts = mounts


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_without_the_library(library: str) -> None:
    """Where a library is missing, its binding names the extra that brings it."""
    code = f"import sys; sys.modules[{library!r}] = None; import batchwrap.adapters.{library}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f'pip install "batchwrap[{library}]"' in ran.stderr


def test_close(caller: Caller, lab: Lab) -> None:
    """Closing the wrapped client closes it and the shared connections."""
    bare = caller.open(lab, max_retries=0)
    client = batchwrap.wrap(bare)
    check(caller, client)
    opened = lab.connections
    caller.close(client)
    assert client.is_closed()
    with pytest.raises((openai.APIConnectionError, RuntimeError)):
        caller.ask(client)
    caller.ask(bare, tools=TOOLS)
    assert lab.connections == opened + 1


def test_context_manager(caller: Caller, lab: Lab) -> None:
    """A wrapped client is a context manager of its own type."""
    client = batchwrap.wrap(caller.open(lab))
    assert (
        caller.run(type(client).__aenter__ if caller.is_async else type(client).__enter__, client)
        is client
    )
    check(caller, client)
    leave = type(client).__aexit__ if caller.is_async else type(client).__exit__
    caller.run(leave, client, None, None, None)
    assert client.is_closed()


def test_original_collected(caller: Caller, serve: Any) -> None:
    """A stream through the wrapped client outlives the original's last reference."""
    lab = serve(always(Reply("word " * 400)), tokens_per_s=4_000)
    bare = caller.client_type(base_url=lab.base_url, api_key="key")
    client = caller.closes(batchwrap.wrap(bare))
    chunks = caller.each(caller.start(client, stream=True))
    first, gone = next(chunks), weakref.ref(bare)
    del bare
    gc.collect()
    assert gone() is None
    assert gather([first, *chunks])["content"] == "word " * 400
    caller.ask(client)


def test_wrapped_collected(caller: Caller, serve: Any) -> None:
    """A stream through the original outlives the wrapped copy's last reference."""
    lab = serve(always(Reply("word " * 400)), tokens_per_s=4_000)
    bare = caller.open(lab)
    client = batchwrap.wrap(bare)
    caller.ask(client)
    chunks = caller.each(caller.start(bare, stream=True))
    first, gone = next(chunks), weakref.ref(client._client)
    del client
    gc.collect()
    assert gone() is None
    assert gather([first, *chunks])["content"] == "word " * 400
    caller.ask(bare)

"""The trials of `batchwrap doctor`: each adapter has a short conversation on the loopback.

The simulated model makes a multi-call. The agent must get single calls, and the provider must get
the multi-call back in the next request. A trial raises whatever goes wrong, in any library.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from threading import Thread
from typing import Any

import batchwrap
from batchwrap.lab import Call, Lab, Reply

Body = dict[str, Any]
Ask = Callable[[Body], Body]

_TOOL: Body = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
        },
    },
}
_PROMPT: Body = {"role": "user", "content": "Read a.py and b.py."}
_MULTI_CALL = Call("multi_read", {"files": [{"path": "a.py"}, {"path": "b.py"}]})
_CHAT = "/chat/completions"


class TrialFailed(Exception):
    """An adapter has not translated the conversation as it should."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial of one adapter.

    Attributes:
        module: the module that has to be installed for it.
        extra: batchwrap's extra that installs it; None if only its users have it.
        run: runs the trial, and raises if it fails.
    """

    module: str
    extra: str | None
    run: Callable[[], None]


def trials() -> Mapping[str, Trial]:
    """All trials by the names that `doctor` shows."""
    tried: dict[str, tuple[str, str | None, Callable[[str, ExitStack], Ask]]] = {
        "OpenAI": ("openai", "openai", _openai),
        "AsyncOpenAI": ("openai", "openai", _async_openai),
        "httpx.Client": ("httpx", "httpx", partial(_client, "httpx")),
        "httpx.AsyncClient": ("httpx", "httpx", partial(_async_client, "httpx")),
        "httpx2.Client": ("httpx2", "httpx2", partial(_client, "httpx2")),
        "httpx2.AsyncClient": ("httpx2", "httpx2", partial(_async_client, "httpx2")),
        "@batched, litellm.completion": ("litellm", "litellm", _litellm),
        "@batched, litellm.acompletion": ("litellm", "litellm", _async_litellm),
        "batchwrap serve": ("prometheus_client", "serve", _serve),
        "Groq": ("groq", None, partial(_sdk, "groq", "Groq")),
        "Cerebras": ("cerebras.cloud.sdk", None, partial(_sdk, "cerebras.cloud.sdk", "Cerebras")),
    }
    found = {
        name: Trial(module, extra, partial(_run, ask))
        for name, (module, extra, ask) in tried.items()
    }
    return {**found, "Anthropic": Trial("anthropic", None, _anthropic)}


def _run(opened: Callable[[str, ExitStack], Ask]) -> None:
    # Without delays, since a trial checks the translation and no times.
    with Lab(_model, tokens_per_s=math.inf, ttft_s=0) as lab, ExitStack() as closing:
        ask = opened(lab.base_url, closing)
        body = {"model": "m", "tools": [_TOOL], "messages": [_PROMPT]}
        message = ask(body)
        calls = message.get("tool_calls") or []
        if [call["function"]["name"] for call in calls] != ["read_file"] * 2:
            raise TrialFailed("the model's multi-call did not become single calls")
        results = [{"role": "tool", "tool_call_id": call["id"], "content": ""} for call in calls]
        ask({**body, "messages": [_PROMPT, message, *results]})
        _, said, *_ = lab.journal[-1].json["messages"]
        if [call["function"]["name"] for call in said["tool_calls"]] != [_MULTI_CALL.name]:
            raise TrialFailed("the single calls did not become the model's multi-call again")


def _model(request: Body) -> Reply:
    is_first = request["messages"][-1]["role"] != "tool"
    return Reply(calls=(_MULTI_CALL,)) if is_first else Reply("Done.")


def _openai(base_url: str, closing: ExitStack) -> Ask:
    from batchwrap.demo.sdk import client

    wrapped = batchwrap.wrap(
        closing.enter_context(client(base_url, "key", trust_env=False)), config=None
    )
    return lambda body: _message(wrapped.chat.completions.create(**body))


def _async_openai(base_url: str, closing: ExitStack) -> Ask:
    openai: Any = import_module("openai")
    call = closing.enter_context(_event_loop())
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    bare = openai.AsyncOpenAI(base_url=base_url, api_key="key", http_client=http_client)
    closing.callback(call, bare.close)
    create = batchwrap.wrap(bare, config=None).chat.completions.create
    return lambda body: _message(call(partial(create, **body)))


def _client(library: str, base_url: str, closing: ExitStack) -> Ask:
    bare = closing.enter_context(import_module(library).Client(trust_env=False))
    post = batchwrap.wrap(bare, config=None).post
    return lambda body: _content(post(base_url + _CHAT, json=body))


def _async_client(library: str, base_url: str, closing: ExitStack) -> Ask:
    call = closing.enter_context(_event_loop())
    bare = import_module(library).AsyncClient(trust_env=False)
    closing.callback(call, bare.aclose)
    post = batchwrap.wrap(bare, config=None).post
    return lambda body: _content(call(partial(post, base_url + _CHAT, json=body)))


def _litellm(base_url: str, closing: ExitStack) -> Ask:
    complete = batchwrap.batched(config=None)(_litellm_itself().completion)
    there = {"model": "openai/m", "api_base": base_url, "api_key": "key"}
    return lambda body: _message(complete(**{**body, **there}))


def _async_litellm(base_url: str, closing: ExitStack) -> Ask:
    call = closing.enter_context(_event_loop())
    litellm = _litellm_itself()
    # Run before the event loop of these clients is closed.
    closing.callback(call, litellm.close_litellm_async_clients)
    complete = batchwrap.batched(config=None)(litellm.acompletion)
    there = {"model": "openai/m", "api_base": base_url, "api_key": "key"}
    return lambda body: _message(call(partial(complete, **{**body, **there})))


def _litellm_itself() -> Any:
    # Without this, litellm fetches a list of prices from the network when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return import_module("litellm")


def _serve(base_url: str, closing: ExitStack) -> Ask:
    from batchwrap.serve import Server, Settings

    server = Server(Settings(upstream=base_url), config=None)
    thread = Thread(target=server.run)
    thread.start()
    closing.callback(thread.join)
    closing.callback(server.stop)
    bare = closing.enter_context(import_module("httpx2").Client(trust_env=False))
    return lambda body: _content(bare.post(server.base_url + _CHAT, json=body))


def _sdk(module: str, kind: str, base_url: str, closing: ExitStack) -> Ask:
    """Open an SDK that is built like openai's, but whose base URL has no `/v1`."""
    client = closing.enter_context(_opened(module, kind, base_url))
    wrapped = batchwrap.wrap(client, config=None)
    return lambda body: _message(wrapped.chat.completions.create(**body))


def _opened(module: str, kind: str, base_url: str) -> Any:
    sdk = import_module(module)
    http_client = sdk.DefaultHttpxClient(trust_env=False)
    where = {"base_url": base_url.removesuffix("/v1"), "api_key": "key", "http_client": http_client}
    # Cerebras' SDK would send a request of its own when it is made.
    quiet = {"warm_tcp_connection": False} if kind == "Cerebras" else {}
    return getattr(sdk, kind)(**where, **quiet)


def _anthropic() -> None:
    """Anthropic's client: without batching, its messages must be unchanged and be counted."""
    with Lab(_model, tokens_per_s=math.inf, ttft_s=0) as lab, ExitStack() as closing:
        client = closing.enter_context(_opened("anthropic", "Anthropic", lab.base_url))
        wrapped = batchwrap.wrap(client, batching=None, reminders=None, config=None)
        asked = {"role": "user", "content": "Say done."}
        wrapped.messages.create(model="m", max_tokens=16, messages=[asked])
        told = batchwrap.stats(wrapped)
        if told.requests != 1 or told.prompt_tokens == 0:
            raise TrialFailed("its messages were not counted")


@contextmanager
def _event_loop() -> Iterator[Callable[..., Any]]:
    """A function that calls async functions in an event loop of its own."""
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        yield portal.call


def _message(completion: Any) -> Body:
    message: Body = completion.choices[0].message.model_dump(exclude_none=True)
    return message


def _content(response: Any) -> Body:
    message: Body = response.raise_for_status().json()["choices"][0]["message"]
    return message

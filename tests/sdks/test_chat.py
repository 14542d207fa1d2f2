"""SDKs that speak chat completions: batched, throttled, and with their own errors."""

from __future__ import annotations

from typing import Any

import cerebras.cloud.sdk as cerebras
import groq
import openai
import pytest

import batchwrap
from batchwrap.lab import Lab, Raw
from tests.adapters.callers import Caller
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

SDKS: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    "groq": (groq, "Groq", "base_url", {}),
    "cerebras": (cerebras, "Cerebras", "base_url", {"warm_tcp_connection": False}),
    "azure": (openai, "AzureOpenAI", "azure_endpoint", {"api_version": "2026-01"}),
    "openai": (openai, "OpenAI", "base_url", {}),
}
JSON = {"content-type": "application/json"}


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest, caller: Caller) -> Sdk:
    """Each SDK."""
    return Sdk(request.param, caller)


class Sdk:
    """Makes clients of one SDK."""

    def __init__(self, name: str, caller: Caller) -> None:
        self.module, kind, self._address, self._options = SDKS[name]
        self.kind = getattr(self.module, f"Async{kind}" if caller.is_async else kind)
        self._root = "/v1" if name == "openai" else ""
        self.caller = caller

    def open(self, lab: Lab, **options: Any) -> Any:
        """A bare client."""
        where = {self._address: f"{lab.url}{self._root}", "api_key": "key"}
        return self.caller.closes(self.kind(**where, **self._options, **options))


def test_batched(sdk: Sdk, serve: Any) -> None:
    """Multi-calls are expanded and folded, plain and streamed; the client keeps its type."""
    lab = serve(MULTI_CALL, END, MULTI_CALL)
    client = batchwrap.wrap(sdk.open(lab))
    assert type(client) is sdk.kind
    first = sdk.caller.ask(client, tools=TOOLS).choices[0].message
    assert calls_of(first) == READS
    messages = [
        message if isinstance(message, dict) else message.model_dump(exclude_none=True)
        for message in answered(first)
    ]
    last = sdk.caller.ask(client, tools=TOOLS, messages=messages)
    assert last.choices[0].message.content == "Both read."
    assert folded(lab.journal[1].json["messages"])
    chunks = sdk.caller.ask(client, tools=TOOLS, stream=True)
    assert gather(chunks)["calls"] == READS
    assert batchwrap.stats(client).multi_calls == 2


def test_retried(sdk: Sdk, serve: Any) -> None:
    """A refusal is waited out here, once, and not by the SDK as well."""
    said = [Raw(429, {"retry-after": "0", **JSON}, (b"{}",)), END]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(sdk.open(lab))
    assert sdk.caller.ask(client).choices[0].message.content == "Both read."
    assert [entry.headers["x-stainless-retry-count"] for entry in lab.journal] == ["0", "0"]


def test_given_up(sdk: Sdk, serve: Any) -> None:
    """What is given up is the SDK's own error."""
    lab = serve(lambda request: Raw(429, {"retry-after": "1000", **JSON}, (b"{}",)))
    with pytest.raises(sdk.module.RateLimitError):
        sdk.caller.ask(batchwrap.wrap(sdk.open(lab)))
    assert len(lab.journal) == 1


def test_installed(sdk: Sdk, serve: Any) -> None:
    """`install` wraps what is made afterwards."""
    lab = serve(lambda request: MULTI_CALL)
    batchwrap.install()
    try:
        client = sdk.open(lab)
        assert calls_of(sdk.caller.ask(client, tools=TOOLS).choices[0].message) == READS
    finally:
        batchwrap.uninstall()
    assert calls_of(sdk.caller.ask(client, tools=TOOLS).choices[0].message) != READS
    assert [message["role"] for message in lab.journal[-1].json["messages"]] == [USER["role"]]

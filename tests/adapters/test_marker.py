"""Through two layers of ours in two processes a request is translated once."""

from __future__ import annotations

import contextvars
import functools
from typing import Any

import pytest

import batchwrap
from batchwrap.adapters.marker import TRANSLATED_HEADER
from batchwrap.lab import Raw
from tests.adapters.callers import Web
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER

ASKED = {"messages": [USER], "tools": TOOLS}


def test_marked(web: Web, serve: Any) -> None:
    """What was translated says so to hosts that may be a layer of ours, and to no other."""
    lab = serve(lambda request: MULTI_CALL)
    client = batchwrap.wrap(web.open())
    web.post(client, lab, json=ASKED)
    web.post(client, lab, json={"messages": [USER]})
    marks = [entry.headers.get(TRANSLATED_HEADER) for entry in lab.journal]
    assert marks == ["1", None]


def test_known_providers_are_not_told(web: Web, serve: Any) -> None:
    """A provider that is known gets no header of ours."""
    lab = serve(lambda request: MULTI_CALL)
    client = batchwrap.wrap(web.open(), limits="cerebras/code-max")
    web.post(client, lab, json=ASKED)
    assert TRANSLATED_HEADER not in lab.journal[0].headers


def test_retries_do_not_multiply(web: Web, serve: Any) -> None:
    """A refusal that a layer behind has given up is handed on at once."""
    told = {"x-should-retry": "false", "retry-after": "0", "content-type": "application/json"}
    lab = serve(lambda request: Raw(429, told, (b"{}",)))
    client = batchwrap.wrap(web.open())
    assert web.post(client, lab, json=ASKED).status_code == 429
    assert len(lab.journal) == 1


def test_second_layer(web: Web, serve: Any) -> None:
    """The layer behind throttles what is marked, takes the mark off, and changes nothing."""
    lab = serve(lambda request: MULTI_CALL)
    behind = batchwrap.wrap(web.open())
    answer = web.post(behind, lab, json=ASKED, headers={TRANSLATED_HEADER: "1"})
    [entry] = lab.journal
    assert TRANSLATED_HEADER not in entry.headers
    assert len(entry.json["tools"]) == len(TOOLS)
    [call] = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "multi_read"
    stats = batchwrap.stats(behind)
    assert (stats.only_throttled, stats.prompt_tokens) == ({"translated": 1}, entry.prompt_tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_behind(stream: bool) -> None:
    """A decorated function, such as one in a proxy, leaves alone what a layer in front offers."""
    told: list[Any] = []
    delta = {"content": "Done."}
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}

    @batchwrap.batched
    def behind(**kwargs: Any) -> Any:
        told.append(kwargs)
        return iter([chunk]) if stream else {"choices": [{"index": 0, "message": delta}]}

    def between(**kwargs: Any) -> Any:
        # In another process; this context would tell.
        return contextvars.Context().run(functools.partial(behind, **kwargs))

    front = batchwrap.batched(between)
    answer = front(model="m", messages=[USER], tools=TOOLS, stream=stream)
    assert not stream or len(list(answer)) == 1
    names = [tool["function"]["name"] for tool in told[0]["tools"]]
    assert names == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    assert batchwrap.stats(behind).only_throttled == {"translated": 1}

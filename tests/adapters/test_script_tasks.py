"""Scripts with tasks, and around a completion function: the same as with threads."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

import batchwrap
from batchwrap.lab import Call, Reply
from batchwrap.options import Batching, Scripts
from tests.core.apis import CHAT
from tests.core.script_play import gathered
from tests.strategies import EDIT_FILE, GREP, READ_FILE

pytest.importorskip("pydantic_monty")
CODE = """
hits = (await grep(pattern="x")).split()
texts = await asyncio.gather(*[read_file(path=one) for one in hits])
print(len(texts), texts[0])
"""
RESULTS = {"grep": "a.py b.py", "read_file": "text"}
BATCHING = Batching(scripts=Scripts())
REPLIES = [Reply(calls=(Call("run_script", json.dumps({"code": CODE})),)), Reply("done")]


def results_of(message: Any) -> list[Any]:
    """What a message and its results add to a history."""
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": RESULTS[one["function"]["name"]]}
        for one in message.get("tool_calls") or ()
    ]
    return [message, *results]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_tasks(serve: Any, stream: bool) -> None:
    """On asyncio and on trio, whole and streamed."""
    lab = serve(*REPLIES)
    messages: list[Any] = [{"role": "user", "content": "Look."}]
    async with httpx2.AsyncClient(base_url=lab.url, timeout=60) as bare:
        client = batchwrap.wrap(bare, batching=BATCHING)
        for _ in range(3):
            body = {"model": "m", "messages": messages, "tools": [GREP, READ_FILE, EDIT_FILE]}
            answer = await client.post("/v1/chat/completions", json={**body, "stream": stream})
            if stream:
                messages += results_of(gathered(CHAT, answer.text))
            else:
                messages += results_of(answer.json()["choices"][0]["message"])
    assert messages[-1]["content"] == "done"
    [told] = [one for one in lab.journal[1].json["messages"] if one["role"] == "tool"]
    assert told["content"] == "2 text\n[3 calls ran: grep 1, read_file 2]"
    assert len(lab.journal) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_function(serve: Any, stream: bool) -> None:
    """Around a function that returns dicts, or chunks of them."""
    lab = serve(*REPLIES)

    @batchwrap.batched(batching=BATCHING)
    def complete(**asked: Any) -> Any:
        answer = httpx2.post(f"{lab.url}/v1/chat/completions", json=asked, timeout=60)
        if not stream:
            return answer.json()
        lines = (line.removeprefix("data: ") for line in answer.text.split("\n") if line)
        return iter([json.loads(line) for line in lines if line != "[DONE]"])

    messages: list[Any] = [{"role": "user", "content": "Look."}]
    for _ in range(3):
        asked = {"model": "m", "messages": messages, "tools": [GREP, READ_FILE, EDIT_FILE]}
        answer = complete(**asked, **({"stream": True} if stream else {}))
        if stream:
            text = "".join(f"data: {json.dumps(one)}\n\n" for one in answer)
            messages += results_of(gathered(CHAT, text))
        else:
            messages += results_of(answer["choices"][0]["message"])
    assert messages[-1]["content"] == "done"
    [told] = [one for one in lab.journal[1].json["messages"] if one["role"] == "tool"]
    assert told["content"] == "2 text\n[3 calls ran: grep 1, read_file 2]"
    assert len(lab.journal) == 2

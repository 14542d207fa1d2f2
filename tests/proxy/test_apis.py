"""Clients of the proxy's other APIs: Responses and Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from batchwrap.lab import Call, Lab, Reply
from tests.adapters.batching_models import edit, files
from tests.strategies import EDIT_FILE, READ_FILE

# litellm warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
PATHS = [{"path": "a.py"}, {"path": "b.py"}]
EDITS = [edit("a.py", "1"), edit("a.py", "2")]
WORK = Reply(calls=(Call("multi_read", files(*PATHS)), Call("multi_edit", files(*EDITS))))
MEANT = [("read_file", one) for one in PATHS] + [("edit_file", one) for one in EDITS]
TASK: dict[str, Any] = {"role": "user", "content": "Mend a.py and b.py."}
Ask = Callable[..., openai.OpenAI]


@pytest.mark.parametrize("stream", [False, True])
def test_responses(ask: Ask, lab: Lab, stream: bool) -> None:
    """Batches, waves and folds in `/v1/responses`."""
    create: Any = ask(WORK, Reply("done")).responses.create
    tools = [{"type": "function", **one["function"]} for one in (READ_FILE, EDIT_FILE)]
    given, ran, before = [TASK], list[Any](), lab.round_trips
    while True:
        answer = create(model="coder", input=given, tools=tools, store=False, stream=stream)
        response = list(answer)[-1].response if stream else answer
        made = [one for one in response.output if one.type == "function_call"]
        if not made:
            break
        ran += [(one.name, json.loads(one.arguments)) for one in made]
        results = [
            {"type": "function_call_output", "call_id": one.call_id, "output": "done"}
            for one in made
        ]
        given = [*given, *(one.to_dict() for one in response.output), *results]
    assert ran == MEANT
    assert [one.status for one in lab.journal[-2:]] == [200, 200]
    names = [one.get("name") for one in lab.journal[-1].json["input"] if "call_id" in one]
    assert names == ["multi_read", "multi_edit", None, None]
    assert lab.round_trips - before == 2  # the second wave is answered locally


@pytest.mark.parametrize("stream", [False, True])
def test_messages(ask: Ask, lab: Lab, proxy: tuple[str, str], stream: bool) -> None:
    """The same in `/v1/messages`, whatever litellm makes of them for the provider."""
    ask(WORK, Reply("done"))
    url, key = proxy
    tools = [
        {"name": one["function"]["name"], "input_schema": one["function"]["parameters"]}
        for one in (READ_FILE, EDIT_FILE)
    ]
    said, ran = [TASK], list[Any]()
    asked = {"model": "coder", "max_tokens": 50, "tools": tools, "stream": stream}
    before = len(lab.journal)
    while True:
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        body = {**asked, "messages": said}
        response = httpx.post(f"{url}/v1/messages", json=body, headers=headers, timeout=60)
        assert response.status_code == 200, response.text
        content = _content(response.text) if stream else response.json()["content"]
        made = [one for one in content if one["type"] == "tool_use"]
        if not made:
            break
        ran += [(one["name"], one["input"]) for one in made]
        results = [
            {"type": "tool_result", "tool_use_id": one["id"], "content": "done"} for one in made
        ]
        said = [
            *said,
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]
    assert ran == MEANT
    assert len(lab.journal) - before == 2


def _content(text: str) -> list[Any]:
    """The blocks of a stream."""
    blocks: list[Any] = []
    for event in filter(None, text.split("\n\n")):
        if "data: {" not in event:
            continue
        told = json.loads(event.split("data: ", 1)[1])
        match told["type"]:
            case "content_block_start":
                blocks.append({**told["content_block"], "said": ""})
            case "content_block_delta":
                delta = told["delta"]
                blocks[told["index"]]["said"] += delta.get("partial_json", delta.get("text"))
    for block in blocks:
        said = block.pop("said")
        block |= {"text": said} if block["type"] == "text" else {"input": json.loads(said)}
    return blocks

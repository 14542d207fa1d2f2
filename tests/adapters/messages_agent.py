"""An agent that speaks Anthropic's Messages API over HTTP, and reads it as strictly as the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2

import batchwrap
from batchwrap.lab import Lab
from tests.strategies import EDIT_FILE, GREP, READ_FILE

TOOLS = [
    {
        "name": one["function"]["name"],
        "description": one["function"].get("description", ""),
        "input_schema": one["function"]["parameters"],
    }
    for one in (READ_FILE, EDIT_FILE, GREP)
]
TASK = {"role": "user", "content": "Mend a.py, b.py and c.py."}
Block = dict[str, Any]


class Agent:
    """An agent that speaks Messages, as SDKs read them, through a wrapped HTTP client."""

    def __init__(self, lab: Lab, *, stream: bool, **options: Any) -> None:
        self.options = options
        self.client = batchwrap.wrap(httpx2.Client(), **options)
        self.url = f"{lab.url}/v1/messages"
        self.stream = stream
        self.messages: list[Any] = [TASK]
        self.ran: list[tuple[str, Any]] = []
        self.fields: dict[str, Any] = {}
        self.result: Callable[[Block], Block] = lambda call: {"content": f"ran {call['id']}"}

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def forget(self) -> None:
        """Go on as in another process: with a client that remembers nothing."""
        self.close()
        self.client = batchwrap.wrap(httpx2.Client(), **self.options)

    def ask(self) -> dict[str, Any]:
        """One request; the message that it is answered with."""
        body = {"model": "claude", "max_tokens": 100, "tools": TOOLS, **self.fields}
        body |= {"messages": self.messages, "stream": self.stream, "system": "Be brief."}
        response = self.client.post(self.url, json=body)
        assert response.status_code == 200, response.text
        return accumulated(response.text) if self.stream else response.json()

    def step(self) -> dict[str, Any]:
        """One request, and its calls run, one after the other."""
        said = self.ask()
        self.messages.append({"role": "assistant", "content": said["content"]})
        calls = [block for block in said["content"] if block["type"] == "tool_use"]
        assert (said["stop_reason"] == "tool_use") == bool(calls)
        self.ran += [(call["name"], call["input"]) for call in calls]
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], **self.result(call)}
            for call in calls
        ]
        if results:
            self.messages.append({"role": "user", "content": results})
        return said

    def run(self) -> None:
        """Go on until the model makes no more calls."""
        for _ in range(200):
            if self.step()["stop_reason"] != "tool_use":
                return
        raise AssertionError("it never ends")


def accumulated(text: str) -> dict[str, Any]:
    """The message of a stream, by the rules of anthropic's accumulator, which are strict."""
    message: dict[str, Any] = {}
    texts: list[str] = []
    names = []
    for event in filter(None, text.split("\n\n")):
        name, data = event.split("\n", 1)
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        names.append(told["type"])
        match told["type"]:
            case "message_start":
                message = told["message"]
            case "content_block_start":
                assert told["index"] == len(message["content"]), "a gap in the indices"
                assert told["content_block"].get("input", {}) == {}
                message["content"].append(told["content_block"])
                texts.append("")
            case "content_block_delta":
                delta = told["delta"]
                if delta["type"] == "signature_delta":
                    message["content"][told["index"]]["signature"] = delta["signature"]
                kinds = ("partial_json", "text", "thinking")
                texts[told["index"]] += "".join(delta.get(kind, "") for kind in kinds)
            case "content_block_stop":
                block, said = message["content"][told["index"]], texts[told["index"]]
                is_call = block["type"] == "tool_use"
                kind = "input" if is_call else block["type"]  # a text, or thinking
                block[kind] = json.loads(said or "{}") if is_call else said
            case "message_delta":
                message |= told["delta"]
    assert names[-2:] == ["message_delta", "message_stop"]
    assert names.count("content_block_start") == names.count("content_block_stop")
    return message

"""Agents that speak Messages or Responses over HTTP, and read them as strictly as the SDKs do."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import httpx2

import batchwrap
from batchwrap.lab import Lab
from tests.strategies import EDIT_FILE, GREP, READ_FILE

TASK = {"role": "user", "content": "Mend a.py, b.py and c.py."}
FUNCTIONS = [tool["function"] for tool in (READ_FILE, EDIT_FILE, GREP)]
Body = dict[str, Any]


class Made(NamedTuple):
    """A call that the agent got."""

    call_id: str
    name: str
    arguments: Any


class ApiAgent(ABC):
    """An agent that sends its whole history each time, through a wrapped HTTP client.

    Attributes:
        path: where its API is spoken.
        tools: what it has, in the form of its API.
        one_at_a_time: the fields with which it asks for no more than one call.
        history: the conversation.
        ran: (name, arguments) of each call that it ran.
        fields: more fields of its requests.
    """

    path: ClassVar[str]
    tools: ClassVar[list[Body]]
    one_at_a_time: ClassVar[Body]

    def __init__(self, lab: Lab, *, stream: bool, **options: Any) -> None:
        self.options = options
        self.client = batchwrap.wrap(httpx2.Client(), **options)
        self.url = f"{lab.url}{self.path}"
        self.stream = stream
        self.history: list[Any] = [TASK]
        self.ran: list[tuple[str, Any]] = []
        self.fields: Body = {}

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def forget(self) -> None:
        """Go on as in another process: with a client that remembers nothing."""
        self.close()
        self.client = batchwrap.wrap(httpx2.Client(), **self.options)

    def ask(self) -> Body:
        """One request; the answer."""
        body = {**self.body, "tools": self.tools, "stream": self.stream, **self.fields}
        response = self.client.post(self.url, json=body)
        assert response.status_code == 200, response.text
        answer: Body = self.accumulated(response.text) if self.stream else response.json()
        return answer

    def step(self) -> list[Made]:
        """One request, and its calls run, one after the other."""
        answer = self.ask()
        calls = list(self.calls(answer))
        self.ran += [(call.name, call.arguments) for call in calls]
        self.history += self.turn(answer, calls)
        return calls

    def run(self) -> None:
        """Go on until the model makes no more calls."""
        for _ in range(200):
            if not self.step():
                return
        raise AssertionError("it never ends")

    @property
    @abstractmethod
    def body(self) -> Body:
        """A request, but for its tools."""

    @abstractmethod
    def accumulated(self, text: str) -> Body:
        """The answer of a stream, by the rules of the strictest readers."""

    @abstractmethod
    def calls(self, answer: Body) -> Iterator[Made]:
        """The calls of an answer."""

    @abstractmethod
    def turn(self, answer: Body, calls: list[Made]) -> list[Body]:
        """What an answer and its results add to the history."""


def events_of(text: str) -> Iterator[Any]:
    """The events of a stream, each with its name."""
    for event in filter(None, text.split("\n\n")):
        name, data = event.split("\n", 1)
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        yield told


class MessagesAgent(ApiAgent):
    """An agent that speaks Anthropic's Messages API."""

    path = "/v1/messages"
    tools: ClassVar = [
        {
            "name": one["name"],
            "description": one.get("description", ""),
            "input_schema": one["parameters"],
        }
        for one in FUNCTIONS
    ]
    one_at_a_time: ClassVar = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    result: Body | None = None  # what each call gives, in place of a text

    @property
    def body(self) -> Body:
        """A request, but for its tools."""
        asked = {"model": "claude", "max_tokens": 100, "system": "Be brief."}
        return {**asked, "messages": self.history}

    def accumulated(self, text: str) -> Body:
        """The message, by the rules of anthropic's accumulator."""
        message: Body = {}
        texts: list[str] = []
        names = []
        for event in events_of(text):
            names.append(event["type"])
            match event["type"]:
                case "message_start":
                    message = event["message"]
                case "content_block_start":
                    assert event["index"] == len(message["content"]), "a gap in the indices"
                    assert event["content_block"].get("input", {}) == {}
                    message["content"].append(event["content_block"])
                    texts.append("")
                case "content_block_delta":
                    delta = event["delta"]
                    if delta["type"] == "signature_delta":
                        message["content"][event["index"]]["signature"] = delta["signature"]
                    kinds = ("partial_json", "text", "thinking")
                    texts[event["index"]] += "".join(delta.get(kind, "") for kind in kinds)
                case "content_block_stop":
                    block, said = message["content"][event["index"]], texts[event["index"]]
                    is_call = block["type"] == "tool_use"
                    kind = "input" if is_call else block["type"]  # a text, or thinking
                    block[kind] = json.loads(said or "{}") if is_call else said
                case "message_delta":
                    message |= event["delta"]
        assert names[-2:] == ["message_delta", "message_stop"]
        assert names.count("content_block_start") == names.count("content_block_stop")
        return message

    def calls(self, answer: Body) -> Iterator[Made]:
        """Its blocks of the kind `tool_use`, for which its turn has ended."""
        made = [block for block in answer["content"] if block["type"] == "tool_use"]
        assert (answer["stop_reason"] == "tool_use") == bool(made)
        yield from (Made(one["id"], one["name"], one["input"]) for one in made)

    def turn(self, answer: Body, calls: list[Made]) -> list[Body]:
        """A message of the model, and one with all results."""
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.call_id,
                **(self.result or {"content": f"ran {call.call_id}"}),
            }
            for call in calls
        ]
        said = {"role": "assistant", "content": answer["content"]}
        return [said, {"role": "user", "content": results}] if results else [said]


class ResponsesAgent(ApiAgent):
    """An agent that speaks OpenAI's Responses API, and keeps nothing there."""

    path = "/v1/responses"
    tools: ClassVar = [{"type": "function", "strict": True, **one} for one in FUNCTIONS]
    one_at_a_time: ClassVar = {"parallel_tool_calls": False}

    def __init__(self, lab: Lab, *, stream: bool, **options: Any) -> None:
        super().__init__(lab, stream=stream, **options)
        self.fields = {"store": False}
        self.answer_id = ""

    @property
    def body(self) -> Body:
        """A request, but for its tools."""
        return {"model": "gpt", "instructions": "Be brief.", "input": self.history}

    def accumulated(self, text: str) -> Body:
        """The response that the last event holds, which all others add up to."""
        items: list[Body] = []
        texts: list[str] = []
        done: list[Body | None] = []
        numbers = []
        final: Body = {}
        for event in events_of(text):
            numbers.append(event["sequence_number"])
            index = event.get("output_index")
            match event["type"]:
                case "response.output_item.added":
                    assert index == len(items), "an index that was used, or a gap"
                    items.append(event["item"])
                    texts.append("")
                    done.append(None)
                case "response.function_call_arguments.delta":
                    assert event["item_id"] == items[index]["id"]
                    texts[index] += event["delta"]
                case "response.function_call_arguments.done":
                    assert event["arguments"] == texts[index]
                case "response.output_item.done":
                    assert done[index] is None
                    done[index] = event["item"]
                case "response.completed":
                    final = event["response"]
        assert numbers == list(range(len(numbers)))
        assert done == final["output"]
        for begun, item, said in zip(items, final["output"], texts, strict=True):
            assert begun["id"] == item["id"]
            if item["type"] == "function_call":
                assert begun["call_id"] == item["call_id"]
                assert begun["arguments"] == "" and item["arguments"] == said
                assert item["id"].startswith("fc_")
        assert len({item["id"] for item in final["output"]}) == len(final["output"])
        return final

    def calls(self, answer: Body) -> Iterator[Made]:
        """Its items of the kind `function_call`."""
        self.answer_id = answer["id"]
        assert re.fullmatch(r"resp_\w+", self.answer_id)
        for item in answer["output"]:
            if item["type"] == "function_call":
                yield Made(item["call_id"], item["name"], json.loads(item["arguments"]))

    def turn(self, answer: Body, calls: list[Made]) -> list[Body]:
        """All items of the answer, and one for each result."""
        outputs = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": f"ran {call.call_id}",
            }
            for call in calls
        ]
        return [*answer["output"], *outputs]

"""How agents read the streams of each API: with the SDK's accumulator, and in a loop of their own.

Both read the same bytes, from a real server, with clients that are not wrapped.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

from tests.core.apis import CHAT, MESSAGES, RESPONSES, Api

Body = dict[str, Any]
_HELLO: Body = {"model": "m", "messages": [{"role": "user", "content": "Hello."}], "stream": True}
_BROKEN = (openai.APIError, anthropic.APIError)


@dataclass
class Said:
    """What a reader has of a stream.

    Attributes:
        parts: its texts, calls and reasoning, in the form of the API; of a stream that broke off,
            those that are complete, or their beginnings where the API does not tell.
        reason: why it ended; None where it broke off.
        is_broken: whether it ended in an error.
    """

    parts: list[Body] = field(default_factory=list)
    reason: str | None = None
    is_broken: bool = False


class Reader(ABC):
    """The ways to read one API.

    Attributes:
        api: it.
    """

    api: Api

    def open(self, base_url: str) -> Any:
        """A client that sends nothing twice."""
        return openai.OpenAI(base_url=f"{base_url}/v1", api_key="key", max_retries=0)

    def received(self, client: Any, body: Body) -> bytes:
        """The bytes of a stream as an agent gets them; none where it is refused instead."""
        try:
            with self._streaming(client, body) as answer:
                return b"".join(answer.iter_bytes())
        except _BROKEN:
            return b""

    def hello(self) -> Body:
        """A request to a server that answers with bytes that were received before."""
        return self.api.form.request(_HELLO)

    def looped(self, client: Any) -> Said:
        """What a loop over the events has."""
        said = Said()
        try:
            self._loop(self._events(client, self.hello()), said)
        except _BROKEN:
            said.is_broken = True
        return said

    def written(self, event: Body) -> bytes:
        """The bytes of an event."""
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())

    @abstractmethod
    def with_reasoning(self, events: list[Body], text: str) -> list[Body]:
        """A stream whose model tells what it thought before."""

    @abstractmethod
    def accumulated(self, client: Any) -> Said:
        """What the SDK's accumulator has."""

    @abstractmethod
    def calls(self, said: Said) -> list[tuple[str, str, Any]]:
        """(id, name, arguments) of its calls."""

    @abstractmethod
    def goes_on(self, said: Said, result: str) -> list[Body]:
        """What the agent adds to the conversation: the answer, and a result for each call."""

    @abstractmethod
    def _streaming(self, client: Any, body: Body) -> Any: ...

    @abstractmethod
    def _events(self, client: Any, body: Body) -> Iterator[Any]: ...

    @abstractmethod
    def _loop(self, events: Iterator[Any], said: Said) -> None: ...


class ChatReader(Reader):
    """Chat completions: a message and its calls are the parts."""

    api = CHAT

    def written(self, event: Body) -> bytes:
        """The bytes of a chunk, which has no name."""
        return b"data: %b\n\n" % json.dumps(event).encode()

    def with_reasoning(self, events: list[Body], text: str) -> list[Body]:
        """A chunk with a field of its own."""
        choice = {"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}
        return [events[0], {**events[0], "choices": [choice]}, *events[1:]]

    def _streaming(self, client: Any, body: Body) -> Any:
        create = client.chat.completions.with_streaming_response.create
        return create(model="m", messages=[], stream=True, extra_body=body)

    def _events(self, client: Any, body: Body) -> Iterator[Any]:
        create = client.chat.completions.create
        return iter(create(model="m", messages=[], stream=True, extra_body=body))

    def _loop(self, events: Iterator[Any], said: Said) -> None:
        message: Body = {"content": "", "reasoning_content": ""}
        said.parts.append(message)
        for event in events:
            for choice in event.choices:
                delta = choice.delta.to_dict()
                message["content"] += delta.get("content") or ""
                message["reasoning_content"] += delta.get("reasoning_content") or ""
                for part in delta.get("tool_calls") or ():
                    if part["index"] == len(said.parts) - 1:
                        name = part["function"]["name"]
                        said.parts.append({"id": part["id"], "name": name, "arguments": ""})
                    call = said.parts[part["index"] + 1]
                    call["arguments"] += part["function"].get("arguments") or ""
                said.reason = choice.finish_reason or said.reason

    def accumulated(self, client: Any) -> Said:
        """What `chat.completions.stream` has."""
        said = Said()
        asked: Any = {"model": "m", "messages": [], "extra_body": self.hello()}
        with client.chat.completions.stream(**asked) as stream:
            try:
                completion = stream.get_final_completion()
            except _BROKEN:
                said.is_broken = True
                completion = stream.current_completion_snapshot
        [choice] = completion.choices
        message = choice.message.to_dict()
        named = ("content", "reasoning_content")
        said.parts.append({name: message.get(name) or "" for name in named})
        for call in message.get("tool_calls") or ():
            function = call["function"]
            made = {"id": call["id"], "name": function["name"]}
            said.parts.append({**made, "arguments": function["arguments"]})
        said.reason = choice.finish_reason
        return said

    def calls(self, said: Said) -> list[tuple[str, str, Any]]:
        """Those behind the message."""
        return [(c["id"], c["name"], json.loads(c["arguments"])) for c in said.parts[1:]]

    def goes_on(self, said: Said, result: str) -> list[Body]:
        """An assistant's message, and one for each result."""
        [message, *calls] = said.parts
        made = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": result} for call in calls
        ]
        return [
            {"role": "assistant", **message, **({"tool_calls": made} if made else {})},
            *results,
        ]


class MessagesReader(Reader):
    """Messages: the blocks are the parts."""

    api = MESSAGES

    def open(self, base_url: str) -> Any:
        """A client of Anthropic's SDK."""
        return anthropic.Anthropic(base_url=base_url, api_key="key", max_retries=0)

    def with_reasoning(self, events: list[Body], text: str) -> list[Body]:
        """The stream itself: its thinking is signed, so it is there already."""
        return events

    def _streaming(self, client: Any, body: Body) -> Any:
        create = client.messages.with_streaming_response.create
        return create(model="m", messages=[], max_tokens=1, stream=True, extra_body=body)

    def _events(self, client: Any, body: Body) -> Iterator[Any]:
        return iter(client.messages.create(**{**body, "stream": True}))

    def _loop(self, events: Iterator[Any], said: Said) -> None:
        open_block: Body = {}
        for event in events:
            match event.type:
                case "content_block_start":
                    assert not open_block and event.index == len(said.parts)
                    open_block = event.content_block.to_dict()
                    pieces = ""
                case "content_block_delta":
                    assert event.index == len(said.parts)
                    match event.delta.type:
                        case "text_delta":
                            open_block["text"] += event.delta.text
                        case "thinking_delta":
                            open_block["thinking"] += event.delta.thinking
                        case "signature_delta":
                            open_block["signature"] = event.delta.signature
                        case "input_json_delta":
                            pieces += event.delta.partial_json
                case "content_block_stop":
                    if open_block["type"] == "tool_use":
                        open_block["input"] = json.loads(pieces)
                    said.parts.append(open_block)
                    open_block = {}
                case "message_delta":
                    said.reason = event.delta.stop_reason

    def accumulated(self, client: Any) -> Said:
        """What `messages.stream` has, as far as its blocks have ended."""
        said, ended = Said(), 0
        asked = {name: value for name, value in self.hello().items() if name != "stream"}
        with client.messages.stream(**asked) as stream:
            try:
                for event in stream:
                    ended += event.type == "content_block_stop"
                message = stream.get_final_message()
            except _BROKEN:
                said.is_broken = True
                message = stream.current_message_snapshot
        said.parts = [block.to_dict() for block in message.content][:ended]
        said.reason = message.stop_reason
        return said

    def calls(self, said: Said) -> list[tuple[str, str, Any]]:
        """The blocks of that type."""
        return [
            (block["id"], block["name"], block["input"])
            for block in said.parts
            if block["type"] == "tool_use"
        ]

    def goes_on(self, said: Said, result: str) -> list[Body]:
        """The blocks as they came, and all results in one message."""
        results = [
            {"type": "tool_result", "tool_use_id": call_id, "content": result}
            for call_id, _, _ in self.calls(said)
        ]
        answered = [{"role": "user", "content": results}] if results else []
        return [{"role": "assistant", "content": said.parts}, *answered]


class ResponsesReader(Reader):
    """Responses: the items are the parts."""

    api = RESPONSES

    def with_reasoning(self, events: list[Body], text: str) -> list[Body]:
        """An item before all others."""
        summary = [{"type": "summary_text", "text": text}]
        item = {"id": f"rs_{id(events):x}", "type": "reasoning", "summary": summary}
        begun = {**item, "summary": []}
        series: list[Body] = [
            {"type": "response.output_item.added", "output_index": 0, "item": begun},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        ]
        [created, *others, completed] = events
        for event in others:
            if "output_index" in event:
                event["output_index"] += 1
        completed["response"]["output"].insert(0, item)
        made = [created, *series, *others, completed]
        return [{**event, "sequence_number": number} for number, event in enumerate(made)]

    def _streaming(self, client: Any, body: Body) -> Any:
        create = client.responses.with_streaming_response.create
        return create(stream=True, extra_body=body)

    def _events(self, client: Any, body: Body) -> Iterator[Any]:
        return iter(client.responses.create(stream=True, extra_body=body))

    def _loop(self, events: Iterator[Any], said: Said) -> None:
        pieces: list[str] = []
        for number, event in enumerate(events):
            assert event.sequence_number == number
            match event.type:
                case "response.output_item.added":
                    assert event.output_index == len(pieces)
                    pieces.append("")
                case "response.output_text.delta" | "response.function_call_arguments.delta":
                    pieces[event.output_index] += event.delta
                case "response.output_item.done":
                    assert event.output_index == len(said.parts)
                    item = event.item.to_dict()
                    texts = [part["text"] for part in item.get("content") or ()]
                    whole = item.get("arguments", "".join(texts))
                    assert item["type"] == "reasoning" or whole == pieces[event.output_index]
                    said.parts.append(item)
                case "response.completed" | "response.failed":
                    said.reason = event.response.status
                    said.is_broken = event.response.status == "failed"
                    assert [item.to_dict() for item in event.response.output] == said.parts

    def accumulated(self, client: Any) -> Said:
        """What `responses.stream` has; of one that failed, what its last event has."""
        said = Said()
        with client.responses.stream(model="m", input="Hello.") as stream:
            response = None
            for event in stream:
                if event.type == "response.failed":
                    response = event.response
            if response is None:
                response = stream.get_final_response()
        said.parts = [_as_it_came(item.to_dict()) for item in response.output]
        said.reason, said.is_broken = response.status, response.status == "failed"
        return said

    def calls(self, said: Said) -> list[tuple[str, str, Any]]:
        """The items of that type."""
        return [
            (item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in said.parts
            if item["type"] == "function_call"
        ]

    def goes_on(self, said: Said, result: str) -> list[Body]:
        """The items as they came, and an item for each result."""
        results = [
            {"type": "function_call_output", "call_id": call_id, "output": result}
            for call_id, _, _ in self.calls(said)
        ]
        return [*said.parts, *results]


def _as_it_came(item: Body) -> Body:
    """An item without what the SDK adds for those who have it parsed."""
    plain = {name: value for name, value in item.items() if name != "parsed_arguments"}
    if "content" in plain and plain["type"] == "message":
        plain["content"] = [
            {name: value for name, value in part.items() if name != "parsed"}
            for part in plain["content"]
        ]
    return plain


READERS: tuple[Reader, ...] = (ChatReader(), MessagesReader(), ResponsesReader())

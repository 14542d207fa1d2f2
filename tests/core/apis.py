"""The APIs that the moves speak, for tests that hold for all of them.

A test says its conversation in the form of chat completions; here it is turned into each API's,
and what comes back is read as strictly as the strictest of the SDKs does.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest

from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.endpoints import Endpoint, endpoint_at
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.core.formats.responses.format import RESPONSES_FORMAT
from batchwrap.lab.api_forms import API_FORMS, ScriptedAnswer, ScriptedCall

Body = dict[str, Any]
Message = dict[str, Any]


class Api(ABC):
    """One API.

    Attributes:
        name: its name.
        format: what is tested.
        ids: what an id of a call must look like on its server.
    """

    name: str
    format: Format
    ids: re.Pattern[str]

    def __init__(self) -> None:
        self.form = API_FORMS[self.name]

    def __repr__(self) -> str:
        return self.name

    @property
    def endpoint(self) -> Endpoint:
        """Where it is spoken."""
        endpoint = endpoint_at(self.form.path)
        assert endpoint is not None
        return endpoint

    def written(self, message: Message) -> Message:
        """A message as it is when it has been through this API."""
        request = self.form.as_chat(self.form.request({"messages": [message]}))
        same: Message = request["messages"][0]
        return same

    def answer(self, message: Message) -> Body:
        """A whole answer with a message."""
        return self.form.whole(said(message))

    def events(self, message: Message, pieces: Sequence[Sequence[str]] | None = None) -> list[Body]:
        """A message as a stream, the arguments of each call in these pieces."""
        return list(self.form.events(said(message, pieces)))

    def is_valid(self, request: Body) -> bool:
        """Whether its server takes a request, ids that it would not make itself left aside."""
        if self.form.fault_in(request) is None:
            return True
        ids = self._ids(request)
        return len(set(ids)) < len(ids) or not all(map(self.ids.fullmatch, ids))

    def _ids(self, request: Body) -> list[str]:
        messages = self.form.as_chat(request)["messages"]
        return [str(one["id"]) for m in messages for one in m.get("tool_calls") or ()]

    @abstractmethod
    def gather(self, events: Sequence[Body]) -> Message:
        """The message of a stream, of which not all has to be there."""


def said(message: Message, pieces: Sequence[Sequence[str]] | None = None) -> ScriptedAnswer:
    """A message, the arguments of each call in these pieces."""
    calls = message.get("tool_calls") or []
    cut = pieces or [[one["function"]["arguments"]] for one in calls]
    made = [
        ScriptedCall(one["id"], one["function"]["name"], some)
        for one, some in zip(calls, cut, strict=True)
    ]
    text = message.get("content")
    return ScriptedAnswer([*([[text or ""]] if text or not calls else []), *made])


class _Gathered:
    """A message as it comes together: texts and calls, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[Message] = []

    @property
    def message(self) -> Message:
        message: Message = {"role": "assistant", "content": "".join(self.texts) or None}
        return {**message, "tool_calls": self.calls} if self.calls else message

    def open(self, call_id: str, name: str) -> Message:
        """A call begins."""
        function = {"name": name, "arguments": ""}
        self.calls.append({"id": call_id, "type": "function", "function": function})
        return self.calls[-1]["function"]  # type: ignore[no-any-return]


class _Chat(Api):
    name, format = "chat", CHAT_FORMAT
    ids = re.compile(r"[A-Za-z0-9_-]{1,40}")

    def gather(self, events: Sequence[Body]) -> Message:
        gathered, calls = _Gathered(), dict[int, Message]()
        for choice in (choice for event in events for choice in event.get("choices") or ()):
            delta = choice["delta"]
            gathered.texts.append(delta.get("content") or "")
            for part in delta.get("tool_calls") or ():
                index, function = part["index"], part["function"]
                if index not in calls:
                    assert index == len(calls), "an index that leaves others out"
                    calls[index] = gathered.open(part["id"], function["name"])
                calls[index]["arguments"] += function.get("arguments") or ""
        return gathered.message


class _Messages(Api):
    """As anthropic's accumulator reads it: an index is a position in a list."""

    name, format = "messages", MESSAGES_FORMAT
    ids = re.compile(r"[a-zA-Z0-9_-]{1,64}")

    def gather(self, events: Sequence[Body]) -> Message:
        gathered, blocks, stopped = _Gathered(), list[Any](), set[int]()
        reason, is_over = None, False
        for event in events:
            assert not is_over, "something behind the end"
            match event["type"]:
                case "content_block_start":
                    assert event["index"] == len(blocks), "a gap in the indices"
                    block = event["content_block"]
                    assert block.get("input", {}) == {}, "Claude Code takes the input for empty"
                    is_call = block["type"] == "tool_use"
                    blocks.append(gathered.open(block["id"], block["name"]) if is_call else None)
                case "content_block_delta":
                    assert event["index"] not in stopped
                    block, delta = blocks[event["index"]], event["delta"]
                    if block is None:
                        gathered.texts.append(delta["text"])
                    else:
                        block["arguments"] += delta["partial_json"]
                case "content_block_stop":
                    assert event["index"] < len(blocks) and event["index"] not in stopped
                    stopped.add(event["index"])
                case "message_delta":
                    reason = event["delta"]["stop_reason"]
                case "message_stop":
                    is_over = True
        if is_over:
            assert len(stopped) == len(blocks), "a block that does not stop"
            assert (reason == "tool_use") == bool(gathered.calls)
        return gathered.message


_WITHOUT_ITEM = frozenset(
    f"response.{name}" for name in ("created", "in_progress", "completed", "failed")
) | {"error"}


class _Responses(Api):
    """As openai's accumulator reads it: each item has an index, and the last event all items."""

    name, format = "responses", RESPONSES_FORMAT
    ids = re.compile(r".{1,64}", re.DOTALL)

    def gather(self, events: Sequence[Body]) -> Message:
        gathered, items = _Gathered(), list[tuple[Body, Any]]()
        done: dict[int, Body] = {}
        for number, event in enumerate(events):
            assert event.get("sequence_number", number) == number
            kind = event["type"]
            if kind == "response.output_item.added":
                assert event["output_index"] == len(items), "a gap in the indices"
                item = event["item"]
                is_call = item["type"] == "function_call"
                assert not is_call or item["arguments"] == ""
                call = gathered.open(item["call_id"], item["name"]) if is_call else None
                items.append((item, call))
                continue
            if "output_index" not in event:
                assert kind in _WITHOUT_ITEM
                if kind == "response.completed":
                    assert sorted(done) == list(range(len(items)))
                if kind in ("response.completed", "response.failed"):
                    assert event["response"]["output"] == [done[n] for n in sorted(done)]
                continue
            item, call = items[event["output_index"]]
            assert event.get("item_id", item["id"]) == item["id"]
            assert event["output_index"] not in done, "an event behind the end of its item"
            if kind.endswith("arguments.delta"):
                call["arguments"] += event["delta"]
            elif kind == "response.output_text.delta":
                gathered.texts.append(event["delta"])
            elif kind.endswith("arguments.done"):
                assert event["arguments"] == call["arguments"]
            elif kind == "response.output_item.done":
                whole = done[event["output_index"]] = event["item"]
                assert {k: whole.get(k) for k in ("id", "call_id", "name")} == {
                    k: item.get(k) for k in ("id", "call_id", "name")
                }
                assert call is None or whole["arguments"] == call["arguments"]
        ids = [item["id"] for item, _ in items]
        assert len(set(ids)) == len(ids)
        return gathered.message


CHAT, MESSAGES, RESPONSES = _Chat(), _Messages(), _Responses()
APIS: tuple[Api, ...] = (CHAT, MESSAGES, RESPONSES)
each_api = pytest.mark.parametrize("api", APIS, ids=repr)


def as_json(message: Message) -> list[tuple[str, Any]]:
    """(name, arguments) of each call of a message, as JSON and not as a text."""
    return [
        (one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in message.get("tool_calls") or ()
    ]

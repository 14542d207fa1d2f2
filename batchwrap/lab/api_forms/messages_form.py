"""Anthropic's Messages API: results and what a user says with them are one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from batchwrap.lab.api_forms import messages_rules
from batchwrap.lab.api_forms.api_form import (
    ApiForm,
    Body,
    Message,
    ScriptedAnswer,
    ScriptedCall,
    as_parts,
    made_call,
    model_message,
    plain_content,
)

_CHOICES = {"required": "any", "none": "none", "auto": "auto"}
_AS_CHAT = {theirs: ours for ours, theirs in _CHOICES.items()}
_MARK = "cache_control"


class MessagesForm(ApiForm):
    """Anthropic's Messages API."""

    path = "/v1/messages"

    def is_own(self, request: Body) -> bool:
        """Whether its tools, or its blocks, are those of this API."""
        tools = request.get("tools") or ()
        messages = request.get("messages")
        if not isinstance(messages, list):
            return False
        blocks = (block for message in messages for block in _blocks(message.get("content")))
        return (
            "system" in request
            or any("input_schema" in tool for tool in tools)
            or any(block.get("type") in ("tool_use", "tool_result") for block in blocks)
        )

    def request(self, chat: Body) -> Body:
        """The first system message stands beside the others; results come first in theirs."""
        messages = list(chat["messages"])
        body = {key: value for key, value in chat.items() if key not in ("messages", "tools")}
        body = {"max_tokens": 1_000, **body}
        if messages and messages[0]["role"] == "system":
            body["system"] = messages.pop(0)["content"]
        if chat.get("tools") is not None:
            body["tools"] = [_tool(tool["function"]) for tool in chat["tools"]]
        self._choose(body)
        body["messages"] = list(_messages(messages))
        return body

    @staticmethod
    def _choose(body: Body) -> None:
        choice, parallel = body.pop("tool_choice", None), body.pop("parallel_tool_calls", None)
        if isinstance(choice, dict):
            body["tool_choice"] = {"type": "tool", "name": choice["function"]["name"]}
        elif choice is not None:
            body["tool_choice"] = {"type": _CHOICES[choice]}
        if parallel is False:
            chosen = body.get("tool_choice", {"type": "auto"})
            body["tool_choice"] = {**chosen, "disable_parallel_tool_use": True}

    def as_chat(self, request: Body) -> Body:
        """A tool message for each result, and a user message for the rest."""
        system = [{"role": "system", "content": request["system"]}] if "system" in request else []
        messages = [one for message in request["messages"] for one in _as_chat(message)]
        body = {k: v for k, v in request.items() if k not in ("system", "tool_choice")}
        if request.get("tools") is not None:
            body["tools"] = [_function(tool) for tool in request["tools"]]
        return {**body, **_chosen(request.get("tool_choice")), "messages": [*system, *messages]}

    def message(self, answer: Body) -> Message:
        """Its texts and its calls."""
        return _turn(answer["content"])

    def fault_in(self, request: Body) -> str | None:
        """What Anthropic's server would refuse it for."""
        return messages_rules.fault_in(request)

    def whole(self, said: ScriptedAnswer) -> Body:
        """A message."""
        blocks = [
            {**_call_block(part), "input": orjson.loads(part.arguments or "{}")}
            if isinstance(part, ScriptedCall)
            else {"type": "text", "text": "".join(part)}
            for part in said.parts
        ]
        thought = [_thinking_block(said.thinking, said.signature)] if said.thinking else []
        message = self._message(said, said.output, self._reason(said))
        return {**message, "content": [*thought, *blocks]}

    def events(self, said: ScriptedAnswer) -> Iterator[Body]:
        """Its blocks one after the other, each with a start, its pieces and a stop."""
        yield {"type": "message_start", "message": self._message(said, 1, None)}
        yield from self._thought(said)
        for index, part in enumerate(said.parts, start=int(bool(said.thinking))):
            if isinstance(part, ScriptedCall):
                block = _call_block(part)
                pieces: Sequence[str] = part.pieces
                kind, key = "input_json_delta", "partial_json"
            else:
                block, pieces, kind, key = {"type": "text", "text": ""}, part, "text_delta", "text"
            yield {"type": "content_block_start", "index": index, "content_block": block}
            for piece in pieces:
                delta = {"type": kind, key: piece}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        ended = {"stop_reason": self._reason(said), "stop_sequence": None}
        yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": said.output}}
        yield {"type": "message_stop"}

    @staticmethod
    def _thought(said: ScriptedAnswer) -> Iterator[Body]:
        if not said.thinking:
            return
        place = {"index": 0}
        block = _thinking_block("", "")
        yield {"type": "content_block_start", **place, "content_block": block}
        for delta in (
            {"type": "thinking_delta", "thinking": said.thinking},
            {"type": "signature_delta", "signature": said.signature},
        ):
            yield {"type": "content_block_delta", **place, "delta": delta}
        yield {"type": "content_block_stop", **place}

    @staticmethod
    def _reason(said: ScriptedAnswer) -> str:
        return "tool_use" if said.has_calls else "end_turn"

    @staticmethod
    def _message(said: ScriptedAnswer, output: int, reason: str | None) -> Body:
        usage = {
            "input_tokens": said.prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        }
        return {
            "id": said.answer_id,
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": [],
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }


def _thinking_block(text: str, signature: str) -> Body:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _call_block(call: ScriptedCall) -> Body:
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}


def _blocks(content: object) -> list[Body]:
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _tool(function: Body) -> Body:
    named = {"name": function["name"], "description": function.get("description", "")}
    return {**named, "input_schema": function.get("parameters", {"type": "object"})}


def _chosen(choice: object) -> Body:
    """A choice of tools in chat's fields."""
    if not isinstance(choice, dict):
        return {}
    parallel = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    if choice.get("type") == "tool":
        named = {"type": "function", "function": {"name": choice["name"]}}
        return {"tool_choice": named, **parallel}
    return {"tool_choice": _AS_CHAT.get(str(choice.get("type")), "auto"), **parallel}


def _function(tool: Body) -> Body:
    """A tool of the agent's; others stay as they are."""
    if "input_schema" not in tool:
        return tool
    named = {"name": tool["name"], "description": tool.get("description", "")}
    return {"type": "function", "function": {**named, "parameters": tool["input_schema"]}}


def _messages(messages: Sequence[Message]) -> Iterator[Message]:
    """The messages, what follows on calls up to the next turn of the model in a single one."""
    results: list[Body] = []
    others: list[Body] = []
    for message in messages:
        role = message["role"]
        if role == "tool":
            results.append(_result(message))
        elif role == "user" and results:
            others += [_block(part) for part in as_parts(message["content"])]
        else:
            if results:
                yield {"role": "user", "content": [*results, *others]}
                results, others = [], []
            yield _said(message)
    if results:
        yield {"role": "user", "content": [*results, *others]}


def _said(message: Message) -> Message:
    content, mark = message.get("content"), message.get(_MARK)
    if message["role"] != "assistant":
        blocks = [_block(part) for part in as_parts(content)]
        made = blocks if isinstance(content, list) else content
        return {"role": message["role"], "content": _marked(blocks, mark) if mark else made}
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": orjson.loads(call["function"]["arguments"] or "{}"),
        }
        for call in message.get("tool_calls") or ()
    ]
    said = [part for part in as_parts(content) if part.get("text")]
    return {"role": "assistant", "content": _marked([*said, *calls], mark)}


def _marked(blocks: list[Body], mark: object) -> list[Body]:
    return [*blocks[:-1], {**blocks[-1], _MARK: mark}] if mark and blocks else blocks


def _result(message: Message) -> Body:
    content = message["content"]
    said = [_block(part) for part in content] if isinstance(content, list) else content
    block = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": said}
    return {**block, _MARK: message[_MARK]} if _MARK in message else block


def _block(part: Body) -> Body:
    if part.get("type") != "image_url":
        return part
    return {"type": "image", "source": {"type": "url", "url": part["image_url"]["url"]}}


def _as_chat(message: Message) -> Iterator[Message]:
    content = message["content"]
    if message["role"] == "assistant":
        yield {"role": "assistant", **_turn(content)}
        return
    rest: list[Any] = []
    for block in _blocks(content):
        if block.get("type") != "tool_result":
            rest.append(_part(block))
            continue
        said = block.get("content") or ""
        said = plain_content([_part(one) for one in said]) if isinstance(said, list) else said
        yield {"role": "tool", "tool_call_id": block["tool_use_id"], "content": said}
    if isinstance(content, str):
        yield {"role": message["role"], "content": content}
    elif rest:
        yield {"role": message["role"], "content": plain_content(rest)}


def _part(block: Body) -> Body:
    if block.get("type") == "image" and block["source"].get("type") == "url":
        return {"type": "image_url", "image_url": {"url": block["source"]["url"]}}
    return {key: value for key, value in block.items() if key != _MARK}


def _turn(content: Any) -> Message:
    """What a turn of the model says, in chat's form."""
    blocks = _blocks(as_parts(content))
    calls = [
        made_call(block["id"], block["name"], orjson.dumps(block["input"]).decode())
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return model_message([one["text"] for one in blocks if one.get("type") == "text"], calls)
